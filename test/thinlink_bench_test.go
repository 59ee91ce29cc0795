package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/test/thinlink"
)

// BenchmarkThinLink measures, over a line of 64 kbit/s with a round trip of 600 ms
// and 2 % loss, how late alarms and current values come while a backlog drains
// all the time, and what part of the line the backlog gets.
func BenchmarkThinLink(b *testing.B) {
	for _, way := range ways {
		b.Run(way, func(b *testing.B) {
			s := newThinSite(b, way, satellite, 2_000_000)
			var late latencies
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			late.followValues(b, ctx, s.broker)
			alarms := late.followAlarms(ctx, s.console)
			s.run()
			await(b, "the backlog drains", 2*time.Minute, func() bool { return s.sent("backfill") > 0 })
			time.Sleep(20 * time.Second) // until the lanes have found their pace
			began := time.Now()
			up, _ := s.link.Counts()
			before := map[string]float64{"backfill": s.sent("backfill"), "telemetry": s.sent("telemetry"), "events": s.sent("events")}
			raised, first := 0, alarms()
			for raised < 200 {
				for _, dead := range []bool{true, false} {
					for _, m := range s.meters {
						m.dead.Store(dead)
						time.Sleep(1300 * time.Millisecond)
					}
				}
				raised += 2 * len(s.meters)
			}
			ended := time.Now()
			upAfter, _ := s.link.Counts()
			took := ended.Sub(began).Seconds()
			for lane, bytes := range before {
				b.ReportMetric((s.sent(lane)-bytes)/took, lane+"-payload-B/s")
			}
			await(b, "every alarm has arrived", time.Minute, func() bool { return alarms() >= first+raised })
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(upAfter.Wire-up.Wire)/took, "line-B/s")
			b.ReportMetric(metrics(b, s.status)[`busbar_gateway_buffer_waiting_records{stream="telemetry"}`], "records-waiting")
			reportLate(b, "value", between(late.values, began, ended))
			reportLate(b, "alarm", between(late.alarms, began, time.Now()))
		})
	}
}

// BenchmarkWire counts the bytes that a gateway and the log exchange over a line
// without a limit: for a value with noise at 5,000 a second, and in a day in which
// a single signal is read once a minute.
func BenchmarkWire(b *testing.B) {
	for _, way := range append(ways[:len(ways):len(ways)], secured) {
		b.Run(way+"/values=5000/s", func(b *testing.B) {
			s := newWireSite(b, way, func(s *thinSite, forward string) string {
				_, addresses := startMeters(b)
				return replace(b, benchConfig("", s.status, addresses, time.Second, interruptionRule), "forward: {kafka: {brokers: [\"\"]}}\n", "forward:\n"+forward)
			})
			const values = `busbar_gateway_samples_total{validity="good"}`
			before := metrics(b, s.status)[values]
			sent := s.exchanged(time.Minute)
			read := metrics(b, s.status)[values] - before
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(sent.Bytes)/read, "B/value")
			b.ReportMetric(float64(sent.Wire)/read, "B/value-with-TCP/IP")
		})
		b.Run(way+"/idle", func(b *testing.B) {
			s := newWireSite(b, way, func(s *thinSite, forward string) string {
				return fmt.Sprintf("gateway: {id: bench, site: bench}\nforward:\n%sbuffer: {path: buffer}\nstatus: {listen: %q}\ndefaults: {poll_every: 1m}\n", forward, s.status) +
					fmt.Sprintf("devices:\n  - id: meter\n    modbus: {endpoint: \"tcp://%s\"}\n    signals: [{name: V, input: 0, type: float32, unit: V}]\n", serve(b, newNoisyMeter(0)))
			})
			const minutes = 10
			time.Sleep(time.Minute) // what a start needs isn't idle
			sent := s.exchanged(minutes * time.Minute)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(sent.Bytes)*24*60/minutes/1e6, "MB/day")
			b.ReportMetric(float64(sent.Wire)*24*60/minutes/1e6, "MB/day-with-TCP/IP")
		})
	}
}

func newWireSite(b *testing.B, way string, configure func(s *thinSite, forward string) string) *thinSite {
	b.Helper()
	s := &thinSite{TB: b, dir: b.TempDir(), status: freeAddress(b), console: freeAddress(b), broker: freeAddress(b)}
	var err error
	if s.link, err = thinlink.Listen(thinlink.Options{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.link.Close)
	forward := s.prepareCloud(way)
	write(b, s.dir, "gateway.yaml", configure(s, forward))
	s.runCloud()
	s.run()
	await(b, "the gateway sends", time.Minute, func() bool { return s.sent("events") > 0 })
	return s
}

// exchanged is what crosses the line in both directions in such a time, from ten
// seconds on.
func (s *thinSite) exchanged(in time.Duration) thinlink.Count {
	time.Sleep(10 * time.Second)
	up, down := s.link.Counts()
	time.Sleep(in)
	upAfter, downAfter := s.link.Counts()
	return thinlink.Count{
		Bytes: upAfter.Bytes + downAfter.Bytes - up.Bytes - down.Bytes,
		Wire:  upAfter.Wire + downAfter.Wire - up.Wire - down.Wire,
	}
}

// BenchmarkFullBuffer reports the anonymous memory of a gateway that reaches no
// log, from an empty buffer to one that is thinned again and again.
func BenchmarkFullBuffer(b *testing.B) {
	b.Run("values=50000/s", func(b *testing.B) { benchFullBuffer(b, 100*time.Millisecond, 16<<20) })
	b.Run("values=250000/s", func(b *testing.B) { benchFullBuffer(b, 20*time.Millisecond, 48<<20) })
}

func benchFullBuffer(b *testing.B, poll time.Duration, size float64) {
	_, addresses := startMeters(b)
	dir, status := b.TempDir(), freeAddress(b)
	config := benchConfig(freeAddress(b), status, addresses, poll, interruptionRule)
	write(b, dir, "gateway.yaml", replace(b, config, "max_size: 1GiB", fmt.Sprintf("max_size: %dMiB", int(size)>>20)))
	p := start(b, dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "error")
	await(b, "the gateway runs", 20*time.Second, func() bool { return reachable(status) })
	most := map[string]uint64{}
	var thinned time.Time
	for ; thinned.IsZero() || time.Since(thinned) < 30*time.Second; time.Sleep(500 * time.Millisecond) {
		m := metrics(b, status)
		phase := "full"
		switch {
		case m["busbar_gateway_buffer_thinned_segments_total"] > 0:
			phase = "thinning"
			if thinned.IsZero() {
				thinned = time.Now()
			}
		case m[`busbar_gateway_buffer_bytes{stream="telemetry"}`] < size/10:
			phase = "empty"
		case m[`busbar_gateway_buffer_bytes{stream="telemetry"}`] < size/2:
			phase = "half"
		}
		most[phase] = max(most[phase], usageOf(b, p.cmd.Process.Pid).anonymous)
	}
	b.ReportMetric(0, "ns/op")
	for phase, bytes := range most {
		b.ReportMetric(float64(bytes)/1e6, "MB-anon-"+phase)
	}
}
