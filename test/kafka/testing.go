package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// startTime is what a cluster may take to start on a machine that is busy with
// other tests.
const startTime = 4 * time.Minute

// Start starts a cluster that ends with the test. Without the jars the test
// fails under CI and is skipped elsewhere.
func Start(t testing.TB, brokers int) *Cluster {
	t.Helper()
	return StartAt(t, "127.0.0.1", brokers)
}

// StartAt is Start for clients that come from elsewhere to an address of this
// machine.
func StartAt(t testing.TB, host string, brokers int) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	c, err := New(ctx, Options{Dir: t.TempDir(), Brokers: brokers, Host: host})
	demand(t, err)
	t.Cleanup(func() {
		c.Discard()
		c.tell(t)
	})
	return c
}

// tell shows where the brokers' logs end, if the test failed.
func (c *Cluster) tell(t testing.TB) {
	if t.Failed() {
		for _, b := range c.brokers {
			t.Logf("broker %d:\n%s", b.ID, b.tail(5))
		}
	}
}

func demand(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv("CI") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

var shared struct {
	sync.Mutex
	tried   bool
	cluster *Cluster
	err     error
	dir     string
	tests   atomic.Int64
}

// Shared is one cluster of three brokers for all tests of a package, started by
// the first that asks for it, and a topic prefix of the test's own, whose topics
// exist. Gateways with the same name are the same user in all tests. Tests that
// harm brokers need a cluster of their own.
//
// The package's TestMain calls StopShared after the tests.
func Shared(t testing.TB) (c *Cluster, prefix string) {
	t.Helper()
	c, prefix = SharedWithoutTopics(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := c.CreateTopics(ctx, prefix); err != nil {
		t.Fatal(err)
	}
	return c, prefix
}

// SharedWithoutTopics is Shared for a test in which the topics don't exist yet.
func SharedWithoutTopics(t testing.TB) (c *Cluster, prefix string) {
	t.Helper()
	shared.Lock()
	if !shared.tried {
		shared.tried = true
		shared.cluster, shared.err = startShared()
	}
	shared.Unlock()
	demand(t, shared.err)
	t.Cleanup(func() { shared.cluster.tell(t) })
	return shared.cluster, fmt.Sprintf("busbar-%d", shared.tests.Add(1))
}

func startShared() (*Cluster, error) {
	var err error
	if shared.dir, err = os.MkdirTemp("", "busbar-kafka-"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	return New(ctx, Options{Dir: shared.dir})
}

// StopShared ends the cluster that Shared has started, if any.
func StopShared() {
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil {
		shared.cluster.Discard()
	}
	os.RemoveAll(shared.dir)
}
