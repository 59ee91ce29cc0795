package test

import (
	"fmt"
	"testing"
	"time"
)

// drainValues is the backlog of BenchmarkDrain: 5,000 values/s over 4,000 s.
const drainValues = 20_000_000

// BenchmarkDrain runs the real gateway and the real cloud, after an outage that
// has left a backlog on the gateway's disk. It reports what the drain costs the
// gateway, and, until the cloud has stored all of it, how late current values come
// to the log, from the moment they were read and from their commit, and how late
// alarms come to a subscriber of the console. TestTortureDrain does the same with a
// day's backlog.
func BenchmarkDrain(b *testing.B) {
	b.Run("log=embedded", func(b *testing.B) {
		broker := freeAddress(b)
		newDrainSite(b, broker, fmt.Sprintf("brokers: [%q]\n", broker), fmt.Sprintf("  embedded: {listen: %q, path: log}\n", broker)).report(b)
	})
	b.Run("log=kafka", func(b *testing.B) {
		s, _ := newDrainOnKafka(b)
		s.report(b)
	})
}

func (s *drainSite) report(b *testing.B) {
	d := s.drain(drainValues)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(d.perCPU(), "M-values/CPU-s")
	b.ReportMetric(float64(d.values)/d.took.Seconds()/1e6, "M-values/s")
	b.ReportMetric(float64(d.anonymous)/1e6, "MB-anon-most")
	b.ReportMetric(d.records, "backfill-records")
	b.ReportMetric(d.first.Seconds(), "s-to-first-value")
	reportLate(b, "value", d.read)
	reportLate(b, "committed", d.committed)
	reportLate(b, "alarm", d.alarms)
}

// reportLate reports sorted latencies.
func reportLate(b *testing.B, what string, late []time.Duration) {
	b.ReportMetric(float64(quantile(late, 0.5).Milliseconds()), what+"-ms-p50")
	b.ReportMetric(float64(quantile(late, 0.99).Milliseconds()), what+"-ms-p99")
	b.ReportMetric(float64(len(late)), what+"s")
}
