package test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
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
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/kafka"
)

// drainValues is the backlog of BenchmarkDrain: 5,000 values/s over 12,000 s.
const drainValues = 60_000_000

// BenchmarkDrain runs the real gateway and the real cloud, after an outage that
// has left a backlog on the gateway's disk. It reports what the drain costs the
// gateway, and, until the cloud has stored all of it, how late current values come
// to the log, from the moment they were read, and how late alarms come to a
// subscriber of the console.
func BenchmarkDrain(b *testing.B) {
	b.Run("log=embedded", func(b *testing.B) {
		broker := freeAddress(b)
		benchDrain(b, broker, fmt.Sprintf("brokers: [%q]\n", broker), fmt.Sprintf("  embedded: {listen: %q, path: log}\n", broker))
	})
	b.Run("log=kafka", func(b *testing.B) {
		cluster := kafka.Start(b, 3)
		gateway, err := cluster.Gateway(b.Context(), "busbar", "bench")
		if err != nil {
			b.Fatal(err)
		}
		cloud, err := cluster.Cloud(b.Context(), "busbar")
		if err != nil {
			b.Fatal(err)
		}
		benchDrain(b, cluster.Brokers()[0], kafka.YAML(gateway.SCRAM(), "    "), "  replicas: 3\n  min_in_sync: 2\n  kafka:\n"+kafka.YAML(cloud.MTLS(), "    "))
	})
}

// benchDrain takes how to reach the log: where it listens without encryption, and
// what stands in the configurations of the gateway and of the cloud.
func benchDrain(b *testing.B, broker, gatewayLog, cloudLog string) {
	meters, addresses := startMeters(b)
	dir, status, console := b.TempDir(), freeAddress(b), freeAddress(b)
	write(b, dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog:\n%sstore: {path: cloud.db}\n", console, cloudLog))
	config := benchConfig(broker, status, addresses, time.Second, interruptionRule+"\n    for: 0s\n    keep_firing_for: 0s")
	config = replace(b, config, fmt.Sprintf("forward: {kafka: {brokers: [%q]}}\n", broker), "forward:\n  kafka:\n    "+strings.TrimLeft(gatewayLog, " "))
	write(b, dir, "gateway.yaml", replace(b, config, "commit_every: 2s", "commit_every: 250ms"))
	run := func() *program {
		p := start(b, dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "error")
		await(b, "the gateway runs", 20*time.Second, func() bool { return reachable(status) })
		return p
	}
	run().stop() // gives the signals their ids
	backlog(b, filepath.Join(dir, "buffer"), drainValues)
	start(b, dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
	await(b, "the cloud runs", 20*time.Second, func() bool { return reachable(console) })
	enrol(b, dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var late latencies
	late.followValues(b, ctx, broker)
	alarms := late.followAlarms(ctx, console)

	gateway := run()
	began, before := time.Now(), usageOf(b, gateway.cmd.Process.Pid)
	var after usage
	var took time.Duration
	var most uint64
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for {
			after = usageOf(b, gateway.cmd.Process.Pid)
			most = max(most, after.anonymous)
			took = time.Since(began)
			if metrics(b, status)[`busbar_gateway_buffer_waiting_records{stream="telemetry"}`] < 5 {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	raised := 0
	for stored := false; !stored || raised < 200; {
		for _, dead := range []bool{true, false} {
			for _, m := range meters {
				m.dead.Store(dead)
				time.Sleep(20 * time.Millisecond)
			}
		}
		raised += len(meters)
		stored = metrics(b, console)["busbar_cloud_ingest_samples_total"] >= drainValues
	}
	ended := time.Now()
	<-drained
	await(b, "every alarm has arrived", 30*time.Second, func() bool { return alarms() >= raised })
	m := metrics(b, status)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(drainValues/(after.cpu-before.cpu).Seconds()/1e6, "M-values/CPU-s")
	b.ReportMetric(drainValues/took.Seconds()/1e6, "M-values/s")
	b.ReportMetric(float64(most)/1e6, "MB-anon-most")
	b.ReportMetric(m[`busbar_gateway_sent_records_total{lane="backfill"}`], "backfill-records")
	late.report(b, "value", late.values, began, ended)
	late.report(b, "alarm", late.alarms, began, time.Now())
}

// backlog commits blocks to a gateway's buffer, as one that couldn't send has it.
func backlog(b testing.TB, dir string, values int) {
	b.Helper()
	buf, err := buffer.Open(buffer.Options{Dir: dir, Gateway: "bench", Log: slog.New(slog.DiscardHandler)})
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
				if s.Name != telemetry.ChannelLive {
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

// latencies are how late values and alarms came, and when.
type latencies struct {
	mu             sync.Mutex
	values, alarms []arrival
	twice          int // alarms that the log has twice
}

type arrival struct {
	at   time.Time
	late time.Duration
}

// followValues reads current telemetry from the log until ctx ends.
func (l *latencies) followValues(b testing.TB, ctx context.Context, broker string) {
	b.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.ConsumeTopics(record.TopicsOf("").Telemetry()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(reader.Close)
	await(b, "the topics are there", 20*time.Second, func() bool {
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
					l.values = append(l.values, arrival{now, now.Sub(time.UnixMicro(int64(s.Time)))})
				}
			})
		}
	}()
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
		l.alarms = append(l.alarms, arrival{time.Now(), time.Since(time.UnixMicro(a.Decided))})
	})
	return func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.alarms)
	}
}

func (l *latencies) report(b *testing.B, what string, all []arrival, from, to time.Time) {
	b.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var late []time.Duration
	for _, a := range all {
		if !a.at.Before(from) && a.at.Before(to) {
			late = append(late, a.late)
		}
	}
	if len(late) == 0 {
		b.Errorf("no %s came from %v to %v, of %d", what, from, to, len(all))
		return
	}
	slices.Sort(late)
	at := func(q float64) float64 { return float64(late[int(q*float64(len(late)-1))].Microseconds()) / 1000 }
	b.ReportMetric(at(0.5), what+"-ms-p50")
	b.ReportMetric(at(0.99), what+"-ms-p99")
	b.ReportMetric(float64(len(late)), what+"s")
}

func replace(b testing.TB, text, old, new string) string {
	b.Helper()
	if !strings.Contains(text, old) {
		b.Fatalf("%q isn't in the configuration", old)
	}
	return strings.Replace(text, old, new, 1)
}
