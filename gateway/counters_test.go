package gateway

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

// counting makes the first signal of a bench's meter a counter, and another a state.
func counting(b *bench) {
	signals := b.config.Devices[0].Signals
	signals[0] = profile.Signal{Name: "DmdWh", Input: new(uint16(0)), Type: "uint32", Scale: 1, Unit: "W.h", Kind: telemetry.Counter}
	signals[1] = profile.Signal{Name: "St", Input: new(uint16(3)), Type: "uint16", Scale: 1, States: map[string]string{"2": "running"}}
	signals[1].Fill()
	b.config.Rules = nil
	b.meter.Store(0)
}

// changes are what was told of counters, in short.
func (l log) changes() (list []string) {
	for _, e := range l.events {
		if c := e.Counter; c != nil {
			list = append(list, fmt.Sprintf("%s %s/%s of %s %v→%v %v %s", e.Kind, c.Device, c.Name, c.Asset, c.Before, c.After, c.Modulus, c.Unit))
		}
	}
	return list
}

// A counter's roll-over and its reset are events, once each, however often the gateway
// is stopped; also the swap of a meter while it doesn't run. Its values are as they
// were read.
func TestCountersAreWatched(t *testing.T) {
	b := newBench(t)
	counting(b)
	want := []string{}
	told := func(s string) {
		t.Helper()
		want = append(want, s)
		l := b.read(func(l log) bool { return len(l.changes()) >= len(want) })
		if got := l.changes(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q, expected %q", got, want)
		}
	}
	read := func(v uint32) {
		t.Helper()
		b.meter.Store(v)
		b.read(func(l log) bool {
			for _, s := range l.points {
				if s.Value == telemetry.UintValue(uint64(v)) {
					return true
				}
			}
			return false
		})
	}
	stop := b.run()
	read(1<<32 - 10)
	b.meter.Store(5)
	told("counter-rolled-over meter/DmdWh of feeder-1 4.294967286e+09→5 4.294967296e+09 W.h")
	read(70_000)
	stop()

	b.meter.Store(20) // another meter
	stop = b.run()
	told("counter-reset meter/DmdWh of feeder-1 70000→20 0 W.h")
	stop()

	stop = b.run()
	read(30)
	stop()
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 3 })
	if got := l.changes(); len(got) != 2 {
		t.Errorf("%q", got)
	}
	reset := l.of(telemetry.CounterReset)[0]
	if c := reset.Counter; c.Signal != 1 || c.BeforeTime >= c.AfterTime || reset.Time != c.AfterTime || reset.Decided < reset.Time {
		t.Errorf("%+v %+v", reset, c)
	}
}

// A gateway that is killed still knows the counters, as they were when it saved them.
func TestCountersOutliveAKill(t *testing.T) {
	b := newBench(t)
	counting(b)
	b.meter.Store(1 << 16)
	g, err := New(b.config, Options{Version: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	device := g.live.Load().devices.modbus[0]
	deliver := func(v uint64) {
		t.Helper()
		now := time.Now()
		batch := []telemetry.Sample{{Time: telemetry.MicrosOf(now), Signal: device.Points[0].Signal, Value: telemetry.UintValue(v)}}
		g.pipeline.watch.Take(batch, telemetry.MicrosOf(now), g.pipeline.emit)
		g.pipeline.hold(false)
		if err := g.buffer.Events.CommitHeld(); err != nil {
			t.Fatal(err)
		}
	}
	deliver(70_000) // the first is saved at once
	deliver(70_001) // and others not for a while
	g.close()       // without a stop

	g, err = New(b.config, Options{Version: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { g.close() }()
	for v := range uint64(3) {
		deliver(v)
	}
	if n := g.buffer.Events.Stats().Numbered; n != 1 {
		t.Fatalf("%d events, expected that the counter was reset", n)
	}
	g.close() // with what was told in one transaction
	g, err = New(b.config, Options{Version: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for v := range uint64(4) {
		deliver(v + 1)
	}
	if n := g.buffer.Events.Stats().Numbered; n != 0 {
		t.Errorf("%d events: it is told twice", n)
	}
	var state struct {
		Version  int
		Alarms   []any
		Counters []byte
	}
	if err := json.Unmarshal(g.buffer.Events.State(), &state); err != nil || state.Version != 1 || state.Alarms == nil || len(state.Counters) == 0 {
		t.Errorf("%s: %v", g.buffer.Events.State(), err)
	}
}

// The names of values travel with the births, and a signal whose names change is the
// same one.
func TestNamesOfValues(t *testing.T) {
	b := newBench(t)
	counting(b)
	names := func(starts int) (telemetry.Signal, uint32) {
		stop := b.run()
		defer stop()
		l := b.read(func(l log) bool { return len(l.births) == starts })
		birth := l.births[starts-1]
		return birth.Signals[1], birth.Version
	}
	first, version := names(1)
	if first.Name != "St" || first.States[2] != "running" || first.Kind != telemetry.State {
		t.Fatalf("%+v", first)
	}
	b.config.Devices[0].Signals[1].States = map[string]string{"2": "feeding in", "0x0": "off"}
	second, same := names(2)
	if second.ID != first.ID || same != version || second.States[2] != "feeding in" || second.States[0] != "off" {
		t.Errorf("%+v of version %d, before %+v of %d", second, same, first, version)
	}
	b.config.Devices = nil
	if third, _ := names(3); third.States[2] != "feeding in" {
		t.Errorf("of a device that isn't configured any more: %+v", third)
	}
}
