package test

import (
	"cmp"
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/machine"
	"github.com/busbar/busbar/test/netem"
)

// satellite is a line of 64 kbit/s with a round trip of 600 ms, which loses 2 % of
// the packets in each direction.
var satellite = netem.Options{Rate: 64_000, Delay: 300 * time.Millisecond, Loss: 0.02}

// ways are how a gateway reaches the log: three real brokers with TLS and a login,
// or the cloud's uplink.
var ways = []string{"kafka", "uplink"}

// thinSite is a gateway at the near end of a line, with its meters, and a log at
// the far end.
type thinSite struct {
	testing.TB
	dir, status string
	broker      string // of the log, without a login
	line        *netem.Line
	meters      []*noisyMeter
	forward     string // the gateway's way to the log
	gateway     *program
}

// newThinSite runs a line and a log, and lets a gateway write to that which
// configure has configured in between.
func newThinSite(t testing.TB, way string, line netem.Options, configure func(s *thinSite)) *thinSite {
	t.Helper()
	machine.Demand(t, machine.PC)
	s := &thinSite{TB: t, dir: t.TempDir(), status: freeAddress(t)}
	var err error
	if s.line, err = netem.Open(s.dir, line); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.line.Close)
	exposed, err := s.line.Near.Expose(s.status)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exposed.Close() })
	if way == "uplink" {
		s.runUplink(configure)
	} else {
		s.runKafka()
		configure(s)
	}
	return s
}

func (s *thinSite) runKafka() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 3*time.Minute)
	defer cancel()
	cluster := kafka.StartAt(s, s.line.Far, 3)
	if err := cluster.CreateTopics(ctx, ""); err != nil {
		s.Fatal(err)
	}
	gateway, err := cluster.Gateway(ctx, "", "bench")
	if err != nil {
		s.Fatal(err)
	}
	s.broker, s.forward = cluster.Brokers()[0], "  kafka:\n"+kafka.YAML(gateway.SCRAM(), "    ")
}

func (s *thinSite) runUplink(configure func(*thinSite)) {
	s.Helper()
	authority, err := kafka.OpenAuthority(filepath.Join(s.dir, "ca"))
	if err != nil {
		s.Fatal(err)
	}
	cert, key, err := authority.Client("uplink", pkix.Name{CommonName: "uplink"}, s.line.Far)
	if err != nil {
		s.Fatal(err)
	}
	console := freeAddress(s)
	listen := s.line.Far + console[strings.LastIndexByte(console, ':'):]
	s.broker = freeAddress(s)
	write(s, s.dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog: {embedded: {listen: %q, path: log}}\nstore: {path: cloud.db}\n", console, s.broker)+
		fmt.Sprintf("uplink: {listen: %q, cert: %q, key: %q}\n", listen, cert, key))
	s.forward = fmt.Sprintf("  uplink: {url: \"https://%s\", ca: %q}\n", listen, authority.Cert())
	configure(s)
	enrol(s, s.dir)
	start(s, s.dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
	await(s, "the uplink listens", 30*time.Second, func() bool { return reachable(listen) })
}

// twoMeters configures a gateway with two meters of twenty values and two rules
// each.
func (s *thinSite) twoMeters() {
	s.Helper()
	var c strings.Builder
	fmt.Fprintf(&c, `gateway: {id: bench, site: bench}
forward:
%sbuffer: {path: buffer, commit_every: 2s}
status: {listen: %q}
defaults: {poll_every: 1s, timeout: 1s}
rules:
  - {name: low, on: {device: "*"}, when: V3 < 100, clear_when: V3 > 100, priority: high, summary: "no voltage at {{ .device }}"}
  - {name: also-low, on: {device: "*"}, when: V4 < 100, clear_when: V4 > 100, priority: high, summary: "no voltage at {{ .device }}"}
devices:
`, s.forward, s.status)
	for i := range 2 {
		m := newNoisyMeter(i)
		s.meters = append(s.meters, m)
		fmt.Fprintf(&c, "  - id: meter-%d\n    modbus: {endpoint: \"tcp://%s\"}\n    signals:\n", i, s.serve(m))
		for v := range 20 {
			fmt.Fprintf(&c, "      - {name: %s, input: %d, type: float32, unit: V}\n", benchName(v), 2*v)
		}
	}
	write(s, s.dir, "gateway.yaml", c.String())
}

// inside calls f at the near end of the line.
func (s *thinSite) inside(f func()) {
	s.Helper()
	if err := s.line.Near.Inside(f); err != nil {
		s.Fatal(err)
	}
}

// serve answers for a meter at the near end.
func (s *thinSite) serve(m *noisyMeter) (address string) {
	s.Helper()
	s.inside(func() { address = serve(s, m) })
	return address
}

// run starts the gateway.
func (s *thinSite) run() {
	s.Helper()
	s.inside(func() {
		s.gateway = start(s, s.dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "warn")
	})
	await(s, "the gateway runs", time.Minute, func() bool {
		response, err := http.Get("http://" + s.status + "/metrics")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil
	})
}

func (s *thinSite) sent(lane string) float64 {
	return metrics(s, s.status)[`busbar_gateway_sent_bytes_total{lane="`+lane+`"}`]
}

// Over the line, alarms and current values arrive while a backlog drains, and
// none of them waits for the others to end.
func TestTortureThinLine(t *testing.T) {
	alarms := 32
	if torture {
		alarms = 240
	}
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newThinSite(t, way, satellite, (*thinSite).twoMeters)
			s.run()
			s.gateway.stop() // the signals have ids now
			backlog(t, filepath.Join(s.dir, "buffer"), 50_000*alarms)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var late latencies
			late.followValues(t, ctx, s.broker)
			raised := late.followEvents(t, ctx, s.broker)
			s.run()
			await(t, "the backlog drains", 4*time.Minute, func() bool { return s.sent("backfill") > 0 })
			if torture {
				time.Sleep(20 * time.Second) // until the lanes have found their pace
			}
			began := time.Now()
			before := map[string]float64{}
			lanes := []string{"events", "telemetry", "backfill"}
			for _, lane := range lanes {
				before[lane] = s.sent(lane)
			}
			line, _, err := s.line.Counts()
			if err != nil {
				t.Fatal(err)
			}
			// A meter that is read late may miss its cue.
			byGateway := func() int { return int(metrics(t, s.status)[`busbar_gateway_alarms_total{change="raised"}`]) }
			for byGateway() < alarms {
				for _, dead := range []bool{true, false} {
					for _, m := range s.meters {
						m.dead.Store(dead)
						time.Sleep(1300 * time.Millisecond) // a meter is read each second
					}
				}
			}
			await(t, "every alarm has arrived", 3*time.Minute, func() bool { return raised() >= byGateway() })
			took := time.Since(began).Seconds()
			lineAfter, _, err := s.line.Counts()
			if err != nil {
				t.Fatal(err)
			}
			for _, lane := range lanes {
				sent := s.sent(lane) - before[lane]
				t.Logf("%s: %.0f B/s of payload", lane, sent/took)
				if sent == 0 {
					t.Errorf("nothing of %s was sent", lane)
				}
			}
			t.Logf("the line: %.0f B/s in %.1f packets/s", float64(lineAfter.Bytes-line.Bytes)/took, float64(lineAfter.Packets-line.Packets)/took)
			if waiting := metrics(t, s.status)[`busbar_gateway_buffer_waiting_records{stream="telemetry"}`]; waiting < 100 {
				t.Errorf("the backlog had drained: %v records waited", waiting)
			}
			late.log(t, "values", late.values, began)
			// As each loss would cost more than a second, they are sent two ways.
			if late.twice == 0 {
				t.Error("no alarm came twice")
			}
			if p99 := late.log(t, "alarms", late.alarms, began); torture && p99 > 2*time.Second {
				t.Errorf("alarms come after %v", p99)
			}
			late.logLatest(t)
			if torture {
				for _, at := range late.gaps(began, 30*time.Second) {
					t.Errorf("no current value came for 30 s up to %v", at)
				}
			}
		})
	}
}

// followEvents reads alarms that are raised from the log until ctx ends; raised is
// how many have come.
func (l *latencies) followEvents(t testing.TB, ctx context.Context, broker string) (raised func() int) {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(record.TopicsOf("").Events()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	seen := map[string]int{} // in l.alarms
	go func() {
		for ctx.Err() == nil {
			fetches := reader.PollFetches(ctx)
			now := time.Now()
			fetches.EachRecord(func(r *kgo.Record) {
				var e telemetry.Event
				if err := json.Unmarshal(r.Value, &e); err != nil {
					t.Error(err)
				}
				if e.Kind != telemetry.AlarmRaised {
					return
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				late := now.Sub(e.Decided.Time())
				if n, twice := seen[e.Alarm.ID]; twice {
					l.twice++
					l.alarms[n].again = late
					return
				}
				seen[e.Alarm.ID] = len(l.alarms)
				l.alarms = append(l.alarms, arrival{at: now, late: late})
			})
		}
	}()
	return func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.alarms)
	}
}

// log tells how late came what came from then on.
func (l *latencies) log(t testing.TB, what string, all []arrival, from time.Time) (p99 time.Duration) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var late []time.Duration
	for _, a := range all {
		if !a.at.Before(from) {
			late = append(late, a.late)
		}
	}
	if len(late) == 0 {
		t.Errorf("no %s", what)
		return 0
	}
	slices.Sort(late)
	at := func(q float64) time.Duration { return late[int(q*float64(len(late)-1))].Round(time.Millisecond) }
	t.Logf("%d %s: p50 %v, p90 %v, p99 %v, most %v", len(late), what, at(0.5), at(0.9), at(0.99), at(1))
	return at(0.99)
}

// logLatest tells of the alarms that came latest how late they and their copies came.
func (l *latencies) logLatest(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.SortedFunc(slices.Values(l.alarms), func(a, b arrival) int { return cmp.Compare(b.late, a.late) })
	for _, a := range all[:min(len(all), 8)] {
		t.Logf("%v: %v late, %v the other way", a.at.Format("15:04:05.0"), a.late.Round(time.Millisecond), a.again.Round(time.Millisecond))
	}
}

// gaps are when a current value came after none had come for so long.
func (l *latencies) gaps(from time.Time, longest time.Duration) (ends []time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := from
	for _, a := range l.values {
		if a.at.Before(from) {
			continue
		}
		if a.at.Sub(last) > longest {
			ends = append(ends, a.at)
		}
		last = a.at
	}
	return ends
}
