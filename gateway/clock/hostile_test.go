package clock

import (
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// A gateway that is restarted again and again doesn't hold counters for longer than
// they may be.
func TestRestartsDoNotProlongTheWait(t *testing.T) {
	f, m := &fake{}, &memory{}
	f.boot(noon)
	c := start(f, m, requireSync)
	r := hold(t, c)
	for range 3 {
		f.pass(250 * second)
		c = start(f, m, requireSync)
		c.Observe()
	}
	if s := c.Stats(); s.Holding != Nothing || s.Waiting != 750*time.Second {
		t.Errorf("%+v", s)
	}
	sent(t, c, r)
	// Once the clock was good, the wait begins anew.
	f.synchronised, f.maxError = true, 0
	c.Observe()
	f.synchronised = false
	f.pass(holdover + second)
	c = start(f, m, requireSync)
	c.Observe()
	if s := c.Stats(); s.Holding != Counters || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// The clock is set between the moment in which an event is decided and that in which
// it is written: it still says which clock gave its time.
func TestTheClockIsSetBeforeAnEventIsWritten(t *testing.T) {
	for name, to := range map[string]telemetry.Micros{"forward": noon + 24*hour, "back": noon - 24*hour, "by an hour": noon + hour} {
		f := &fake{}
		f.boot(0)
		c := start(f, &memory{})
		f.pass(5 * second)
		decided := c.At(time.Now())
		f.set(noon)
		c.Observe()
		if r := c.Reading(decided); r == nil || r.State != telemetry.ClockUnset || away(telemetry.Micros(r.SinceBoot), 12*second) {
			t.Errorf("%s: set for the first time: %+v", name, r)
		}
		decided = c.At(time.Now())
		f.set(to)
		f.synchronised, f.maxError = true, 0
		c.Observe()
		if r := c.Reading(decided); r == nil || r.State != telemetry.ClockFreeRunning || away(telemetry.Micros(r.SinceBoot), 12*second) {
			t.Errorf("%s: %+v", name, r)
		}
		if r := c.Reading(c.Now()); r != nil {
			t.Errorf("%s: afterwards: %+v", name, r)
		}
	}
}

// A leap second is a step back by one: nothing is lost by it, and time doesn't go
// back by more.
func TestALeapSecond(t *testing.T) {
	f := &fake{}
	midnight := telemetry.MicrosOf(time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC))
	f.boot(midnight - 3*second)
	f.synchronised, f.maxError = true, 0
	c := start(f, &memory{})
	var times []telemetry.Micros
	for i := range 8 {
		if i == 3 {
			f.set(f.now.Wall - second) // 23:59:60 is 23:59:59 once more
		}
		received := time.Now()
		samples := []telemetry.Sample{{Time: telemetry.MicrosOf(received)}}
		if s := c.Stamp(received, samples); s.Held != Nothing || samples[0].Quality.TimeQuality() != telemetry.GatewayTime {
			t.Errorf("%+v, %v", s, samples[0].Quality)
		}
		times = append(times, (samples[0].Time-midnight+100*second+second/2)/second-100)
		f.pass(second)
		c.Observe()
	}
	if want := []telemetry.Micros{-3, -2, -1, -1, 0, 1, 2, 3}; !slices.Equal(times, want) {
		t.Errorf("%v, want %v", times, want)
	}
	if changes := c.Changes(); len(changes) != 1 || changes[0].Step != int64(-second) || changes[0].State != telemetry.ClockSynchronised {
		t.Errorf("%+v", changes)
	}
}
