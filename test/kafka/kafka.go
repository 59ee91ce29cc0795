// Package kafka runs real Apache Kafka clusters on this machine, as production
// has them: several brokers, TLS, logins by SCRAM and by certificate, ACLs and
// quotas. `make peers` gets the jars. Nothing of it needs the package testing
// but testing.go, and test/kafka/run is a program of it.
//
// Everything listens on 127.0.0.1 only, unless Options.Host says otherwise. Between themselves, and for whoever
// administers them here, the brokers use a listener without a login: never build
// a production cluster like this.
package kafka

import (
	"context"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options says what cluster to run.
type Options struct {
	// Where everything is kept. A cluster that is there already goes on with its
	// records, its users and its certificates.
	Dir string
	// How many brokers; from 1 to 7. Default: 3, and of three replicas two must
	// be in sync.
	Brokers int
	// The first of the 32 ports of the cluster; 0 takes free ones.
	Port int
	// The address of this machine at which clients with a login are served.
	// Default: 127.0.0.1.
	Host string
	// Said while it starts; nil for nobody to hear.
	Progress func(line string)
}

// Cluster is a running cluster. Its brokers are numbered from 1. Its methods may
// be called from several goroutines.
type Cluster struct {
	dir       string
	brokers   []*broker
	authority *Authority
	guard     net.Listener // keeps other clusters off the ports

	mu sync.Mutex // users are made one after another
}

// ErrMissing is that Java or the jars are missing.
var ErrMissing = errors.New("no Java, or no Kafka jars: make peers gets the jars")

const mostBrokers = 7

// New starts a cluster and returns when all its brokers answer. It takes about
// ten seconds on an idle machine; ctx bounds it. The brokers are killed when this
// process is.
func New(ctx context.Context, o Options) (c *Cluster, err error) {
	if o.Brokers == 0 {
		o.Brokers = 3
	}
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Brokers < 1 || o.Brokers > mostBrokers {
		return nil, fmt.Errorf("kafka: %d brokers, expected 1 to %d", o.Brokers, mostBrokers)
	}
	jars, err := findJars()
	if err != nil {
		return nil, err
	}
	c = &Cluster{}
	defer func() {
		if err != nil {
			c.Discard()
			c, err = nil, fmt.Errorf("kafka: %w", err)
		}
	}()
	if c.dir, err = filepath.Abs(o.Dir); err != nil {
		return c, err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return c, err
	}
	if c.authority, err = OpenAuthority(filepath.Join(c.dir, "clients")); err != nil {
		return c, err
	}
	cert, key, err := c.authority.issue(pkix.Name{CommonName: "broker", OrganizationalUnit: []string{"kafka"}, Organization: []string{"utility"}}, o.Host)
	if err != nil {
		return c, err
	}
	if err := os.WriteFile(filepath.Join(c.dir, "broker.pem"), append(key, cert...), 0o600); err != nil {
		return c, err
	}
	if err := os.WriteFile(filepath.Join(c.dir, logging), []byte(loggingText), 0o600); err != nil {
		return c, err
	}
	port, err := c.reserve(o)
	if err != nil {
		return c, err
	}
	return c, c.start(ctx, o, port, jars)
}

// findJars looks in the module's directory, from wherever a test runs.
func findJars() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%w (this directory is in no module)", ErrMissing)
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(dir, ".peers", "kafka")
	jars, _ := filepath.Glob(filepath.Join(dir, "kafka_2.13-*.jar"))
	if _, err := exec.LookPath("java"); err != nil || len(jars) == 0 {
		return "", fmt.Errorf("%w into %s", ErrMissing, dir)
	}
	return dir, nil
}

// identity is what a directory's cluster can't change.
type identity struct {
	Brokers int
	Port    int
}

const portBlock = 32

// reserve finds the cluster's ports. Blocks of ports are aligned, and each
// cluster listens on the last one of its block, so that no two share one. They
// are below those that the system gives to outgoing connections: a broker that
// is away for a while finds its own free when it comes back.
func (c *Cluster) reserve(o Options) (port int, err error) {
	path := filepath.Join(c.dir, "cluster.json")
	is := identity{o.Brokers, o.Port}
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		var was identity
		if err := json.Unmarshal(text, &was); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if was.Brokers != o.Brokers || o.Port != 0 && was.Port != o.Port {
			return 0, fmt.Errorf("%s holds a cluster of %d brokers at port %d, not of %d at %d", c.dir, was.Brokers, was.Port, o.Brokers, o.Port)
		}
		c.guard, err = guard(was.Port)
		return was.Port, err
	case !errors.Is(err, os.ErrNotExist):
		return 0, err
	}
	for attempt := 0; ; attempt++ {
		if o.Port == 0 {
			is.Port = 16000 + portBlock*mathrand.IntN(500)
		}
		c.guard, err = guard(is.Port)
		if err == nil {
			break
		}
		if o.Port != 0 || attempt > 100 {
			return 0, err
		}
	}
	if text, err = json.Marshal(is); err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	return is.Port, err
}

// guard listens on the block's last port, if all of them are free.
func guard(port int) (net.Listener, error) {
	last, err := net.Listen("tcp", loopback(port+portBlock-1))
	if err != nil {
		return nil, fmt.Errorf("the ports from %d on are another cluster's: %w", port, err)
	}
	for p := port; p < port+portBlock-1; p++ {
		l, err := net.Listen("tcp", loopback(p))
		if err != nil {
			last.Close()
			return nil, err
		}
		l.Close()
	}
	return last, nil
}

func loopback(port int) string { return at("127.0.0.1", port) }

func at(host string, port int) string { return fmt.Sprintf("%s:%d", host, port) }

func (c *Cluster) start(ctx context.Context, o Options, port int, jars string) error {
	var controllers, quorum []string
	for i := range o.Brokers {
		p := port + 4*i
		b := &broker{ID: i + 1, Internal: loopback(p), SCRAM: at(o.Host, p+1), MTLS: at(o.Host, p+2), Controller: loopback(p + 3),
			Replicas: min(3, o.Brokers), InSync: (min(3, o.Brokers) + 1) / 2, Dir: c.dir, directory: randomID(), jars: jars}
		c.brokers = append(c.brokers, b)
		controllers = append(controllers, b.Controller)
		quorum = append(quorum, fmt.Sprintf("%d@%s:%s", b.ID, b.Controller, b.directory))
	}
	if n := len(c.formatted()); n != 0 && n != len(c.brokers) {
		return fmt.Errorf("%s was left half formatted; remove it and start again", c.dir)
	}
	cluster := randomID()
	errs := make(chan error, len(c.brokers))
	for _, b := range c.brokers {
		b.Controllers = strings.Join(controllers, ",")
		go func() {
			err := b.prepare(ctx, cluster, strings.Join(quorum, ","))
			if err == nil {
				o.Progress(fmt.Sprintf("broker %d starts; its log is %s", b.ID, b.log()))
				err = b.start()
			}
			errs <- err
		}()
	}
	var failed error
	for range c.brokers {
		failed = errors.Join(failed, <-errs)
	}
	if failed != nil {
		return failed
	}
	o.Progress("waiting for the brokers to find each other")
	return c.await(ctx)
}

func (c *Cluster) formatted() []*broker {
	return slices.DeleteFunc(slices.Clone(c.brokers), func(b *broker) bool { return !b.formatted() })
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:])
	b[0] &= 0x7f // an id that begins with - would be taken for an option
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (c *Cluster) addresses(of func(*broker) string) []string {
	list := make([]string, len(c.brokers))
	for i, b := range c.brokers {
		list[i] = of(b)
	}
	return list
}

// Brokers are the addresses without a login, for whoever administers the cluster.
func (c *Cluster) Brokers() []string {
	return c.addresses(func(b *broker) string { return b.Internal })
}

// SCRAM are the addresses for TLS and a login by password.
func (c *Cluster) SCRAM() []string { return c.addresses(func(b *broker) string { return b.SCRAM }) }

// MTLS are the addresses that ask for a client certificate.
func (c *Cluster) MTLS() []string { return c.addresses(func(b *broker) string { return b.MTLS }) }

// Dir is where everything is kept; broker N's log is N.log there.
func (c *Cluster) Dir() string { return c.dir }

// Authority signs the brokers' certificates, and those of the clients that they
// let in.
func (c *Cluster) Authority() *Authority { return c.authority }

func (c *Cluster) broker(n int) (*broker, error) {
	if n < 1 || n > len(c.brokers) {
		return nil, fmt.Errorf("kafka: there is no broker %d", n)
	}
	return c.brokers[n-1], nil
}

// end sends broker n a signal and waits until it has ended.
func (c *Cluster) end(ctx context.Context, n int, s syscall.Signal) error {
	b, err := c.broker(n)
	if err != nil {
		return err
	}
	ended, err := b.signal(s)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kafka: broker %d still runs: %w", n, context.Cause(ctx))
	}
}

// Kill kills broker n and returns when it has ended.
func (c *Cluster) Kill(ctx context.Context, n int) error { return c.end(ctx, n, syscall.SIGKILL) }

// Stop asks broker n to hand over its partitions and end, and returns when it
// has ended. The last brokers of a cluster wait for a quorum that is gone: stop
// those with Close.
func (c *Cluster) Stop(ctx context.Context, n int) error { return c.end(ctx, n, syscall.SIGTERM) }

// Pause freezes broker n: its connections stay open and nobody answers.
func (c *Cluster) Pause(n int) error { return c.send(n, syscall.SIGSTOP) }

// Resume ends what Pause began.
func (c *Cluster) Resume(n int) error { return c.send(n, syscall.SIGCONT) }

func (c *Cluster) send(n int, s syscall.Signal) error {
	b, err := c.broker(n)
	if err == nil {
		_, err = b.signal(s)
	}
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}

// Restart starts broker n, which has ended, on its old records. AwaitInSync says
// when it has caught up.
func (c *Cluster) Restart(n int) error {
	b, err := c.broker(n)
	if err == nil {
		err = b.start()
	}
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}

const stopTime = 10 * time.Second

// Close asks all brokers to end, at once because the last ones would wait for a
// quorum, and kills those that are still there after ten seconds.
func (c *Cluster) Close() { c.endAll(syscall.SIGTERM, stopTime) }

// Discard kills all brokers: what they hold is of no more use to anybody.
func (c *Cluster) Discard() { c.endAll(syscall.SIGKILL, stopTime) }

func (c *Cluster) endAll(s syscall.Signal, wait time.Duration) {
	deadline := time.After(wait)
	var all []<-chan struct{}
	for _, b := range c.brokers {
		if ended, err := b.signal(s); err == nil {
			all = append(all, ended)
		}
	}
	for _, ended := range all {
		select {
		case <-ended:
		case <-deadline:
			for _, b := range c.brokers {
				b.signal(syscall.SIGKILL)
			}
			<-ended
		}
	}
	if c.guard != nil {
		c.guard.Close()
	}
}
