package test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/client"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/identity"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/kafka"
)

// A gateway comes back with a day of 5,000 values a second on its disk. It sends
// them to three real brokers while current values and alarms go before them, and
// everything comes once: into the log, and into the store.
func TestTortureDrain(t *testing.T) {
	values := 2_000_000
	if os.Getenv("BUSBAR_TORTURE") != "" {
		values = 5000 * 24 * 60 * 60
	}
	s, cluster := newDrainOnKafka(t)
	d := s.drain(values)
	t.Logf("%s: %s", t.Name(), d)
	s.gateway.stop()
	site{dir: s.dir, console: s.console, status: s.status}.awaitComplete(t)
	s.compareLog(t, cluster.Brokers(), uint64(values))
}

// drainSite is a gateway with the meters of the benchmarks, its cloud, and what is
// between them.
type drainSite struct {
	testing.TB
	dir, status, console, broker string
	meters                       []*noisyMeter
	gateway                      *program
}

// newDrainOnKafka makes one whose log is a cluster of its own, which both reach
// through TLS.
func newDrainOnKafka(t testing.TB) (*drainSite, *kafka.Cluster) {
	t.Helper()
	cluster := kafka.Start(t, 3)
	gateway, err := cluster.Gateway(t.Context(), "busbar", "bench")
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := cluster.Cloud(t.Context(), "busbar")
	if err != nil {
		t.Fatal(err)
	}
	return newDrainSite(t, cluster.Brokers()[0], kafka.YAML(gateway.SCRAM(), "    "), "  replicas: 3\n  min_in_sync: 2\n  kafka:\n"+kafka.YAML(cloud.MTLS(), "    ")), cluster
}

// drainBuffer is room for a week's backlog.
const drainBuffer = 8 << 30

// newDrainSite takes how to reach the log: where it listens without encryption,
// and what stands in the configurations of the gateway and of the cloud.
func newDrainSite(t testing.TB, broker, gatewayLog, cloudLog string) *drainSite {
	t.Helper()
	s := &drainSite{TB: t, dir: t.TempDir(), status: freeAddress(t), console: freeAddress(t), broker: broker}
	var addresses []string
	s.meters, addresses = startMeters(t)
	write(t, s.dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog:\n%sstore: {path: cloud.db}\n", s.console, cloudLog))
	config := benchConfig(broker, s.status, addresses, time.Second, interruptionRule+"\n    for: 0s\n    keep_firing_for: 0s")
	config = replace(t, config, fmt.Sprintf("forward: {kafka: {brokers: [%q]}}\n", broker), "forward:\n  kafka:\n    "+strings.TrimLeft(gatewayLog, " "))
	write(t, s.dir, "gateway.yaml", replace(t, config, "max_size: 1GiB, commit_every: 2s", fmt.Sprintf("max_size: %dGiB", drainBuffer>>30)))
	return s
}

func (s *drainSite) run() {
	s.Helper()
	s.gateway = start(s, s.dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "error")
	await(s, "the gateway runs", time.Minute, func() bool { return reachable(s.status) })
}

// drained is how a backlog went to the log.
type drained struct {
	values    int           // of the backlog
	cpu       time.Duration // of the gateway
	took      time.Duration // until the log had acknowledged everything
	first     time.Duration // from the gateway's start to the first current value in the log
	anonymous uint64        // most bytes of memory that no file backs
	records   float64       // of the backfill lane

	// Current values from the moment they were read, and from the moment they
	// were handed to the log's client, which is when they had been committed; alarms
	// on the console's stream from the answer that makes them true. The values are
	// those that were read after the first one was in the log.
	read, committed, alarms []time.Duration
}

func (d drained) String() string {
	return fmt.Sprintf("%d values in %.1f s, %.0f million a CPU second, %.1f MB; first current value after %.2f s; %d values read p50 %v p99 %v, committed p50 %v p99 %v; %d alarms p50 %v p99 %v",
		d.values, d.took.Seconds(), d.perCPU(), float64(d.anonymous)/1e6, d.first.Seconds(),
		len(d.read), quantile(d.read, 0.5), quantile(d.read, 0.99), quantile(d.committed, 0.5), quantile(d.committed, 0.99),
		len(d.alarms), quantile(d.alarms, 0.5), quantile(d.alarms, 0.99))
}

// perCPU is in millions of values.
func (d drained) perCPU() float64 { return float64(d.values) / d.cpu.Seconds() / 1e6 }

// quantile of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))].Round(time.Millisecond)
}

// drain makes a backlog of so many values on the gateway's disk, starts it, and
// has current values and alarms come beside until the cloud has stored everything.
func (s *drainSite) drain(values int) drained {
	s.Helper()
	s.run()
	s.gateway.stop() // the signals have ids now
	backlog(s, filepath.Join(s.dir, "buffer"), values)
	start(s, s.dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
	await(s, "the cloud runs", time.Minute, func() bool { return reachable(s.console) })
	enrol(s, s.dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var late latencies
	late.followValues(s, ctx, s.broker)
	alarms := late.followAlarms(ctx, s.console)

	d := drained{values: values}
	began := time.Now()
	s.run()
	before := usageOf(s, s.gateway.cmd.Process.Pid)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for {
			now := usageOf(s, s.gateway.cmd.Process.Pid)
			d.cpu, d.took, d.anonymous = now.cpu-before.cpu, time.Since(began), max(d.anonymous, now.anonymous)
			if metrics(s, s.status)[`busbar_gateway_buffer_waiting_records{stream="telemetry"}`] < 5 {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	raised := 0
	for stored := false; !stored || raised < 200; {
		for _, dead := range []bool{true, false} {
			for _, m := range s.meters {
				m.dead.Store(dead)
				time.Sleep(20 * time.Millisecond)
			}
		}
		raised += len(s.meters)
		stored = metrics(s, s.console)["busbar_cloud_ingest_samples_total"] >= float64(values)
	}
	ended := time.Now()
	<-sent
	await(s, "every alarm has arrived", time.Minute, func() bool { return alarms() >= raised })
	d.records = metrics(s, s.status)[`busbar_gateway_sent_records_total{lane="backfill"}`]
	first := late.first(began)
	d.first = first.Sub(began)
	late.mu.Lock()
	defer late.mu.Unlock()
	d.read, d.committed, d.alarms = between(late.values, first, ended), between(late.committed, first, ended), between(late.alarms, began, time.Now())
	if len(d.read) == 0 || len(d.alarms) == 0 {
		s.Errorf("%d current values and %d alarms came", len(d.read), len(d.alarms))
	}
	return d
}

// backlog commits signed blocks of 10,000 samples to a gateway's buffer, as one
// that couldn't send has it.
func backlog(b testing.TB, dir string, values int) {
	b.Helper()
	key, made, err := identity.Open(filepath.Join(dir, "gateway.key"), "bench")
	if err != nil || made {
		b.Fatalf("the gateway's key: made %v, %v", made, err)
	}
	buf, err := buffer.Open(buffer.Options{Dir: dir, Gateway: "bench", MaxSize: drainBuffer, Sign: key.Sign, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer buf.Close()
	table := buf.Table()
	noise := rand.New(rand.NewPCG(1, 1))
	at := telemetry.MicrosOf(time.Now().Add(-7 * 24 * time.Hour))
	var encoder telemetry.Encoder
	var samples []telemetry.Sample
	var items []buffer.Item
	for n := 0; n < values; {
		samples = samples[:0]
		for range 2 {
			at += 1_000_000
			for _, s := range table.Signals() {
				if s.Kind == telemetry.Gauge && s.Device != "bench" { // not the gateway's own
					v := math.Round(2300+2*noise.NormFloat64()) / 10
					samples = append(samples, telemetry.Sample{Signal: s.ID, Time: at, Value: telemetry.FloatValue(v)})
				}
			}
		}
		block, err := encoder.AppendBlock(nil, table.Ref(), samples)
		if err != nil {
			b.Fatal(err)
		}
		items = append(items, buffer.Item{Format: record.FormatBlock, Payload: block, Count: uint64(len(samples))})
		n += len(samples)
		if len(items) == 100 || n >= values {
			if err := buf.Telemetry.Commit(items, nil); err != nil {
				b.Fatal(err)
			}
			items = nil
		}
	}
}

// compareLog asks the log, which nobody writes to any more, for every record of
// telemetry: each sequence number of each process of the gateway must be there once.
func (s *drainSite) compareLog(t *testing.T, brokers []string, backlogged uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	topics := []string{record.TopicsOf("").Telemetry(), record.TopicsOf("").Backfill()}
	reader, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ends, err := kadm.NewClient(reader).ListEndOffsets(ctx, topics...)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]map[int32]int64{}
	var unread int
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			if left[o.Topic] == nil {
				left[o.Topic] = map[int32]int64{}
			}
			left[o.Topic][o.Partition] = o.Offset
			unread++
		}
	})
	type span struct{ first, last uint64 }
	spans := map[record.Epoch][]span{}
	for unread > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var headers []record.Header
			for _, h := range r.Headers {
				headers = append(headers, record.Header(h))
			}
			got, err := record.ParseHeaders(headers, r.Value)
			if err != nil {
				t.Fatal(err)
			}
			spans[got.Epoch] = append(spans[got.Epoch], span{got.First, got.Last})
			if r.Offset+1 == left[r.Topic][r.Partition] {
				unread--
			}
		})
	}
	var numbers, largest uint64
	for epoch, all := range spans {
		slices.SortFunc(all, func(a, b span) int {
			if a.first < b.first {
				return -1
			}
			return 1
		})
		var next uint64
		for _, one := range all {
			if one.first != next {
				t.Errorf("epoch %s: after number %d the log has %d to %d", epoch, next, one.first, one.last)
			}
			next = one.last + 1
		}
		numbers += next
		largest = max(largest, next)
	}
	if largest != backlogged {
		t.Errorf("%d numbers of the backlog are in the log, of %d", largest, backlogged)
	}
	t.Logf("%d sequence numbers in the log, each once", numbers)
}

// latencies are how late values and alarms came, and when.
type latencies struct {
	mu                        sync.Mutex
	values, committed, alarms []arrival
	twice                     int // alarms that the log has twice
}

type arrival struct {
	at    time.Time
	late  time.Duration
	again time.Duration // how late it came a second time; 0: it didn't
}

// followValues reads current telemetry from the log until ctx ends.
func (l *latencies) followValues(b testing.TB, ctx context.Context, broker string) {
	b.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.ConsumeTopics(record.TopicsOf("").Telemetry()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(reader.Close)
	await(b, "the topics are there", time.Minute, func() bool {
		topics, err := kadm.NewClient(reader).ListTopics(ctx, record.TopicsOf("").Telemetry())
		return err == nil && topics.Error() == nil
	})
	go func() {
		var decoder telemetry.Decoder
		var samples []telemetry.Sample
		for ctx.Err() == nil {
			fetches := reader.PollFetches(ctx)
			now := time.Now()
			fetches.EachRecord(func(r *kgo.Record) {
				var err error
				if _, samples, err = decoder.Block(r.Value, samples); err != nil {
					b.Error(err)
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				for _, s := range samples {
					l.values = append(l.values, arrival{at: now, late: now.Sub(time.UnixMicro(int64(s.Time)))})
					l.committed = append(l.committed, arrival{at: now, late: now.Sub(r.Timestamp)})
				}
			})
		}
	}()
}

// first is when the first value came that did so after from.
func (l *latencies) first(from time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.values {
		if a.at.After(from) {
			return a.at
		}
	}
	return from
}

// followAlarms follows the console's stream until ctx ends; raised is how many
// alarms it has told of.
func (l *latencies) followAlarms(ctx context.Context, console string) (raised func() int) {
	go client.New("http://"+console).Follow(ctx, func(a client.Alarm) {
		if !a.Active {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.alarms = append(l.alarms, arrival{at: time.Now(), late: time.Since(time.UnixMicro(a.Decided))})
	})
	return func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.alarms)
	}
}

// between is how late was what set out and came between two moments, sorted.
func between(all []arrival, from, to time.Time) (late []time.Duration) {
	for _, a := range all {
		if !a.at.Add(-a.late).Before(from) && a.at.Before(to) {
			late = append(late, a.late)
		}
	}
	slices.Sort(late)
	return late
}
