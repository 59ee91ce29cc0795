package gateway

import (
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// What may be operated and which counters are watched are those of the configuration
// that the gateway runs with.
func TestControlAndCountersFollowTheConfiguration(t *testing.T) {
	b := newBench(t)
	counting(b)
	b.meter.Store(70_000)
	b.withControl(gatewayconfig.Interlock{When: "St >= 0"})
	g, stop := b.runs()
	counter := g.live.Load().devices.modbus[0].Points[0].Signal
	b.read(func(l log) bool { return l.count(counter) > 2 })

	next := b.config
	next.Devices = slices.Clone(b.config.Devices)
	next.Devices[0].Control = nil
	outcome, err := g.Try(Trial{Config: next, Source: Source{Text: []byte("next")}, By: "Ana", Wait: time.Minute})
	if err != nil || !outcome.Held {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if a := b.operates(g); a.Outcome != telemetry.ControlRefused || a.Cause != control.Unlisted {
		t.Errorf("a point that isn't listed any more: %+v", a)
	}
	b.meter.Store(10)
	b.read(func(l log) bool { return len(l.of(telemetry.CounterReset)) == 1 })
	stop()
}
