package test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/kafka"
)

// kills is how often each part is killed.
type kills struct{ gateway, broker, cloud int }

// killsAsked are few in every test run, and what docs/reliability.md reports
// under make torture.
func killsAsked() kills {
	if os.Getenv("BUSBAR_TORTURE") != "" {
		return kills{gateway: 200, broker: 50, cloud: 50}
	}
	return kills{gateway: 12, broker: 2, cloud: 4}
}

// The load: meters that number their answers, read several times a second.
const (
	killMeters = 20
	killValues = 50
	killPoll   = 200 * time.Millisecond
	killCommit = 200 * time.Millisecond
)

// numberedMeter answers with the number of its answer in the first two registers
// and noise in the others.
type numberedMeter struct {
	answers atomic.Uint32

	mu    sync.Mutex
	noise *rand.Rand
}

func (m *numberedMeter) Read(_ devices.Table, _, quantity int, dst []byte) devices.Exception {
	m.mu.Lock()
	defer m.mu.Unlock()
	binary.BigEndian.PutUint32(dst, m.answers.Add(1))
	for i := 2; i < quantity; i++ {
		binary.BigEndian.PutUint16(dst[2*i:], uint16(2300+m.noise.IntN(20)))
	}
	return 0
}

// numberedMeters serves the meters until the test ends.
func numberedMeters(t *testing.T) (meters []*numberedMeter, config string) {
	t.Helper()
	var c strings.Builder
	for i := range killMeters {
		m := &numberedMeter{noise: rand.New(rand.NewPCG(1, uint64(i)))}
		s, err := devices.Listen("127.0.0.1:0", map[byte]devices.Unit{1: m}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			s.Serve(ctx)
			close(ended)
		}()
		t.Cleanup(func() { cancel(); <-ended })
		meters = append(meters, m)
		fmt.Fprintf(&c, "  - id: meter-%d\n    modbus: {endpoint: \"tcp://%s\"}\n    signals:\n      - {name: Answers, input: 0, type: uint32, unit: \"1\", kind: counter}\n", i, s.Addr())
		for v := 1; v < killValues; v++ {
			fmt.Fprintf(&c, "      - {name: V%d, input: %d, type: uint16, scale: 0.1, unit: V}\n", v, v+1)
		}
	}
	return meters, c.String()
}

// Gateway, brokers and cloud are killed at random moments under load, each while
// the others may be down as well. Nothing that was committed is lost, nothing
// is stored twice, and every signal's samples are in the store in their order.
// The meters' own numbers say so beside the ledger.
func TestTortureKills(t *testing.T) {
	asked := killsAsked()
	cluster := kafka.Start(t, 3)
	meters, config := numberedMeters(t)
	s := newKillSite(t, cluster, config)
	r := &killRun{site: s, t: t, cluster: cluster}
	r.cloudUp()
	r.gatewayUp()
	await(t, "the first samples are stored", 2*time.Minute, func() bool {
		g, ok := s.state(t)
		return ok && g.Stored > 0
	})
	var killing sync.WaitGroup
	killing.Go(func() { r.killGateway(asked.gateway) })
	killing.Go(func() { r.killCloud(asked.cloud) })
	killing.Go(func() { r.killBrokers(asked.broker) })
	killing.Wait()
	if t.Failed() {
		return
	}
	s.awaitSent(t, 3*time.Minute)
	r.gateway.stop()
	s.awaitComplete(t)
	r.cloud.stop()
	r.compare(meters, asked.gateway)
}

// newKillSite lets gateway and cloud into the cluster, each with the rights that
// it needs, the gateway by password and the cloud by certificate.
func newKillSite(t *testing.T, cluster *kafka.Cluster, devices string) site {
	t.Helper()
	gateway, err := cluster.Gateway(t.Context(), "busbar", "north-gw1")
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := cluster.Cloud(t.Context(), "busbar")
	if err != nil {
		t.Fatal(err)
	}
	s := site{dir: t.TempDir(), console: freeAddress(t), status: freeAddress(t)}
	write(t, s.dir, "gateway.yaml", fmt.Sprintf(`gateway: {id: north-gw1, site: north}
forward:
  kafka:
%sbuffer: {path: buffer, max_size: 256MiB, commit_every: %s}
status: {listen: %q}
defaults: {poll_every: %s, timeout: 1s}
rules:
  - use: supervision
devices:
%s`, kafka.YAML(gateway.SCRAM(), "    "), killCommit, s.status, killPoll, devices))
	write(t, s.dir, "cloud.yaml", fmt.Sprintf(`console: {listen: %q}
log:
  partitions: 4
  replicas: 3
  min_in_sync: 2
  kafka:
%sstore: {path: cloud.db}
`, s.console, kafka.YAML(cloud.MTLS(), "    ")))
	enrol(t, s.dir)
	return s
}

// killRun is what is killed while it runs. Each kind is touched by one goroutine.
type killRun struct {
	site
	t       *testing.T
	cluster *kafka.Cluster
	gateway *program
	cloud   *program
}

func (r *killRun) gatewayUp() { r.gateway = r.site.gateway(r.t) }
func (r *killRun) cloudUp()   { r.cloud = r.site.cloud(r.t) }

// pause lets a random time pass, so that kills hit starts as well as runs.
func pause(least, most time.Duration) {
	time.Sleep(least + time.Duration(rand.Int64N(int64(most-least))))
}

func (r *killRun) killGateway(times int) {
	for range times {
		pause(100*time.Millisecond, 3*time.Second)
		r.gateway.kill()
		r.gatewayUp()
	}
}

func (r *killRun) killCloud(times int) {
	for range times {
		pause(500*time.Millisecond, 12*time.Second)
		r.cloud.kill()
		r.cloudUp()
	}
}

// killBrokers kills one broker after another, the leader of a partition or of
// the quorum as often as not, and lets each come back into sync: with two of
// three away no log could acknowledge anything.
func (r *killRun) killBrokers(times int) {
	for i := range times {
		pause(time.Second, 5*time.Second)
		victim := 1 + i%3
		if i%2 == 0 {
			if leader, err := r.cluster.Leader(r.t.Context(), "busbar.telemetry", int32(i/2%4)); err == nil {
				victim = leader
			}
		}
		if err := r.cluster.Kill(r.t.Context(), victim); err != nil {
			r.t.Error(err)
			return
		}
		pause(100*time.Millisecond, 4*time.Second)
		if err := r.cluster.Restart(victim); err != nil {
			r.t.Error(err)
			return
		}
		if err := r.cluster.AwaitInSync(r.t.Context()); err != nil {
			r.t.Error(err)
			return
		}
	}
}

// compare holds what the store has against the numbers that the meters gave.
func (r *killRun) compare(meters []*numberedMeter, gatewayKills int) {
	t := r.t
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(r.dir, "cloud.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	series, err := s.Series(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var stored, given, compared int
	for _, one := range series {
		if one.Name != "Answers" {
			continue
		}
		compared++
		_, samples, err := s.Samples(t.Context(), one.ID, 0, telemetry.MicrosOf(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		var numbers []uint64
		for _, sample := range samples {
			if n, ok := sample.Value.Float(); ok {
				numbers = append(numbers, uint64(n))
			}
		}
		if !slices.IsSorted(numbers) || len(slices.Compact(slices.Clone(numbers))) != len(numbers) {
			t.Errorf("%s: the answers' numbers are not strictly rising", one.Device)
		}
		var n int
		fmt.Sscanf(one.Device, "meter-%d", &n)
		stored += len(numbers)
		given += int(meters[n].answers.Load())
	}
	if compared != killMeters {
		t.Fatalf("%d meters compared, want %d", compared, killMeters)
	}
	// A killed gateway takes with it what it had read and not committed: the polls
	// of one commit, one that was being committed, and one in flight.
	perKill := killMeters * (2*int(killCommit/killPoll) + 1)
	missing := given - stored
	t.Logf("%d answers given, %d stored, %d read and not committed over %d kills of the gateway", given, stored, missing, gatewayKills)
	if most := (gatewayKills + 1) * perKill * 2; missing > most || missing < 0 {
		t.Errorf("%d answers are missing after %d kills of the gateway, at most %d may be", missing, gatewayKills, most)
	}
}
