package gateway

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// watchMains has the gateway take the voltage of its meter for its own supply's.
func (b *bench) watchMains() {
	b.t.Helper()
	b.source = strings.Replace(b.source, "site: north}", "site: north, mains: {device: meter, signal: PhV.phsA}}", 1)
	b.source = strings.Replace(b.source, "for: 30ms, keep", "for: 0s, keep", 1) // the alarm comes with the same sample
	b.config = b.parse(b.source)
}

// valuesOf is what the log has of a signal of the gateway's own, by its name.
func (l log) valuesOf(name string) (values []telemetry.Value) {
	var id telemetry.SignalID
	for _, birth := range l.births {
		for _, s := range birth.Signals {
			if s.Device == "gw" && s.Name == name {
				id = s.ID
			}
		}
	}
	for _, s := range l.points {
		if s.Signal == id && id != 0 {
			values = append(values, s.Value)
		}
	}
	return values
}

// The supply fails: that is the first thing to be told, once, also if the gateway is
// started anew meanwhile, and so is its return.
func TestLastGasp(t *testing.T) {
	b := newBench(t)
	b.watchMains()
	stop := b.run()
	there := telemetry.BoolValue(true)
	b.read(func(l log) bool { return slices.Contains(l.valuesOf("Mains"), there) && len(l.valuesOf("ClkSt")) > 0 })
	if r := (source{b.gateway, time.Now()}).Report(); r.Supply != status.SupplyThere {
		t.Errorf("supply %s", r.Supply)
	}
	b.meter.set(0)
	l := b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) > 0 && len(l.of(telemetry.SupplyFailed)) > 0 })
	order := slices.IndexFunc(l.events, func(e telemetry.Event) bool { return e.Kind == telemetry.SupplyFailed })
	if raised := slices.IndexFunc(l.events, func(e telemetry.Event) bool { return e.Kind == telemetry.AlarmRaised }); order > raised {
		t.Error("the alarm is told before the last gasp")
	}
	gasp := l.events[order]
	if gasp.Time <= 0 || gasp.Decided < gasp.Time || gasp.LastGasp == nil || gasp.LastGasp.Boot != b.gateway.clock.Boot().String() || gasp.LastGasp.Runtime != nil {
		t.Errorf("%+v", gasp)
	}
	if r := (source{b.gateway, time.Now()}).Report(); r.Supply != status.SupplyFailed || !strings.Contains(strings.Join(r.Problems, "\n"), "supply has failed at") {
		t.Errorf("supply %s, %q", r.Supply, r.Problems)
	}
	stop()
	stop = b.run()
	b.read(func(l log) bool {
		return len(l.of(telemetry.GatewayStarted)) == 2 && len(l.valuesOf("Mains")) >= 3
	})
	stop()
	b.meter.set(230)
	stop = b.run()
	defer stop()
	l = b.read(func(l log) bool { return len(l.of(telemetry.SupplyRestored)) > 0 })
	if n := len(l.of(telemetry.SupplyFailed)); n != 1 {
		t.Errorf("%d last gasps of one failure", n)
	}
	back := l.of(telemetry.SupplyRestored)[0]
	if r := back.Restored; r == nil || r.Since != gasp.Time || r.Boot != gasp.LastGasp.Boot || r.Away == nil || *r.Away <= 0 || (telemetry.Micros(*r.Away)-(back.Time-gasp.Time)).Time().UnixMicro() > 1_000_000 {
		t.Errorf("%+v, %+v", back, back.Restored)
	}
	b.meter.set(0)
	l = b.read(func(l log) bool { return len(l.of(telemetry.SupplyFailed)) == 2 })
	if n := len(l.of(telemetry.SupplyRestored)); n != 1 {
		t.Errorf("it was back %d times", n)
	}
}

// What can't be read says nothing about the supply, and the alarms that were active
// and how long the battery lasts are named.
func TestWhatALastGaspSays(t *testing.T) {
	b := newBench(t)
	b.watchMains()
	stop := b.run()
	defer stop()
	b.meter.set(0)
	b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) > 0 })
	s := b.gateway.self
	ids := s.ids
	ids.watched, ids.there, ids.batteryRuntime = "ups", 1000, 1001
	s.change(ids)
	deliver := func(runtime float64, there telemetry.Sample) {
		now := time.Now()
		there.Time, there.Signal = telemetry.MicrosOf(now), 1000
		if err := s.Deliver(t.Context(), adapters.Batch{Device: "ups", Received: now, Samples: []telemetry.Sample{
			there, {Time: telemetry.MicrosOf(now), Signal: 1001, Value: telemetry.FloatValue(runtime)},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	deliver(700, telemetry.Sample{Value: telemetry.BoolValue(true)})
	deliver(700, telemetry.Sample{Quality: telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)})
	if r := (source{b.gateway, time.Now()}).Report(); r.Supply != status.SupplyUnknown {
		t.Errorf("supply %s", r.Supply)
	}
	deliver(600, telemetry.Sample{Value: telemetry.BoolValue(false)})
	l := b.read(func(l log) bool { return len(l.of(telemetry.SupplyFailed)) == 2 })
	g := l.of(telemetry.SupplyFailed)[1].LastGasp
	if g.Runtime == nil || *g.Runtime != 600 || len(g.Active) != 1 || g.Active[0].Asset != "feeder-1" || g.Unlisted != 0 {
		t.Errorf("%+v", g)
	}
}

// A last gasp names what fits, and says how much more there is.
func TestALastGaspIsShort(t *testing.T) {
	var active []rules.Active
	for range 100 {
		active = append(active, rules.Active{Rule: strings.Repeat("r", 20), Asset: strings.Repeat("a", 20), Device: strings.Repeat("d", 20)})
	}
	for n, want := range map[int]int{0: 0, 1: 1, 4: 4, 5: 4, 100: 4} {
		if named, unlisted := gasped(active[:n]); len(named) != want || unlisted != n-want {
			t.Errorf("of %d, %d are named, and %d more", n, len(named), unlisted)
		}
	}
	active[0].Rule = strings.Repeat("r", mostGasped)
	if named, unlisted := gasped(active); named != nil || unlisted != 100 {
		t.Errorf("%+v, %d", named, unlisted)
	}
}

// A last gasp that can't be told is tried again, as long as the supply isn't there, and
// only what was told has a return.
func TestALastGaspIsTriedAgain(t *testing.T) {
	b := newBench(t)
	b.watchMains()
	b.run()()
	s := b.gateway.self.supply
	var told []telemetry.Event
	failing := errors.New("full")
	s.tell = func(e telemetry.Event) error {
		if failing == nil {
			told = append(told, e)
		}
		return failing
	}
	expect := func(what string, want ...telemetry.EventKind) {
		t.Helper()
		var got []telemetry.EventKind
		for _, e := range told {
			got = append(got, e.Kind)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, expected %v", what, got, want)
		}
	}
	s.is(false, time.Now())
	s.is(true, time.Now())
	failing = nil
	s.settle()
	expect("over before it could be told")
	failing = errors.New("full")
	at := time.Now()
	s.is(false, at)
	s.settle()
	s.is(false, at.Add(time.Hour))
	if r := (source{b.gateway, time.Now()}).Report(); r.Supply != status.SupplyFailed {
		t.Errorf("supply %s", r.Supply)
	}
	failing = nil
	s.settle()
	s.settle()
	expect("the failure", telemetry.SupplyFailed)
	if want := b.gateway.clock.At(at); len(told) == 1 && told[0].Time != want {
		t.Errorf("at %d, expected %d", told[0].Time, want)
	}
	s.is(true, time.Now())
	expect("the return", telemetry.SupplyFailed, telemetry.SupplyRestored)
}

// How long the battery lasts is in s: a variable that is scaled isn't that.
func TestWhichRuntimeALastGaspTakes(t *testing.T) {
	b := newBench(t)
	b.source = strings.Replace(b.withUPS(startUPSD(t)), "site: north}", "site: north, mains: {device: ups, signal: OnLine}}", 1)
	b.config = b.parse(b.source)
	b.run()()
	d := b.gateway.live.Load().setting().devices
	if ids := d.selfIDs(); ids.batteryRuntime == 0 || ids.batteryRuntime != d.signal("ups", "Runtime") {
		t.Errorf("%+v", ids)
	}
	for _, key := range []string{"scale: 0.5", "offset: 3"} {
		d.config = b.parse(strings.Replace(b.source, "variable: battery.runtime", "variable: battery.runtime, "+key, 1))
		if ids := d.selfIDs(); ids.batteryRuntime != 0 || ids.there == 0 {
			t.Errorf("%s: %+v", key, ids)
		}
	}
}

// Across a boot, nobody knows how long the supply was away if the clock wasn't set when
// it failed.
func TestHowLongTheSupplyWasAway(t *testing.T) {
	b := newBench(t)
	b.watchMains()
	stop := b.run()
	defer stop()
	b.read(func(l log) bool { return len(l.valuesOf("Mains")) > 0 })
	s := b.gateway.self.supply
	for i, failed := range []failedSupply{
		{Since: 1_790_000_000_000_000, Boot: "another"},
		{Since: 1_790_000_000_000_000, Boot: "another", Unset: true},
	} {
		s.mu.Lock()
		s.failed = &failed
		s.mu.Unlock()
		s.is(true, time.Now())
		l := b.read(func(l log) bool { return len(l.of(telemetry.SupplyRestored)) > i })
		if r := l.of(telemetry.SupplyRestored)[i].Restored; (r.Away != nil) == failed.Unset {
			t.Errorf("%+v: %+v", failed, r)
		}
	}
}

// A gateway that has booted without the time awaits it before it says how long the
// supply was away.
func TestTheReturnOfTheSupplyAwaitsTheClock(t *testing.T) {
	b := newBench(t)
	b.watchMains()
	m := &machine{booted: time.Now(), id: record.Boot{7}, atBoot: day}
	b.kernel = m
	b.opened = func() {
		b.gateway.self.supply.failed = &failedSupply{Since: noon - telemetry.Micros(time.Hour.Microseconds()), Boot: "another"}
	}
	stop := b.run()
	defer stop()
	b.awaitHeld()
	s := b.gateway.self.supply
	s.settle()
	s.mu.Lock()
	waits := s.failed != nil && !s.back.IsZero()
	s.mu.Unlock()
	if !waits {
		t.Fatal("the return is told without the time")
	}
	m.set(noon, true)
	l := b.read(func(l log) bool { return len(l.of(telemetry.SupplyRestored)) == 1 })
	if r := l.of(telemetry.SupplyRestored)[0].Restored; r.Away == nil || *r.Away < time.Hour.Microseconds() || *r.Away > time.Hour.Microseconds()+60_000_000 {
		t.Errorf("%+v", r)
	}
}

func TestClockStatesAreSamples(t *testing.T) {
	b := newBench(t)
	stop := b.run()
	defer stop()
	l := b.read(func(l log) bool { return len(l.valuesOf("ClkSt")) > 0 })
	if got := l.valuesOf("ClkSt")[0]; got != telemetry.IntValue(gatewayconfig.ClockStates[b.gateway.clock.Stats().State]) {
		t.Errorf("%v, but the clock is %s", got, b.gateway.clock.Stats().State)
	}
	if r := (source{b.gateway, time.Now()}).Report(); r.Supply != status.SupplyUnwatched {
		t.Errorf("supply %s", r.Supply)
	}
}
