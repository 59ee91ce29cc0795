package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/kafkaconn"
	simulated "github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

var quiet = slog.New(slog.DiscardHandler)

// volts is a meter that reads the same voltage on every phase.
type volts struct {
	atomic.Uint32
	answers atomic.Uint32
}

func (v *volts) set(u float32) { v.Store(math.Float32bits(u)) }

func (v *volts) Read(_ simulated.Table, _, quantity int, dst []byte) simulated.Exception {
	v.answers.Add(1)
	for i := 0; i+1 < quantity; i += 2 {
		binary.BigEndian.PutUint32(dst[2*i:], v.Load())
	}
	return 0
}

type bench struct {
	t       testing.TB
	meter   *volts
	bus     *simulated.Bus // that the meter is on
	cluster *kfake.Cluster
	dial    *tls.Config // to the cluster; nil: plaintext
	config  gatewayconfig.Config
	source  string       // of the configuration
	gateway *Gateway     // that runs, or ran last
	kernel  clock.Kernel // nil: this machine's
	buffer  *buffer.Buffer
	key     ed25519.PublicKey
	quarter telemetry.Micros
	settle  telemetry.Micros
	beat    time.Duration
	telling time.Duration
	opened  func() // is called when the buffer is open and nothing runs; nil: nothing is
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, meter: &volts{}}
	b.meter.set(230)
	server, err := simulated.Listen("127.0.0.1:0", map[byte]simulated.Unit{1: b.meter}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	b.bus = server.Bus
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		server.Serve(ctx)
		close(served)
	}()
	t.Cleanup(func() { cancel(); <-served })
	b.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "busbar.telemetry", "busbar.backfill", "busbar.events", "busbar.births"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cluster.Close)
	b.source = fmt.Sprintf(`
gateway: {id: gw, site: north}
forward: {kafka: {brokers: [%q]}}
buffer: {path: %q, commit_every: 20ms}
status: {listen: "127.0.0.1:0"}
defaults: {poll_every: 10ms, timeout: 1s}
devices:
  - id: meter
    asset: feeder-1
    modbus: {endpoint: "tcp://%s"}
    signals:
      - {name: PhV.phsA, input: 0, type: float32, unit: V}
      - {name: PhV.phsB, input: 2, type: float32, unit: V}
      - {name: PhV.phsC, input: 4, type: float32, unit: V}
rules:
  - {use: en50160/voltage-interruption, for: 30ms, keep_firing_for: 30ms}
`, b.cluster.ListenAddrs()[0], t.TempDir(), server.Addr())
	b.config = b.parse(b.source)
	return b
}

// withStatus gives the gateway a free port for its status.
func (b *bench) withStatus() {
	b.t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.config.Status.Listen = free.Addr().String()
	free.Close()
}

// awaitStatus returns when that is open.
func (b *bench) awaitStatus() {
	b.t.Helper()
	for limit := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", b.config.Status.Listen); err == nil {
			c.Close()
			return
		}
		if time.Now().After(limit) {
			b.t.Fatal("the gateway has no status page")
		}
	}
}

func (b *bench) parse(source string) gatewayconfig.Config {
	b.t.Helper()
	config, err := gatewayconfig.Parse("gateway.yaml", []byte(source))
	if err != nil {
		b.t.Fatal(err)
	}
	return config
}

// run runs a gateway until stop is called, which returns what it had committed.
func (b *bench) run() (stop func() []telemetry.Committed) {
	b.t.Helper()
	g, err := New(b.config, Options{Version: "test", Log: quiet, Kernel: b.kernel, quarter: b.quarter, settle: b.settle, heartbeat: b.beat, tell: b.telling})
	if err != nil {
		b.t.Fatal(err)
	}
	b.gateway, b.buffer, b.key = g, g.buffer, g.identity.PublicKey()
	if b.opened != nil {
		b.opened()
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	return func() []telemetry.Committed {
		b.t.Helper()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				b.t.Error(err)
			}
		case <-time.After(30 * time.Second):
			b.t.Fatal("the gateway doesn't stop")
		}
		return g.buffer.Committed()
	}
}

// log is what a gateway has written to the log.
type log struct {
	samples uint64
	times   []telemetry.Micros // of the samples
	events  []telemetry.Event
	births  []record.Birth
	points  []telemetry.Sample
	stamped []time.Time // what the log itself says of when records were written
}

// read reads the log from its start until done says that it has seen enough.
func (b *bench) read(done func(log) bool) log {
	b.t.Helper()
	options := []kgo.Opt{kgo.SeedBrokers(b.cluster.ListenAddrs()...),
		kgo.ConsumeTopics("busbar.telemetry", "busbar.backfill", "busbar.events", "busbar.births"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	if b.dial != nil {
		options = append(options, kgo.DialTLSConfig(b.dial))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	var l log
	var decoder telemetry.Decoder
	seen := map[record.Identity]bool{} // of events, which may come twice
	for !done(l) {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			b.t.Fatalf("not in the log within 20 s; it has %d samples, events %+v", l.samples, l.events)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			l.stamped = append(l.stamped, r.Timestamp)
			if r.Topic == "busbar.births" {
				var birth record.Birth
				if err := json.Unmarshal(r.Value, &birth); err != nil || string(r.Key) != birth.Key() {
					b.t.Errorf("birth %s: %v", r.Key, err)
				}
				l.births = append(l.births, birth)
				return
			}
			var headers []record.Header
			for _, h := range r.Headers {
				headers = append(headers, record.Header(h))
			}
			rec, err := record.ParseHeaders(headers, r.Value)
			if err != nil {
				b.t.Fatal(err)
			}
			if !rec.Verify(b.key) {
				b.t.Errorf("%s isn't signed by the gateway", rec.Identity)
			}
			if rec.Stream == record.Telemetry {
				l.samples += rec.Count()
				_, samples, err := decoder.Block(rec.Payload, nil)
				if rec.Format != record.FormatBlock || err != nil {
					b.t.Fatalf("%s, %s: %v", rec.Identity, rec.Format, err)
				}
				l.points = append(l.points, samples...)
				for _, s := range samples {
					l.times = append(l.times, s.Time)
				}
				return
			}
			if seen[rec.Identity] {
				return
			}
			seen[rec.Identity] = true
			var e telemetry.Event
			if err := json.Unmarshal(r.Value, &e); err != nil {
				b.t.Fatal(err)
			}
			l.events = append(l.events, e)
		})
	}
	return l
}

func (l log) of(kind telemetry.EventKind) (events []telemetry.Event) {
	for _, e := range l.events {
		if e.Kind == kind {
			events = append(events, e)
		}
	}
	return events
}

func TestStoppingLeavesNothingBehind(t *testing.T) {
	b := newBench(t)
	stop := b.run()
	b.read(func(l log) bool { return l.samples > 30 })
	committed := stop()
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 1 })
	want := map[string]uint64{"telemetry": l.samples, "events": uint64(len(l.events))}
	for _, c := range append(committed, l.of(telemetry.GatewayStopped)[0].Lifecycle.Committed...) {
		if c.Count != want[c.Stream] {
			t.Errorf("%s: %d committed, %d in the log", c.Stream, c.Count, want[c.Stream])
		}
	}
	if len(l.births) != 1 || len(l.births[0].Signals) != 8 || l.births[0].Site != "north" || l.births[0].Signals[3].Name != telemetry.ChannelLive {
		t.Errorf("births %+v", l.births)
	}

	// The next start says what the last one had committed, and keeps the ids.
	stop = b.run()
	b.read(func(l log) bool { return len(l.of(telemetry.GatewayStarted)) == 2 && len(l.births) == 2 })
	stop()
	l = b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 2 && len(l.births) == 2 })
	second := l.of(telemetry.GatewayStarted)[1].Lifecycle
	if second.Start != 2 || len(second.Committed) != 2 {
		t.Fatalf("second start %+v", second)
	}
	for _, c := range second.Committed {
		if c.Count != want[c.Stream] {
			t.Errorf("the second start says %d of %s were committed, it were %d", c.Count, c.Stream, want[c.Stream])
		}
	}
	if fmt.Sprint(l.births[0]) != fmt.Sprint(l.births[1]) {
		t.Errorf("the same configuration has another table:\n%+v\n%+v", l.births[0], l.births[1])
	}
}

func TestActiveAlarmOutlivesARestart(t *testing.T) {
	b := newBench(t)
	stop := b.run()
	b.read(func(l log) bool { return l.samples > 0 })
	b.meter.set(0)
	b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) == 1 })
	stop()
	stop = b.run()
	b.read(func(l log) bool { return len(l.of(telemetry.GatewayStarted)) == 2 })
	b.meter.set(230)
	l := b.read(func(l log) bool { return len(l.of(telemetry.AlarmCleared)) == 1 })
	stop()
	raised, cleared := l.of(telemetry.AlarmRaised), l.of(telemetry.AlarmCleared)
	if len(raised) != 1 || raised[0].Alarm.ID != cleared[0].Alarm.ID || raised[0].Alarm.Asset != "feeder-1" {
		t.Errorf("raised %+v, cleared %+v", raised, cleared)
	}
	starts := l.of(telemetry.GatewayStarted)
	if none := starts[0].Lifecycle.ActiveAlarms; none == nil || len(none) > 0 {
		t.Errorf("the first start names the active alarms %#v", none)
	}
	if known := starts[1].Lifecycle.ActiveAlarms; len(known) != 1 || known[0] != raised[0].Alarm.ID {
		t.Errorf("the second start names the active alarms %q, want %s", known, raised[0].Alarm.ID)
	}
	if raised[0].Decided < raised[0].Time || cleared[0].Time < raised[0].Decided {
		t.Errorf("times: raised %d, decided %d, cleared %d", raised[0].Time, raised[0].Decided, cleared[0].Time)
	}
}

// The cloud learns from the gateway itself that the log was away, how long and
// why; and gets everything that was read meanwhile.
func TestOutageIsReportedAndMadeUpFor(t *testing.T) {
	b := newBench(t)
	address := b.cluster.ListenAddrs()[0]
	b.cluster.Close()
	stop := b.run()
	time.Sleep(time.Second) // the outage
	b.listen(address)
	l := b.read(func(l log) bool { return len(lanes(l, "up")) == 3 && l.samples > 0 })
	for _, lane := range []string{"events", "telemetry", "backfill"} {
		down, up := lanes(l, "down")[lane], lanes(l, "up")[lane]
		if !strings.Contains(down.Cause, "nothing listens") || up.Was != "down" || up.Lasted < 1e6 {
			t.Errorf("%s: %+v, then %+v", lane, down, up)
		}
	}
	committed := stop()
	for _, c := range committed {
		if c.Stream == string(record.Telemetry) {
			b.read(func(l log) bool { return l.samples >= c.Count })
		}
	}
}

// listen starts the log at an address where it was before.
func (b *bench) listen(address string) {
	b.t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		b.t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		b.t.Fatal(err)
	}
	b.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number), kfake.SeedTopics(1, "busbar.telemetry", "busbar.backfill", "busbar.events", "busbar.births"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(b.cluster.Close)
}

// lanes are the changes of the links to a state, by lane.
func lanes(l log, state string) map[string]telemetry.Link {
	found := map[string]telemetry.Link{}
	for _, e := range l.of(telemetry.LinkChanged) {
		if e.Link.State == state {
			found[e.Link.Stream] = *e.Link
		}
	}
	return found
}

// An outage in which the gateway is stopped and started again has one beginning
// and one end, and lasts from the one to the other.
func TestAnOutageOutlivesTheGateway(t *testing.T) {
	b := newBench(t)
	address := b.cluster.ListenAddrs()[0]
	b.cluster.Close()
	for range 2 {
		stop := b.run()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			notes, err := b.buffer.LinkNotes()
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("the links aren't down: %s, %v", notes, err)
			}
			if strings.Count(string(notes), `"down"`) == 3 {
				break
			}
		}
		stop()
	}
	b.listen(address)
	stop := b.run()
	l := b.read(func(l log) bool { return len(lanes(l, "up")) == 3 })
	stop()
	if changes := l.of(telemetry.LinkChanged); len(changes) != 6 {
		t.Errorf("%d changes of links, want two of each", len(changes))
	}
	began := map[string]telemetry.Micros{}
	for _, e := range l.of(telemetry.LinkChanged) {
		switch e.Link.State {
		case "down":
			began[e.Link.Stream] = e.Time
		case "up":
			if lasted := int64(e.Time - began[e.Link.Stream]); e.Link.Was != "down" || e.Link.Lasted != lasted || lasted < 1e6 {
				t.Errorf("%+v after %d µs", e.Link, lasted)
			}
		}
	}
}

// A gateway whose disk takes no events starts, and alarms. When the disk is back,
// everything is on it, and in the log once.
func TestAlarmsWithoutADisk(t *testing.T) {
	b := newBench(t)
	events := filepath.Join(string(b.config.Buffer.Path), "events")
	b.opened = func() {
		if err := errors.Join(os.Rename(events, events+".away"), os.WriteFile(events, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	stop := b.run()
	b.read(func(l log) bool { return l.samples > 0 && len(l.of(telemetry.GatewayStarted)) == 1 })
	b.meter.set(0)
	b.read(func(l log) bool { return slices.ContainsFunc(l.of(telemetry.AlarmRaised), voltage) })
	if err := errors.Join(os.Remove(events), os.Rename(events+".away", events)); err != nil {
		t.Fatal(err)
	}
	b.meter.set(230)
	b.read(func(l log) bool { return slices.ContainsFunc(l.of(telemetry.AlarmCleared), voltage) })
	committed := stop()
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 1 })
	for _, c := range append(committed, l.of(telemetry.GatewayStopped)[0].Lifecycle.Committed...) {
		if c.Stream == string(record.Events) && c.Count != uint64(len(l.events)) {
			t.Errorf("%d events are committed, %d in the log", c.Count, len(l.events))
		}
	}
	b.opened = nil
	b.run()()
	l = b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 2 })
	for _, c := range l.of(telemetry.GatewayStarted)[1].Lifecycle.Committed {
		if c.Stream == string(record.Events) && c.Count != committed[0].Count {
			t.Errorf("the next start finds %d events, of %+v", c.Count, committed)
		}
	}
}

func TestStopsWhileTheLogIsAway(t *testing.T) {
	b := newBench(t)
	b.cluster.Close()
	stop := b.run()
	committed := stop()
	if len(committed) != 2 {
		t.Errorf("%+v", committed)
	}
}

func TestFailedStartNamesTheCauseAndLetsGo(t *testing.T) {
	b := newBench(t)
	bad := b.config
	kafka := *bad.Forward.Kafka
	kafka.TLS = &kafkaconn.TLS{CA: "absent.crt"}
	bad.Forward.Kafka = &kafka
	if _, err := New(bad, Options{Dir: t.TempDir(), Log: quiet}); err == nil || !strings.Contains(err.Error(), "absent.crt") {
		t.Errorf("a CA that isn't there: %v", err)
	}
	stop := b.run() // the buffer isn't held any more
	stop()
}

func TestDeliverWaitsForRoom(t *testing.T) {
	c := newClock(&memory{}, gatewayconfig.Time{}, nil, nil, quiet)
	p := newPipeline(nil, c, nil, nil, nil, nil, quiet)
	batch := adapters.Batch{Received: time.Now(), Samples: make([]telemetry.Sample, maxQueued)}
	if err := p.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	full, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Deliver(full, batch); err == nil {
		t.Error("more was queued than there is room for")
	}
	waiting := make(chan error, 1)
	go func() { waiting <- p.Deliver(t.Context(), batch) }()
	if taken := p.take(queue{}); len(taken.samples) != maxQueued {
		t.Errorf("%d samples taken", len(taken.samples))
	}
	if err := <-waiting; err != nil {
		t.Error(err)
	}
}
