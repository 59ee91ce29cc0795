package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkAlarmCommitted measures from the moment at which a meter was read without
// voltage until the alarm is on this machine's disk: 400 alarms.
func BenchmarkAlarmCommitted(b *testing.B) {
	bench := newBench(b)
	bench.source = strings.Replace(bench.source, "for: 30ms, keep_firing_for: 30ms", "for: 0s, keep_firing_for: 0s", 1)
	bench.config = bench.parse(bench.source)
	stop := bench.run()
	defer stop()
	p, events := bench.gateway.pipeline, bench.buffer.Events
	await := func(what string, is func() bool) {
		for limit := time.Now().Add(20 * time.Second); !is(); time.Sleep(100 * time.Microsecond) {
			if time.Now().After(limit) {
				b.Fatal("not in 20 s: " + what)
			}
		}
	}
	await("the meter is read", func() bool { return p.good.Load() > 0 })
	var took []time.Duration
	for b.Loop() {
		for range 400 {
			before := events.Stats().Committed
			bench.meter.set(0)
			await("the alarm is on disk", func() bool { return events.Stats().Committed > before })
			done := time.Now()
			took = append(took, done.Sub((*p.active.Load())[0].Raised.Time()))
			before = events.Stats().Committed
			bench.meter.set(230)
			await("its clearing is on disk", func() bool { return events.Stats().Committed > before })
		}
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
}
