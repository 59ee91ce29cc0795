package test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
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

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/modbus"
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
	stat := read("stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		u.cpu += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
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
// costs in a process that throws the values away.
func BenchmarkGateway(b *testing.B) {
	for _, poll := range []time.Duration{time.Second, 20 * time.Millisecond} {
		rate := benchMeters * benchValues * int(time.Second/poll)
		b.Run(fmt.Sprintf("values=%d/s/whole path", rate), func(b *testing.B) { benchGateway(b, poll, true) })
		b.Run(fmt.Sprintf("values=%d/s/broker down", rate), func(b *testing.B) { benchGateway(b, poll, false) })
		b.Run(fmt.Sprintf("values=%d/s/reading alone", rate), func(b *testing.B) { benchReading(b, poll) })
	}
}

const (
	benchWarm = 4 * time.Second
	benchTime = 10 * time.Second
)

func benchGateway(b *testing.B, poll time.Duration, brokerUp bool) {
	_, addresses := startMeters(b)
	broker := freeAddress(b)
	if brokerUp {
		broker = startBroker(b)
	}
	dir, status := b.TempDir(), freeAddress(b)
	write(b, dir, "gateway.yaml", benchConfig(broker, status, addresses, poll, interruptionRule))
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
	perMillion(b, after.cpu-before.cpu, values)
	b.ReportMetric(float64(after.anonymous)/1e6, "MB-anon")
	b.ReportMetric(float64(after.written-before.written)/values, "disk-B/value")
	if brokerUp {
		b.ReportMetric(grown(`busbar_gateway_sent_bytes_total{lane="telemetry"}`)/values, "payload-B/value")
	}
	b.ReportMetric(missed, "missed-polls")
}

func perMillion(b *testing.B, cpu time.Duration, values float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(cpu.Seconds()/values*1e6, "cpu-s/1M-values")
	b.ReportMetric(values/benchTime.Seconds(), "values/s")
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

const readerAddresses = "BUSBAR_BENCH_READER"

// benchReading runs this test binary again as a process that only reads.
func benchReading(b *testing.B, poll time.Duration) {
	_, addresses := startMeters(b)
	b.Setenv(readerAddresses, poll.String()+" "+strings.Join(addresses, " "))
	reader := startReader(b)
	time.Sleep(benchWarm)
	before := usageOf(b, reader)
	time.Sleep(benchTime)
	after := usageOf(b, reader)
	perMillion(b, after.cpu-before.cpu, benchMeters*benchValues*benchTime.Seconds()/poll.Seconds())
	b.ReportMetric(float64(after.anonymous)/1e6, "MB-anon")
}

type discard struct{}

func (discard) Deliver(context.Context, adapters.Batch) error { return nil }

// readOnly is the process that benchReading starts.
func readOnly(spec string) {
	fields := strings.Fields(spec)
	poll, err := time.ParseDuration(fields[0])
	if err != nil {
		panic(err)
	}
	var config modbus.Config
	config.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	id := telemetry.SignalID(0)
	for i, address := range fields[1:] {
		id++
		d := modbus.Device{ID: strconv.Itoa(i), Endpoint: "tcp://" + address, Unit: 1, PollEvery: poll, Live: id}
		for v := range benchValues {
			id++
			d.Points = append(d.Points, modbus.Point{Signal: id, Name: benchName(v), Table: modbus.Input, Address: uint16(2 * v), Type: modbus.Float32})
		}
		config.Devices = append(config.Devices, d)
	}
	adapter, err := modbus.New(config)
	if err != nil {
		panic(err)
	}
	adapter.Run(context.Background(), discard{})
}

// BenchmarkAlarmLatency measures from the answer that makes an alarm true to its
// arrival at a subscriber of the console's stream, through the real gateway and
// the real cloud, while samples are stored beside it.
func BenchmarkAlarmLatency(b *testing.B) {
	meters, addresses := startMeters(b)
	dir, status, console, broker := b.TempDir(), freeAddress(b), freeAddress(b), freeAddress(b)
	write(b, dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog: {embedded: {listen: %q, path: log}}\nstore: {path: cloud.db}\n", console, broker))
	write(b, dir, "gateway.yaml", benchConfig(broker, status, addresses, 200*time.Millisecond, interruptionRule+"\n    for: 0s\n    keep_firing_for: 0s"))
	enrol(b, dir)
	start(b, dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
	start(b, dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "error")
	await(b, "the gateway and the cloud run", 30*time.Second, func() bool { return reachable(status) && reachable(console) })

	var mu sync.Mutex
	var latencies []time.Duration
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go client.New("http://"+console).Follow(ctx, func(a client.Alarm) {
		if !a.Active {
			return
		}
		latency := time.Since(time.UnixMicro(a.Decided))
		mu.Lock()
		defer mu.Unlock()
		latencies = append(latencies, latency)
	})
	time.Sleep(benchWarm)
	const rounds = 4
	for range rounds {
		for _, dead := range []bool{true, false} {
			for _, m := range meters {
				m.dead.Store(dead)
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	await(b, "every alarm has arrived", 30*time.Second, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(latencies) >= rounds*benchMeters
	})
	slices.Sort(latencies)
	at := func(q float64) float64 {
		return float64(latencies[int(q*float64(len(latencies)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(at(0.5), "ms-p50")
	b.ReportMetric(at(0.99), "ms-p99")
	b.ReportMetric(at(1), "ms-max")
	b.ReportMetric(float64(len(latencies)), "alarms")
}

func replace(b testing.TB, text, old, new string) string {
	b.Helper()
	if !strings.Contains(text, old) {
		b.Fatalf("%q isn't in the configuration", old)
	}
	return strings.Replace(text, old, new, 1)
}
