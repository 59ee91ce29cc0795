package rules

import (
	"cmp"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"pgregory.net/rapid"
)

// exchange is what one device says at once, and when it is received.
type exchange struct {
	samples  []telemetry.Sample
	received telemetry.Micros
}

// story is a sequence of exchanges in the order received. Some devices are
// polled, some speak by change, some samples are bad or arrive late by one of the
// delays, in µs.
func story(t *rapid.T, m Model, delays ...int) []exchange {
	var out []exchange
	delays = append(delays, 0)
	now := epoch
	exchangeOf := func(d Device, late telemetry.Micros, draw func(telemetry.Signal) telemetry.Sample) exchange {
		x := exchange{received: now}
		for _, s := range m.Signals {
			if s.Device == d.ID {
				sample := draw(s)
				sample.Signal, sample.Time = s.ID, now-late
				x.samples = append(x.samples, sample)
			}
		}
		return x
	}
	for range rapid.IntRange(1, 60).Draw(t, "exchanges") {
		now += telemetry.Micros(rapid.SampledFrom([]int{1, 1000, 400_000, 500_000, 1_000_000, 1_000_001, 2_500_000, 5_000_000}).Draw(t, "step"))
		d := rapid.SampledFrom(m.Devices).Draw(t, "device")
		late := telemetry.Micros(rapid.SampledFrom(delays).Draw(t, "late"))
		silent := rapid.IntRange(0, 9).Draw(t, "silent") == 0
		out = append(out, exchangeOf(d, late, func(telemetry.Signal) telemetry.Sample {
			if silent {
				return telemetry.Sample{Quality: telemetry.MakeQuality(telemetry.Bad, 0, telemetry.Timeout)}
			}
			return telemetry.Sample{Value: telemetry.FloatValue(rapid.SampledFrom([]float64{0, 1, 2, 3}).Draw(t, "value"))}
		}))
	}
	// What the clock alone would still do comes out at the end.
	now += 3_600_000_000
	for _, d := range m.Devices {
		now++
		out = append(out, exchangeOf(d, 0, func(telemetry.Signal) telemetry.Sample {
			return telemetry.Sample{Quality: telemetry.MakeQuality(telemetry.Bad, 0, telemetry.Timeout)}
		}))
	}
	return out
}

func storyModel() Model {
	m := Model{Gateway: "gw"}
	for _, d := range []Device{
		{ID: "a", Asset: "x", PollEvery: time.Second, PoweredBy: PoweredByMeasured, Supply: "s"},
		{ID: "b", Asset: "y", PollEvery: time.Second, Supply: "s"},
		{ID: "c", Asset: "z", PollEvery: 0},
	} {
		m.Devices = append(m.Devices, d)
		for _, name := range []string{"PhV.phsA", "PhV.phsB", telemetry.ChannelLive} {
			kind := telemetry.Gauge
			if name == telemetry.ChannelLive {
				kind = telemetry.State
			}
			m.Signals = append(m.Signals, telemetry.Signal{ID: telemetry.SignalID(len(m.Signals)), Device: d.ID, Asset: d.Asset, Name: name, Unit: "V", Kind: kind})
		}
	}
	return m
}

// storyRules read one device each; crossRules read several.
func storyRules() []Rule {
	every := Target{Device: "*"}
	return []Rule{
		{Name: "at-once", On: every, When: "PhV.phsA > 1"},
		{Name: "hysteresis", On: every, When: "every_phase(PhV < 1)", ClearWhen: "any_phase(PhV > 1)", For: lasting(time.Second), KeepFiringFor: lasting(2 * time.Second)},
		{Name: "often", On: every, When: `count_over(PhV.phsA > 1, "10s") >= 2`, KeepFiringFor: lasting(time.Second), Group: "g"},
		{Name: "held", On: every, When: "PhV.phsB > 1", SuppressedBy: []string{"at-once"}, SuppressedWhen: "PhV.phsA == 0", Group: "g"},
		{Name: "latched", On: every, When: "PhV.phsA > 2", Latch: true},
		{Name: "slow", On: every, When: "PhV.phsA + PhV.phsB > 1 or unknown(PhV.phsA > 0)", For: lasting(4 * time.Second), KeepFiringFor: lasting(time.Second)},
	}
}

func crossRules() []Rule {
	return append(storyRules(), Rule{Name: "neighbours", On: Target{Device: "a"}, When: "supply_below(1)", For: lasting(time.Second)},
		Rule{Name: "no-evidence", On: Target{Device: "a"}, When: "unknown(supply_below(1)) and PhV.phsA < 2", For: lasting(2 * time.Second)})
}

func engineFor(t *rapid.T, m Model, entries []Rule) *Engine {
	e, problems := Compile(entries, m)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return e
}

// history groups events by alarm: only between alarms may their order differ.
// When they were decided depends on batching and ticks, the rest must not.
func history(events []telemetry.Event) []telemetry.Event {
	out := slices.Clone(events)
	for i := range out {
		out[i].Decided = 0
	}
	slices.SortStableFunc(out, func(a, b telemetry.Event) int {
		return cmp.Or(cmp.Compare(a.Alarm.Rule, b.Alarm.Rule), cmp.Compare(a.Alarm.Device, b.Alarm.Device))
	})
	return out
}

func sameHistory(t *rapid.T, got, want []telemetry.Event) {
	got, want = history(got), history(want)
	if !reflect.DeepEqual(got, want) {
		for i := range min(len(got), len(want)) {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Logf("the first that differs: %+v, expected %+v", *got[i].Alarm, *want[i].Alarm)
				break
			}
		}
		t.Fatalf("%d events, expected %d:\n%s\n%s", len(got), len(want), lines(got), lines(want))
	}
}

func lines(events []telemetry.Event) (out string) {
	for _, e := range events {
		out += string(e.Kind) + " " + e.Alarm.Rule + " " + e.Alarm.Device + " " + e.Time.Time().Format("04:05.000000") + "\n"
	}
	return out
}

// plain is the story told one exchange at a time, without a clock.
func plain(e *Engine, s []exchange) (events []telemetry.Event) {
	for _, x := range s {
		e.Update(x.received.Time(), x.samples, func(e telemetry.Event) { events = append(events, e) })
	}
	return events
}

func TestBatchingAndTicksDoNotMatter(t *testing.T) {
	fired := 0
	rapid.Check(t, func(t *rapid.T) {
		m := storyModel()
		s := story(t, m, 0, 0, 5000, 1_500_000)
		want := plain(engineFor(t, m, crossRules()), s)
		fired += len(want)

		e := engineFor(t, m, crossRules())
		var got []telemetry.Event
		emit := func(e telemetry.Event) { got = append(got, e) }
		for len(s) > 0 {
			n := rapid.IntRange(1, len(s)).Draw(t, "batch")
			var batch []telemetry.Sample
			for _, x := range s[:n] {
				batch = append(batch, x.samples...)
			}
			e.Update(s[n-1].received.Time(), batch, emit)
			if n < len(s) && rapid.Bool().Draw(t, "tick") {
				// Any time until the next sample that may still arrive was taken.
				until := s[n].samples[0].Time
				for _, x := range s[n:] {
					until = min(until, x.samples[0].Time)
				}
				for e.NextDeadline().Before(until.Time()) && !e.NextDeadline().IsZero() {
					e.Tick(e.NextDeadline(), emit)
				}
			}
			s = s[n:]
		}
		sameHistory(t, got, want)
	})
	if fired == 0 {
		t.Error("no alarm in any story")
	}
}

func TestKilledAnywhereNothingIsLostOrRepeated(t *testing.T) {
	fired := 0
	rapid.Check(t, func(t *rapid.T) {
		m := storyModel()
		s := story(t, m)
		want := plain(engineFor(t, m, storyRules()), s)
		fired += len(want)

		e := engineFor(t, m, storyRules())
		var got []telemetry.Event
		stored := e.State()
		for _, x := range s {
			e.Update(x.received.Time(), x.samples, func(e telemetry.Event) { got = append(got, e) })
			if e.Changed() {
				stored = e.State()
			}
			if rapid.IntRange(0, 3).Draw(t, "kill") == 0 {
				e = engineFor(t, m, storyRules())
				if err := e.Restore(stored, x.received.Time()); err != nil {
					t.Fatal(err)
				}
			}
		}
		sameHistory(t, got, want)
	})
	if fired == 0 {
		t.Error("no alarm in any story")
	}
}

func TestAlarmsAlternate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := storyModel()
		open := map[string]telemetry.Event{}
		for _, e := range plain(engineFor(t, m, crossRules()), story(t, m, 0, 0, 5000, 1_500_000)) {
			key := e.Alarm.Rule + "/" + e.Alarm.Device
			raised, isOpen := open[key]
			switch {
			case isOpen != (e.Kind == telemetry.AlarmCleared):
				t.Fatalf("%s %s while open is %v", key, e.Kind, isOpen)
			case isOpen && (e.Alarm.ID != raised.Alarm.ID || e.Time < raised.Time):
				t.Fatalf("%s cleared as %s at %d, raised as %s at %d", key, e.Alarm.ID, e.Time, raised.Alarm.ID, raised.Time)
			case isOpen:
				delete(open, key)
			default:
				open[key] = e
			}
		}
	})
}
