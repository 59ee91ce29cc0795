package rules

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

func capturing30(before, after time.Duration, delay time.Duration) Rule {
	return Rule{Name: "hot", On: Target{Asset: "T1"}, When: "TopOilTmp > 95", For: lasting(delay),
		Capture: &Capture{Before: configfile.Duration(before), After: configfile.Duration(after)}}
}

func (r *rig) captures() (list []telemetry.Capture) {
	for _, e := range r.events {
		if e.Kind == telemetry.AlarmCaptured {
			list = append(list, *e.Capture)
		}
	}
	return list
}

// text is the captured times and values, in seconds.
func text(c telemetry.Capture) (out string) {
	for _, s := range c.Signals[0].Samples {
		out += fmt.Sprintf("%g:", seconds(s.Time))
		if s.Value != nil {
			out += fmt.Sprint(*s.Value)
		}
		out += s.Quality + " "
	}
	return out
}

func TestCapture(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: byPoll}, "TopOilTmp")
	r := newRig(t, m, capturing30(2*time.Second, 3*time.Second, time.Second))
	for s, v := range []any{90, 91, 92, 93, 96, 97, 98, silent{}, 90, 90, 90} {
		if at(float64(s)).Time().After(r.engine.NextDeadline()) && !r.engine.NextDeadline().IsZero() {
			r.tick(float64(s))
		}
		r.oil(float64(s), v)
	}
	got := r.captures()
	if len(got) != 1 {
		t.Fatalf("%d captures", len(got))
	}
	c := got[0]
	if c.From != at(2) || c.To != at(8) || c.Alarm != r.events[0].Alarm.ID || r.events[0].Alarm.Confirmed != at(5) || c.Signals[0].Unit != "Cel" || c.Signals[0].Truncated {
		t.Errorf("%+v", c)
	}
	if want := "2:92 3:93 4:96 5:97 6:98 7:bad (timeout) 8:90 "; text(c) != want {
		t.Errorf("%s, expected %s", text(c), want)
	}
}

// The sample that held at the beginning is part of it, so it begins with that.
func TestCaptureBetweenPolls(t *testing.T) {
	for _, c := range []struct {
		name          string
		poll          time.Duration
		before, delay time.Duration
		from, to      float64
		want          string
	}{
		{"polled", 2 * time.Second, 5 * time.Second, 0, 4, 11, "4:90 6:90 8:90 10:96 "},
		{"longer than an hour", byChange, time.Minute, 2 * time.Hour, 3611, 7211, ""},
	} {
		m := Model{}
		meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: c.poll}, "TopOilTmp")
		r := newRig(t, m, capturing30(c.before, time.Second, c.delay))
		for s := 0; s < 10; s += 2 {
			r.oil(float64(s), 90)
		}
		r.oil(10, 96)
		for next := r.engine.NextDeadline(); !next.IsZero(); next = r.engine.NextDeadline() {
			r.engine.Tick(next, r.emit)
		}
		got := r.captures()
		if len(got) != 1 || got[0].From != at(c.from) || got[0].To != at(c.to) || text(got[0]) != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// Nothing waits for its end when the gateway stops.
func TestCaptureEndsWithTheEngine(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: byPoll}, "TopOilTmp")
	r := newRig(t, m, capturing30(time.Minute, time.Minute, 0))
	r.oil(0, 90)
	r.oil(1, 96)
	r.oil(2, 97)
	r.engine.Close(at(2.5).Time(), r.emit)
	if got := r.captures(); len(got) != 1 || got[0].To != at(2.5) || text(got[0]) != "0:90 1:96 2:97 " {
		t.Errorf("%+v", got)
	}
	r.engine.Tick(at(100).Time(), r.emit)
	if len(r.captures()) != 1 {
		t.Error("captured twice")
	}
}

func TestCapturesAreBounded(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: 10 * time.Millisecond}, "TopOilTmp")
	r := newRig(t, m, capturing30(10*time.Minute, time.Second, 0))
	for i := range 2000 {
		r.oil(float64(i)/100, float64(i%2)*100)
		if next := r.engine.NextDeadline(); !next.IsZero() && !next.After(r.now) {
			r.engine.Tick(r.now, r.emit)
		}
	}
	got := r.captures()
	if len(got) > 2*maxCapturesAMin || r.engine.Stats().Uncaptured < 900 {
		t.Errorf("%d captures, %+v", len(got), r.engine.Stats())
	}
	r.events = nil
	for i := range 2000 {
		r.oil(100+float64(i)/100, 0)
	}
	r.oil(120, 100)
	r.engine.Close(at(121).Time(), r.emit)
	last := r.captures()[0].Signals[0]
	if len(last.Samples) > maxCaptured || !last.Truncated {
		t.Errorf("%d samples, truncated is %v", len(last.Samples), last.Truncated)
	}
}

func TestVersionFollowsTheRule(t *testing.T) {
	version := func(r Rule) string {
		rig := hotBy(t, r)
		rig.oil(0, 99)
		return rig.events[0].Alarm.Version
	}
	one := Rule{Name: "hot", On: Target{Asset: "T1"}, When: "TopOilTmp > 95"}
	other := one
	other.When = "TopOilTmp > 96"
	moved := one
	moved.Summary = "hot"
	if version(one) == version(other) || version(one) != version(moved) || len(version(one)) != 8 {
		t.Error(version(one), version(other), version(moved))
	}
}

func hotBy(t *testing.T, rule Rule) *rig {
	m := Model{}
	meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: byPoll}, "TopOilTmp")
	return newRig(t, m, rule)
}
