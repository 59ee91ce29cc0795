package clock

import (
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// noon is a day after everything in these tests.
var noon = telemetry.MicrosOf(time.Date(2026, time.November, 25, 12, 0, 0, 0, time.UTC))

func TestStates(t *testing.T) {
	unset, free, synchronised := telemetry.ClockUnset, telemetry.ClockFreeRunning, telemetry.ClockSynchronised
	type step struct {
		what  string
		do    func(*fake)
		state telemetry.ClockState
		now   telemetry.Micros // gateway time
		moved bool             // the generation rises
	}
	pass := func(d telemetry.Micros) func(*fake) { return func(f *fake) { f.pass(d) } }
	set := func(wall telemetry.Micros) func(*fake) { return func(f *fake) { f.set(wall) } }
	confirm := func(maxError time.Duration) func(*fake) {
		return func(f *fake) { f.synchronised, f.maxError = true, maxError }
	}
	for name, c := range map[string]struct {
		wall  telemetry.Micros // at the boot
		known telemetry.Micros // by earlier boots
		steps []step
	}{
		"boots in 1970 and is set": {wall: 86400 * second, steps: []step{
			{"at the start", pass(0), unset, Minimum + 7*second, false},
			{"a minute later", pass(60 * second), unset, Minimum + 67*second, false},
			{"set within 1970", set(hour), unset, Minimum + 67*second, false},
			{"set", set(noon), free, noon, true},
			{"confirmed", confirm(time.Millisecond), synchronised, noon, false},
			{"slewed", pass(60*second + 40_000), synchronised, noon + 60*second + 40_000, false},
			{"an hour back", func(f *fake) { f.set(f.now.Wall - hour) }, synchronised, noon - hour + 60*second + 40_000, true},
			{"a day forward", func(f *fake) { f.set(noon + 24*hour) }, synchronised, noon + 24*hour, true},
			{"its source gone", func(f *fake) { f.synchronised = false; f.pass(second) }, free, noon + 24*hour + second, false},
		}},
		"the wall clock falls to 1970 and comes back": {wall: noon, steps: []step{
			{"at the start", confirm(0), synchronised, noon, false},
			{"in 1970", func(f *fake) { f.set(second) }, free, noon, false},
			{"ten seconds later", pass(10 * second), free, noon + 10*second, false},
			{"back", set(noon + 10*second), synchronised, noon + 10*second, false},
		}},
		"behind the last known time": {wall: noon, known: noon + hour, steps: []step{
			{"at the start", pass(0), unset, noon + hour + 7*second, false},
			{"confirmed all the same", confirm(time.Second), synchronised, noon, true},
			{"set back", set(noon - 48*hour), synchronised, noon - 48*hour, true},
		}},
		"set back without a source": {wall: noon + hour, known: noon + hour - second, steps: []step{
			{"at the start", pass(0), free, noon + hour, false},
			{"corrected", set(noon), free, noon, true},
		}},
		"a source that has been silent for long": {wall: noon, steps: []step{
			{"good", confirm(2 * time.Second), synchronised, noon, false},
			{"bad", confirm(2*time.Second + 1), free, noon, false},
		}},
		"small steps add up": {wall: noon, steps: []step{
			{"one", set(noon + 60_000), free, noon + 60_000, false},
			{"two", set(noon + 120_000), free, noon + 120_000, true},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			f.boot(c.wall)
			m := &memory{}
			if c.known != 0 {
				before := *f
				before.id[1], before.now = 1, Instant{Wall: c.known, SinceBoot: second}
				start(&before, m)
			}
			clock := start(f, m)
			for _, s := range c.steps {
				generation := clock.Stamp(time.Now(), nil).Generation
				s.do(f)
				clock.Observe()
				if clock.Stats().State != s.state || clock.Now() != s.now {
					t.Errorf("%s: %v, %v; want %v, %v", s.what, clock.Stats().State, clock.Now().Time(), s.state, s.now.Time())
				}
				if moved := clock.Stamp(time.Now(), nil).Generation != generation; moved != s.moved {
					t.Errorf("%s: gateway time was moved: %v", s.what, moved)
				}
			}
		})
	}
}

func TestChangesSayWhatHappened(t *testing.T) {
	f := &fake{}
	f.boot(0)
	clock := start(f, &memory{})
	if changes := clock.Changes(); len(changes) != 0 {
		t.Errorf("a clock that is as it was: %+v", changes)
	}
	f.set(noon)
	clock.Observe()
	f.synchronised, f.maxError = true, time.Millisecond
	clock.Observe()
	f.set(noon - hour)
	clock.Observe()
	clock.Observe()
	boot := f.id.String()
	want := []Change{
		{telemetry.ClockStep{State: telemetry.ClockFreeRunning, Was: telemetry.ClockUnset, Step: int64(noon), Boot: boot, Offset: noon - 7*second}, noon},
		{telemetry.ClockStep{State: telemetry.ClockSynchronised, Was: telemetry.ClockFreeRunning, Boot: boot, Offset: noon - 7*second}, noon},
		{telemetry.ClockStep{State: telemetry.ClockSynchronised, Was: telemetry.ClockSynchronised, Step: int64(-hour), Boot: boot, Offset: noon - hour - 7*second}, noon - hour},
	}
	got := clock.Changes()
	if len(got) != len(want) {
		t.Fatalf("%d changes: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("change %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

func TestEventsNameTheClock(t *testing.T) {
	f := &fake{}
	f.boot(0)
	clock := start(f, &memory{})
	f.pass(5 * second)
	if r := clock.Reading(clock.Now()); r == nil || *r != (telemetry.ClockReading{State: telemetry.ClockUnset, Boot: f.id.String(), SinceBoot: int64(12 * second)}) {
		t.Errorf("%+v", r)
	}
	f.set(noon)
	f.synchronised, f.maxError = true, 0
	clock.Observe()
	if r := clock.Reading(clock.Now()); r != nil {
		t.Errorf("a synchronised clock: %+v", r)
	}
}

// A program that is started again in the same boot goes on in the same time.
func TestARestartKeepsTheTime(t *testing.T) {
	f, m := &fake{}, &memory{}
	f.boot(0)
	start(f, m)
	f.pass(100 * second)
	if now := start(f, m).Now(); now != Minimum+107*second {
		t.Errorf("unset: %v", now.Time())
	}
	f.set(noon)
	start(f, m)
	f.set(0)
	f.pass(second)
	if clock := start(f, m); clock.Now() != noon+second || clock.Stats().State != telemetry.ClockFreeRunning {
		t.Errorf("%v after the wall clock was lost: %v", clock.Stats().State, clock.Now().Time())
	}
	f.boot(0)
	if now := start(f, m).Now(); now != noon+8*second {
		t.Errorf("the next boot begins at %v", now.Time())
	}
}

// What happened to the clock while no gateway ran is known from the notes.
func TestAStartReportsAStepSinceTheLastProcess(t *testing.T) {
	f, m := &fake{}, &memory{}
	f.boot(noon)
	if changes := start(f, m).Changes(); len(changes) != 0 {
		t.Errorf("a clock that is found as it is: %+v", changes)
	}
	f.pass(hour)
	if changes := start(f, m).Changes(); len(changes) != 0 {
		t.Errorf("and found again: %+v", changes)
	}
	f.set(noon)
	if changes := start(f, m).Changes(); len(changes) != 1 || changes[0].Step != int64(-hour) {
		t.Errorf("set back by an hour: %+v", changes)
	}
}

func TestQuality(t *testing.T) {
	f := &fake{}
	f.boot(noon)
	clock := start(f, &memory{})
	quality := func() telemetry.TimeQuality {
		samples := []telemetry.Sample{{Time: telemetry.MicrosOf(time.Now())}}
		clock.Stamp(time.Now(), samples)
		return samples[0].Quality.TimeQuality()
	}
	for _, s := range []struct {
		what string
		do   func()
		want telemetry.TimeQuality
	}{
		{"nothing confirms it", func() {}, telemetry.UnsynchronisedTime},
		{"confirmed", func() { f.synchronised = true; f.maxError = 0 }, telemetry.GatewayTime},
		{"its daemon is restarted", func() { f.synchronised = false; f.pass(hour) }, telemetry.GatewayTime},
		{"the holdover is over", func() { f.pass(second) }, telemetry.UnsynchronisedTime},
		{"confirmed again", func() { f.synchronised = true }, telemetry.GatewayTime},
		{"set by hand", func() { f.synchronised = false; f.set(noon) }, telemetry.UnsynchronisedTime},
	} {
		s.do()
		clock.Observe()
		if got := quality(); got != s.want {
			t.Errorf("%s: %v, want %v", s.what, got, s.want)
		}
	}
	assumed := start(f, &memory{}, func(o *Options) { o.Assume = true })
	if s := assumed.Stats().State; s != telemetry.ClockSynchronised {
		t.Errorf("assumed: %v", s)
	}
	f.boot(0)
	if s := start(f, &memory{}, func(o *Options) { o.Assume = true }).Stats().State; s != telemetry.ClockUnset {
		t.Errorf("assumed in 1970: %v", s)
	}
}

func TestADevicesOwnTimeIsLeftAlone(t *testing.T) {
	f := &fake{}
	f.boot(0)
	clock := start(f, &memory{})
	device := telemetry.Sample{Time: 42, Quality: telemetry.MakeQuality(telemetry.Good, telemetry.DeviceTime, telemetry.NoReason)}
	samples := []telemetry.Sample{device}
	stamp := clock.Stamp(time.Now(), samples)
	stamp.Hold(&samples[0])
	Doubt(&samples[0])
	if samples[0] != device {
		t.Errorf("%+v", samples[0])
	}
}

// What was read before the wall clock was set, and delivered after it, is where
// it belongs.
func TestABatchOfBeforeAStep(t *testing.T) {
	f := &fake{}
	f.boot(noon)
	clock := start(f, &memory{})
	received := time.Now()
	samples := []telemetry.Sample{{Time: telemetry.MicrosOf(received) - second}}
	f.set(noon + hour)
	age := telemetry.Micros(time.Since(received).Microseconds())
	clock.Stamp(received, samples)
	if off := samples[0].Time - (noon + hour - second - age); off < -second/10 || off > 0 {
		t.Errorf("off by %d µs", off)
	}
}

func TestNotesAreSavedSeldom(t *testing.T) {
	f, m := &fake{}, &memory{}
	f.boot(noon)
	f.synchronised, f.maxError = true, 0
	clock := start(f, m)
	before := m.saves
	for range 24 * 3600 {
		f.pass(second)
		clock.Observe()
	}
	if n := m.saves - before; n != 144 {
		t.Errorf("saved %d times a day", n)
	}
}
