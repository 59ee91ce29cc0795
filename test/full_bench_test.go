package test

import (
	"fmt"
	"testing"
	"time"
)

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
