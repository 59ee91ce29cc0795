package gateway

import (
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// A signal that becomes a counter while the gateway runs is watched from then on.
func TestCountersFollowTheConfiguration(t *testing.T) {
	b := newBench(t)
	counting(b)
	b.meter.Store(70_000)
	next := b.config
	next.Devices = slices.Clone(b.config.Devices)
	next.Devices[0].Signals = slices.Clone(b.config.Devices[0].Signals)
	b.config.Devices[0].Signals[0].Kind = telemetry.Gauge
	g, stop := b.runs()
	reads := func() {
		t.Helper()
		id := g.live.Load().devices.modbus[0].Points[0].Signal
		b.read(func(l log) bool { return l.count(id) > 4 })
	}
	reads()
	outcome, err := g.Try(Trial{Config: next, Source: Source{Text: []byte("next")}, By: "Ana", Wait: time.Minute})
	if err != nil || !outcome.Held {
		t.Fatalf("%+v, %v", outcome, err)
	}
	reads()
	b.meter.Store(10)
	b.read(func(l log) bool { return len(l.of(telemetry.CounterReset)) == 1 })
	stop()
}
