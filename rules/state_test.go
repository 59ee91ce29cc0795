package rules

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// restart replaces the rig's engine by a new one with its state, for a
// configuration with the given rules.
func (r *rig) restart(entries ...Rule) {
	r.t.Helper()
	next := newRig(r.t, r.model, entries...)
	if err := next.engine.Restore(r.engine.State(), r.now); err != nil {
		r.t.Fatal(err)
	}
	r.engine = next.engine
}

func TestAnActiveAlarmSurvivesARestart(t *testing.T) {
	rule := Rule{Name: "hot", On: Target{Asset: "T1"}, When: "TopOilTmp > 95"}
	r := hot(t, byPoll, 0, 0)
	r.restart(rule)
	r.oil(0, 99)
	id := r.events[0].Alarm.ID
	r.want("0 raised hot")
	r.restart(rule)
	r.oil(3600, 99)
	r.tick(3601)
	r.want()
	r.restart(rule)
	r.oil(7200, 50)
	if len(r.events) != 1 || r.events[0].Alarm.ID != id {
		t.Errorf("events %+v, expected %s to clear", r.events, id)
	}
	r.want("7200 cleared hot")
}

func TestAPendingAlarmSurvivesARestart(t *testing.T) {
	rule := Rule{Name: "hot", On: Target{Asset: "T1"}, When: "TopOilTmp > 95", ClearWhen: "TopOilTmp < 90", For: lasting(2 * time.Second), KeepFiringFor: lasting(0)}
	r := hot(t, byPoll, 2*time.Second, 0)
	r.oil(0, 99)
	r.oil(1, 99)
	r.restart(rule)
	r.tick(100) // what was true before the restart confirms nothing by itself
	r.want()
	r.oil(2, 99)
	r.want("0 raised hot")
}

func TestTheAlarmOfARemovedRuleIsCleared(t *testing.T) {
	r := hot(t, byPoll, 0, 0)
	r.oil(0, 99)
	id := r.events[0].Alarm.ID
	r.want("0 raised hot")
	r.restart(Rule{Name: "cold", On: Target{Asset: "T1"}, When: "TopOilTmp < -30"})
	if !strings.Contains(string(r.engine.State()), id) || !slices.Equal(r.engine.ActiveIDs(), []string{id}) {
		t.Errorf("the alarm is lost before it was cleared: active %q", r.engine.ActiveIDs())
	}
	if next := r.engine.NextDeadline(); next.IsZero() || next.After(at(0).Time()) {
		t.Errorf("the deadline is %s, expected the past", next)
	}
	r.tick(5)
	a := r.events[0].Alarm
	if a.ID != id || a.Asset != "T1" || a.Priority != telemetry.Medium || !strings.Contains(a.Summary, "no longer applies rule hot to asset T1") {
		t.Errorf("%+v", a)
	}
	r.want("5 cleared hot")
	if !r.engine.Changed() || strings.Contains(string(r.engine.State()), id) {
		t.Error("the state still has the alarm")
	}
}

func TestNoAlarmIsClearedBeforeItWasRaised(t *testing.T) {
	r := hot(t, byPoll, 0, 0)
	r.oil(100, 99)
	r.want("100 raised hot")
	r.now = at(50).Time() // the clock was set back while the gateway was down
	r.restart(Rule{Name: "hot", On: Target{Asset: "T1"}, When: "TopOilTmp > 95"})
	r.oil(50, 20)
	r.want("100 cleared hot")
}

func TestARestartWithAClockThatIsBehindHidesNothing(t *testing.T) {
	rule := Rule{Name: "hot", On: Target{Asset: "T1"}, When: "TopOilTmp > 95", For: lasting(2 * time.Second), KeepFiringFor: lasting(2 * time.Second)}
	for _, c := range []struct {
		name   string
		before []float64 // a second apart
		after  float64
		want   string
	}{
		{"an alarm that is about to be raised", []float64{99}, 99, "-3600 raised hot"},
		{"an alarm that is about to be cleared", []float64{99, 99, 99, 20}, 20, "0 cleared hot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := hot(t, byPoll, 2*time.Second, 2*time.Second)
			for s, v := range c.before {
				r.oil(float64(s), v)
			}
			r.events = nil
			r.now = at(-3600).Time()
			r.restart(rule)
			for s := range 3 {
				r.want()
				r.oil(float64(s)-3600, c.after)
			}
			r.want(c.want)
		})
	}
}

func TestChanged(t *testing.T) {
	r := hot(t, byPoll, time.Second, 0)
	changed := func(want bool, after string) {
		t.Helper()
		if r.engine.Changed() != want {
			t.Errorf("after %s Changed is %v", after, !want)
		}
		r.engine.State()
	}
	changed(false, "the start")
	r.oil(0, 20)
	changed(false, "a sample that means nothing")
	r.oil(1, 99)
	changed(true, "a condition that begins")
	r.oil(2, 99)
	changed(true, "an alarm raised")
	r.oil(3, 99)
	changed(false, "a sample while it is active")
	r.oil(4, 50)
	changed(true, "an alarm cleared")
}

func TestRestoreRefusesWhatItDoesNotKnow(t *testing.T) {
	for state, want := range map[string]string{
		"":                          "restore the state of the rules: unexpected end of JSON input",
		`{"version":2,"alarms":[]}`: "restore the state of the rules: it is of version 2, expected 1",
	} {
		if err := hot(t, byPoll, 0, 0).engine.Restore([]byte(state), at(0).Time()); err == nil || err.Error() != want {
			t.Errorf("%q: %v, expected %s", state, err, want)
		}
	}
}

func FuzzRestore(f *testing.F) {
	r := hot(f, byPoll, 2*time.Second, 0)
	r.oil(0, 99)
	f.Add(r.engine.State())
	r.oil(1, 99)
	r.oil(2, 99)
	r.oil(3, silent{})
	f.Add(r.engine.State())
	f.Fuzz(func(t *testing.T, state []byte) {
		r := hot(t, byPoll, 2*time.Second, time.Second)
		if r.engine.Restore(state, at(3).Time()) != nil {
			return
		}
		r.engine.State()
		for s, v := range []any{50, 99, silent{}, 99, 99, 99, 80, 80, 80} {
			r.oil(float64(s), v)
			r.tick(float64(s) + 0.1)
		}
		r.engine.State()
	})
}
