package test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/client"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/telemetry"
)

// The load of the benchmarks: meters of 50 float32 values, voltages with noise
// of 0.2 V in steps of 0.1 V.
const (
	benchMeters = 100
	benchValues = 50
)

// noisyMeter answers with another noise at each read, or with 0 V while dead.
type noisyMeter struct {
	dead atomic.Bool

	mu    sync.Mutex
	noise *rand.Rand
}

func newNoisyMeter(n int) *noisyMeter {
	return &noisyMeter{noise: rand.New(rand.NewPCG(1, uint64(n)))}
}

func (m *noisyMeter) Read(_ devices.Table, _, quantity int, dst []byte) devices.Exception {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 0; i+1 < quantity; i += 2 {
		volts := float32(math.Round(2300+2*m.noise.NormFloat64()) / 10)
		if m.dead.Load() {
			volts = 0
		}
		binary.BigEndian.PutUint32(dst[2*i:], math.Float32bits(volts))
	}
	return 0
}

// startMeters serves the meters and returns their addresses.
func startMeters(b testing.TB) (meters []*noisyMeter, addresses []string) {
	b.Helper()
	for i := range benchMeters {
		m := newNoisyMeter(i)
		meters, addresses = append(meters, m), append(addresses, serve(b, m))
	}
	return meters, addresses
}

// serve answers for a meter until the test ends.
func serve(t testing.TB, m devices.Unit) (address string) {
	t.Helper()
	server, err := devices.Listen("127.0.0.1:0", map[byte]devices.Unit{1: m}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(ctx) })
	t.Cleanup(func() { cancel(); serving.Wait() })
	return server.Addr().String()
}

// benchConfig configures a gateway for the meters.
func benchConfig(broker, status string, addresses []string, poll time.Duration, rule string) string {
	var c strings.Builder
	fmt.Fprintf(&c, `gateway: {id: bench, site: bench}
forward: {kafka: {brokers: ["%s"]}}
buffer: {path: buffer, max_size: 1GiB, commit_every: 2s}
status: {listen: "%s"}
defaults: {poll_every: %s, timeout: 1s}
rules:
%s
devices:
`, broker, status, poll, rule)
	for i, address := range addresses {
		fmt.Fprintf(&c, "  - id: meter-%d\n    modbus: {endpoint: \"tcp://%s\"}\n    signals:\n", i, address)
		for v := range benchValues {
			fmt.Fprintf(&c, "      - {name: %s, input: %d, type: float32, unit: V}\n", benchName(v), 2*v)
		}
	}
	return c.String()
}

func benchName(v int) string {
	if v < 3 {
		return "PhV.phs" + string(rune('A'+v))
	}
	return "V" + strconv.Itoa(v)
}

// usage is what the kernel has counted for a process.
type usage struct {
	cpu       time.Duration
	written   uint64 // bytes that were sent towards the disk
	anonymous uint64 // bytes of memory that no file backs
}

func usageOf(b testing.TB, pid int) (u usage) {
	b.Helper()
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
		if err != nil {
			b.Fatal(err)
		}
		return string(text)
	}
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "schedstat"))
	if err != nil {
		b.Fatal(err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		spent, _, _ := strings.Cut(string(text), " ")
		nanoseconds, err := strconv.ParseInt(spent, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		u.cpu += time.Duration(nanoseconds)
	}
	for line := range strings.Lines(read("io")) {
		fmt.Sscanf(line, "write_bytes: %d", &u.written)
	}
	for line := range strings.Lines(read("status")) {
		var kilobytes uint64
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kilobytes); n == 1 {
			u.anonymous = kilobytes << 10
		}
	}
	return u
}

// metrics reads a program's metrics, by name and labels as they are printed.
func metrics(b testing.TB, address string) map[string]float64 {
	b.Helper()
	values := map[string]float64{}
	for line := range strings.Lines(get(b, "http://"+address+"/metrics")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			values[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return values
}

const interruptionRule = "  - use: en50160"

// BenchmarkGateway runs the real gateway and reports what a value costs it, from
// the meter's register to the log's acknowledgement, beside what reading alone
// costs in a process that throws the values away, and what the gateway costs
// without rules. The parts follow from these: what rules cost, and buffer and
// forwarder.
func BenchmarkGateway(b *testing.B) {
	for _, poll := range []time.Duration{time.Second, 20 * time.Millisecond} {
		rate := benchMeters * benchValues * int(time.Second/poll)
		var whole, ruleless, reading float64
		b.Run(fmt.Sprintf("values=%d/s/whole path", rate), func(b *testing.B) { whole = benchGateway(b, poll, true, interruptionRule) })
		b.Run(fmt.Sprintf("values=%d/s/without rules", rate), func(b *testing.B) { ruleless = benchGateway(b, poll, true, "") })
		b.Run(fmt.Sprintf("values=%d/s/reading alone", rate), func(b *testing.B) { reading = benchReading(b, poll, readOnly) })
		b.Run(fmt.Sprintf("values=%d/s/parts", rate), func(b *testing.B) {
			if whole == 0 || ruleless == 0 || reading == 0 {
				b.Skip("needs the others")
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(reading, "reading-cpu-s/1M-values")
			b.ReportMetric(whole-ruleless, "rules-cpu-s/1M-values")
			b.ReportMetric(ruleless-reading, "buffer+forward-cpu-s/1M-values")
		})
		b.Run(fmt.Sprintf("values=%d/s/broker down", rate), func(b *testing.B) { benchGateway(b, poll, false, interruptionRule) })
	}
}

const (
	benchWarm = 4 * time.Second
	benchTime = 10 * time.Second
)

// benchGateway returns the CPU seconds of a million values.
func benchGateway(b *testing.B, poll time.Duration, brokerUp bool, rule string) float64 {
	_, addresses := startMeters(b)
	broker := freeAddress(b)
	if brokerUp {
		broker = startBroker(b)
	}
	dir, status := b.TempDir(), freeAddress(b)
	write(b, dir, "gateway.yaml", benchConfig(broker, status, addresses, poll, rule))
	p := start(b, dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "error")
	await(b, "the gateway reads", 20*time.Second, func() bool { return reachable(status) })
	time.Sleep(benchWarm)
	before, m0 := usageOf(b, p.cmd.Process.Pid), metrics(b, status)
	time.Sleep(benchTime)
	after, m1 := usageOf(b, p.cmd.Process.Pid), metrics(b, status)
	grown := func(name string) float64 { return m1[name] - m0[name] }
	values := grown(`busbar_gateway_samples_total{validity="good"}`)
	if values == 0 || grown(`busbar_gateway_samples_total{validity="bad"}`) > 0 {
		b.Fatalf("%v good values, %v bad", values, grown(`busbar_gateway_samples_total{validity="bad"}`))
	}
	var missed float64
	for name := range m1 {
		if strings.HasPrefix(name, "busbar_gateway_device_polls_total") && strings.Contains(name, `result="missed"`) {
			missed += grown(name)
		}
	}
	cpu := perMillion(b, after.cpu-before.cpu, values)
	b.ReportMetric(float64(after.anonymous)/1e6, "MB-anon")
	b.ReportMetric(float64(after.written-before.written)/values, "disk-B/value")
	if brokerUp {
		b.ReportMetric(grown(`busbar_gateway_sent_bytes_total{lane="telemetry"}`)/values, "payload-B/value")
	}
	b.ReportMetric(missed, "missed-polls")
	return cpu
}

func perMillion(b *testing.B, cpu time.Duration, values float64) float64 {
	perMillion := cpu.Seconds() / values * 1e6
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(perMillion, "cpu-s/1M-values")
	b.ReportMetric(values/benchTime.Seconds(), "values/s")
	return perMillion
}

func startBroker(b *testing.B) string {
	b.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "busbar.telemetry", "busbar.backfill", "busbar.events", "busbar.births"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

// BenchmarkAlarmLatency measures from the answer that makes an alarm true until the
// log has it, until it is on the gateway's disk, and until it is at a subscriber of
// the console's stream, through the real gateway and the real cloud, while samples
// are stored beside it; on disks whose flushes take longer than this machine's.
func BenchmarkAlarmLatency(b *testing.B) {
	for _, flush := range []time.Duration{0, 5 * time.Millisecond, 100 * time.Millisecond} {
		b.Run(fmt.Sprintf("flush=%v", flush), func(b *testing.B) { benchAlarms(b, flush) })
	}
}

const alarmMeters = 20 // 5,000 values/s

func benchAlarms(b *testing.B, flush time.Duration) {
	meters, addresses := startMeters(b)
	meters, addresses = meters[:alarmMeters], addresses[:alarmMeters]
	s := instantSite(b, addresses, 200*time.Millisecond)
	start(b, s.dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
	await(b, "the cloud runs", 30*time.Second, func() bool { return reachable(s.console) && reachable(s.broker) })
	s.gatewayOn(b, flush)
	await(b, "the gateway runs", 30*time.Second, func() bool { return reachable(s.status) })

	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	var shown waits
	watching.Go(func() {
		client.New("http://"+s.console).Follow(ctx, func(a client.Alarm) {
			if a.Active {
				shown.add(time.UnixMicro(a.Decided))
			}
		})
	})
	var sent, committed waits
	watching.Go(func() { s.followEvents(b, ctx, &sent, &committed) })
	time.Sleep(benchWarm)
	const rounds = 20
	for range rounds {
		for _, dead := range []bool{true, false} {
			for _, m := range meters {
				m.dead.Store(dead)
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(200 * time.Millisecond) // until each has been read
		}
	}
	await(b, "every alarm has arrived", 60*time.Second, func() bool {
		raised := int(metrics(b, s.status)["busbar_gateway_"+raisedAlarms])
		return raised > 0 && min(shown.count(), sent.count(), committed.count()) >= raised
	})
	b.ReportMetric(0, "ns/op")
	sent.report(b, "sent")
	committed.report(b, "committed")
	shown.report(b, "screen")
	b.ReportMetric(float64(shown.count()), "alarms")
}

// waits are times since alarms were decided.
type waits struct {
	mu   sync.Mutex
	list []time.Duration
}

func (l *waits) add(decided time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, time.Since(decided))
}

func (l *waits) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.list)
}

func (l *waits) report(b *testing.B, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.list)
	for _, q := range []float64{50, 99, 100} {
		at := l.list[int(q/100*float64(len(l.list)-1))]
		b.ReportMetric(float64(at.Microseconds())/1000, fmt.Sprintf("ms-%s-p%v", what, q))
	}
}

// followEvents reads the events from the log as they come, and asks the gateway
// every 10 ms which are on its disk, until ctx ends.
func (s site) followEvents(b *testing.B, ctx context.Context, sent, committed *waits) {
	log, err := kgo.NewClient(kgo.SeedBrokers(s.broker), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.ConsumeTopics("busbar.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.Error(err)
		return
	}
	defer log.Close()
	var mu sync.Mutex
	waiting := map[uint64]time.Time{} // by sequence number, when it was decided
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() {
		for ctx.Err() == nil {
			on := metrics(b, s.status)[`busbar_gateway_committed_total{stream="events"}`]
			mu.Lock()
			for seq, decided := range waiting {
				if float64(seq) < on {
					committed.add(decided)
					delete(waiting, seq)
				}
			}
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
		}
	})
	for {
		fetches := log.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var e telemetry.Event
			if err := json.Unmarshal(r.Value, &e); err != nil || e.Kind != telemetry.AlarmRaised {
				return
			}
			decided := e.Decided.Time()
			sent.add(decided)
			for _, h := range r.Headers {
				if h.Key == "seq_first" {
					seq, err := strconv.ParseUint(string(h.Value), 10, 64)
					if err != nil {
						b.Error(err)
					}
					mu.Lock()
					waiting[seq] = decided
					mu.Unlock()
				}
			}
		})
	}
}

func replace(b testing.TB, text, old, new string) string {
	b.Helper()
	if !strings.Contains(text, old) {
		b.Fatalf("%q isn't in the configuration", old)
	}
	return strings.Replace(text, old, new, 1)
}
