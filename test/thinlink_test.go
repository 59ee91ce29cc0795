package test

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/thinlink"
)

// satellite is a line of 64 kbit/s with a round trip of 600 ms and 2 % loss.
var satellite = thinlink.Options{Rate: 64_000, Delay: 300 * time.Millisecond, Loss: 0.02}

// thinSite is a gateway with few meters behind a thin line, and a cloud.
type thinSite struct {
	testing.TB
	dir, status, console, broker string
	link                         *thinlink.Link
	meters                       []*noisyMeter
	gateway                      *program
}

// ways are how a gateway reaches the log.
var ways = []string{"kafka", "uplink"}

// newThinSite prepares a gateway with two meters of twenty values and two rules
// each, and runs the cloud, which the gateway reaches through the line only. The
// gateway's buffer holds a backlog.
func newThinSite(t testing.TB, way string, line thinlink.Options, backlogged int) *thinSite {
	t.Helper()
	s := &thinSite{TB: t, dir: t.TempDir(), status: freeAddress(t), console: freeAddress(t), broker: freeAddress(t)}
	var err error
	if s.link, err = thinlink.Listen(line); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.link.Close)
	forward := s.prepareCloud(way)
	var c strings.Builder
	fmt.Fprintf(&c, `gateway: {id: bench, site: bench}
forward:
%sbuffer: {path: buffer}
status: {listen: %q}
defaults: {poll_every: 1s, timeout: 1s}
rules:
  - {name: low, on: {device: "*"}, when: V3 < 100, clear_when: V3 > 100, priority: high, summary: "no voltage at {{ .device }}"}
  - {name: also-low, on: {device: "*"}, when: V4 < 100, clear_when: V4 > 100, priority: high, summary: "no voltage at {{ .device }}"}
devices:
`, forward, s.status)
	for i := range 2 {
		m := newNoisyMeter(i)
		s.meters = append(s.meters, m)
		fmt.Fprintf(&c, "  - id: meter-%d\n    modbus: {endpoint: \"tcp://%s\"}\n    signals:\n", i, serve(t, m))
		for v := range 20 {
			fmt.Fprintf(&c, "      - {name: %s, input: %d, type: float32, unit: V}\n", benchName(v), 2*v)
		}
	}
	write(t, s.dir, "gateway.yaml", c.String())
	s.runCloud()
	if backlogged > 0 {
		s.run()
		s.gateway.stop() // the signals have ids now
		backlog(t, filepath.Join(s.dir, "buffer"), backlogged)
	}
	return s
}

// prepareCloud configures the cloud, and returns the gateway's way to it through
// the line.
func (s *thinSite) prepareCloud(way string) (forward string) {
	s.Helper()
	if way == secured {
		return s.prepareKafka()
	}
	cloud := fmt.Sprintf("console: {listen: %q}\nlog: {embedded: {listen: %q, path: log}}\nstore: {path: cloud.db}\n", s.console, s.broker)
	forward = fmt.Sprintf("  kafka: {brokers: [%q], proxy: {url: %q}}\n", s.broker, s.link.URL())
	if way == "uplink" {
		listen := freeAddress(s)
		authority, err := kafka.OpenAuthority(filepath.Join(s.dir, "ca"))
		if err != nil {
			s.Fatal(err)
		}
		cert, key, err := authority.Client("uplink", pkix.Name{CommonName: "uplink"})
		if err != nil {
			s.Fatal(err)
		}
		cloud += fmt.Sprintf("uplink: {listen: %q, cert: %q, key: %q}\n", listen, cert, key)
		port := listen[strings.LastIndexByte(listen, ':')+1:]
		forward = fmt.Sprintf("  uplink: {url: \"https://localhost:%s\", ca: %q, proxy: {url: %q}}\n", port, authority.Cert(), s.link.URL())
	}
	write(s, s.dir, "cloud.yaml", cloud)
	return forward
}

// secured is a way to three real brokers, with TLS and a login.
const secured = "kafka with TLS"

// prepareKafka is prepareCloud for it.
func (s *thinSite) prepareKafka() (forward string) {
	s.Helper()
	cluster := kafka.Start(s, 3)
	gateway, err := cluster.Gateway(s.Context(), "busbar", "bench")
	if err != nil {
		s.Fatal(err)
	}
	cloud, err := cluster.Cloud(s.Context(), "busbar")
	if err != nil {
		s.Fatal(err)
	}
	s.broker = cluster.Brokers()[0]
	write(s, s.dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog:\n  replicas: 3\n  min_in_sync: 2\n  kafka:\n%sstore: {path: cloud.db}\n", s.console, kafka.YAML(cloud.MTLS(), "    ")))
	return fmt.Sprintf("  kafka:\n%s    proxy: {url: %q}\n", kafka.YAML(gateway.SCRAM(), "    "), s.link.URL())
}

// runCloud starts the cloud and lets the gateway write to it.
func (s *thinSite) runCloud() {
	s.Helper()
	enrol(s, s.dir)
	start(s, s.dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
	await(s, "the cloud runs", 30*time.Second, func() bool { return reachable(s.console) })
}

// run starts the gateway.
func (s *thinSite) run() {
	s.Helper()
	s.gateway = start(s, s.dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "warn")
	await(s, "the gateway runs", 30*time.Second, func() bool { return reachable(s.status) })
}

func (s *thinSite) sent(lane string) float64 {
	return metrics(s, s.status)[`busbar_gateway_sent_bytes_total{lane="`+lane+`"}`]
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

// Over a line of 64 kbit/s, alarms and current values arrive while a backlog
// drains, and none of them waits for the others to end.
func TestThinLinkStarvesNobody(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newThinSite(t, way, satellite, 200_000)
			var late latencies
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			alarms := late.followAlarms(ctx, s.console)
			s.run()
			await(t, "the backlog drains", 2*time.Minute, func() bool { return s.sent("backfill") > 0 })
			const cleared = `busbar_gateway_alarms_total{change="cleared"}`
			for n := range 3 {
				backfill, fresh, before := s.sent("backfill"), s.sent("telemetry"), alarms()
				s.meters[0].dead.Store(true)
				await(t, "alarms arrive", time.Minute, func() bool { return alarms() >= before+2 })
				s.meters[0].dead.Store(false)
				await(t, "the alarms end", time.Minute, func() bool { return metrics(t, s.status)[cleared] >= float64(2*(n+1)) })
				await(t, "all lanes send", time.Minute, func() bool { return s.sent("backfill") > backfill && s.sent("telemetry") > fresh })
			}
			if waiting := metrics(t, s.status)[`busbar_gateway_buffer_waiting_records{stream="telemetry"}`]; waiting < 100 {
				t.Errorf("the backlog had drained: %v records waited", waiting)
			}
		})
	}
}
