package account

import (
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// BenchmarkCount counts a second of 100 devices with 50 values each.
func BenchmarkCount(b *testing.B) {
	devices := meters(100)
	var samples []telemetry.Sample
	var slots []Slot
	for d := range devices {
		devices[d].Signals = nil
		for v := range 50 {
			id := telemetry.SignalID(51*d + v)
			devices[d].Signals = append(devices[d].Signals, id)
			samples = append(samples, telemetry.Sample{Time: noon + telemetry.Micros(d)*100, Signal: id, Value: telemetry.FloatValue(230)})
		}
		devices[d].Own = []telemetry.SignalID{telemetry.SignalID(51*d + 50)}
		slots = append(slots, Slot{Device: d, Due: noon + telemetry.Micros(d)*100})
	}
	l := New(Options{Epoch: 7, Devices: devices})
	b.ReportAllocs()
	for b.Loop() {
		l.Count(noon, samples, slots)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(samples)), "ns/sample")
}

// BenchmarkState is what each commit costs beside it.
func BenchmarkState(b *testing.B) {
	l := busy(100)
	var state []byte
	for b.Loop() {
		state = l.AppendState(state[:0], noon, 0)
	}
	b.ReportMetric(float64(len(state)), "B/state")
}
