package clock

import (
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// BenchmarkStamp is what a batch of eight samples costs on this machine's kernel.
func BenchmarkStamp(b *testing.B) {
	c := New(Options{Kernel: System(), Notes: &memory{}, Assume: true, Log: quiet})
	samples := make([]telemetry.Sample, 8)
	b.ReportAllocs()
	for b.Loop() {
		received := time.Now()
		for i := range samples {
			samples[i] = telemetry.Sample{Time: telemetry.MicrosOf(received)}
		}
		c.Stamp(received, samples)
	}
}

// BenchmarkPrepare is what placing a record of 10,000 samples costs.
func BenchmarkPrepare(b *testing.B) {
	f := &fake{}
	f.boot(0)
	c := start(f, &memory{})
	received := time.Now()
	samples := make([]telemetry.Sample, 10_000)
	for i := range samples {
		samples[i] = telemetry.Sample{Time: telemetry.MicrosOf(received), Signal: telemetry.SignalID(i % 1000), Value: telemetry.FloatValue(230 + float64(i%7)/10)}
	}
	stamp := c.Stamp(received, samples)
	for i := range samples {
		stamp.Hold(&samples[i])
	}
	waiting := recordOf(b, c, samples)
	f.set(noon)
	f.synchronised, f.maxError = true, 0
	c.Observe()
	for b.Loop() {
		r := waiting
		if ready, err := c.Prepare(&r); !ready || err != nil {
			b.Fatal(ready, err)
		}
	}
}
