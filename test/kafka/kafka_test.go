package kafka

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What tests of reliability rely on: the faults do what they say, and nothing of
// the cluster is left behind.
func TestClusterSurvivesTheLossOfABroker(t *testing.T) {
	c := Start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := c.CreateTopics(ctx, "busbar"); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.DefaultProduceTopic("busbar.events"),
		kgo.ProduceRequestTimeout(3*time.Second), kgo.RequestTimeoutOverhead(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	produce := func(value string) {
		t.Helper()
		if err := client.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	lead := func() int {
		t.Helper()
		n, err := c.Leader(ctx, "busbar.events", 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	produce("before")

	victim := lead()
	if err := c.Kill(ctx, victim); err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(victim); !errors.Is(err, errNotRunning) {
		t.Errorf("pausing a dead broker: %v", err)
	}
	produce("without its leader")
	if now := lead(); now == victim {
		t.Errorf("broker %d was killed and leads still", victim)
	}
	if err := c.Restart(victim); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitInSync(ctx); err != nil {
		t.Fatal(err)
	}
	controller, err := c.Controller(ctx)
	if err != nil || controller < 1 || controller > 3 {
		t.Fatalf("controller %d, %v", controller, err)
	}

	if err := c.Pause(lead()); err != nil {
		t.Fatal(err)
	}
	produce("while its leader was frozen")
	for n := range 3 {
		if err := c.Resume(n + 1); err != nil {
			t.Error(err)
		}
	}
	if err := c.Stop(ctx, lead()); err != nil {
		t.Fatal(err)
	}
	produce("after its leader was stopped")

	var pids []int
	for _, b := range c.brokers {
		pids = append(pids, b.process.Pid)
	}
	c.Discard()
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there: %v", pid, err)
		}
	}
}
