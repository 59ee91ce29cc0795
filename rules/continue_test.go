package rules

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// change has an engine of other rules go on from the rig's.
func (r *rig) change(entries ...Rule) {
	r.t.Helper()
	next := newRig(r.t, r.model, entries...)
	next.engine.Continue(r.engine)
	r.engine = next.engine
}

func oilRule(name, when string, delay time.Duration) Rule {
	return Rule{Name: name, On: Target{Asset: "T1"}, When: when, For: lasting(delay)}
}

func TestWhatHoldsGoesOnHolding(t *testing.T) {
	hot := oilRule("hot", "TopOilTmp > 95", 10*time.Second)
	r := newRig(t, hotModel(), hot)
	r.oil(0, 99)
	r.oil(9, 99)
	hot.Priority = telemetry.High // isn't what it waits for
	r.change(oilRule("cold", "TopOilTmp < -30", 0), hot)
	r.oil(10, 99)
	r.want("0 raised hot")

	r = newRig(t, hotModel(), hot)
	r.oil(0, 99)
	r.oil(9, 99)
	for _, other := range []Rule{oilRule("hot", "TopOilTmp > 96", 10*time.Second), oilRule("hot", "TopOilTmp > 96", 5*time.Second)} {
		r.change(other)
		r.oil(10, 99)
		r.want()
	}
	r.oil(15, 99)
	r.want("10 raised hot")
}

// The clock alone completes what comes by change only, and what a rule reads is
// known though nothing holds.
func TestValuesAndDeadlinesAreTakenOver(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "monitor", Asset: "T1"}, "TopOilTmp", "AmbTmp")
	both := oilRule("both", "TopOilTmp > 95 and AmbTmp > 30", 0)
	slow := oilRule("slow", "TopOilTmp > 90", 10*time.Second)
	r := newRig(t, m, both, slow)
	r.oil(0, 99)
	r.change(slow, both)
	r.tick(9)
	r.want()
	if due := r.engine.NextDeadline(); due.After(at(10.1).Time()) || due.IsZero() {
		t.Errorf("the next deadline is %v", due)
	}
	r.tick(10.01)
	r.want("0 raised slow")
	r.read(11, "monitor", "AmbTmp", 31)
	r.want("11 raised both")
}

// An active alarm keeps its id. One whose rule is gone ends when the configuration is
// settled, and goes on if the old one comes back.
func TestActiveAlarmsOutliveATrial(t *testing.T) {
	hot, warm := oilRule("hot", "TopOilTmp > 95", 0), oilRule("warm", "TopOilTmp > 60", 0)
	r := newRig(t, hotModel(), hot, warm)
	r.oil(0, 99)
	ids := r.engine.ActiveIDs()
	r.want("0 raised hot", "0 raised warm")
	r.change(warm)
	r.tick(1)
	r.oil(2, 99)
	r.want()
	if now := r.engine.ActiveIDs(); !same(now, ids) || !strings.Contains(string(r.engine.State()), "hot") {
		t.Errorf("%q are active, expected %q", now, ids)
	}
	r.change(hot, warm) // rolled back
	r.engine.Settle()
	r.tick(3)
	r.oil(4, 99)
	r.want()
	if now := r.engine.ActiveIDs(); !same(now, ids) || len(r.engine.Active()) != 2 {
		t.Errorf("%q are active, expected %q", now, ids)
	}
	r.oil(5, 20)
	r.want("5 cleared hot", "5 cleared warm")

	r.oil(6, 99)
	r.want("6 raised hot", "6 raised warm")
	r.change(warm)
	r.engine.Settle()
	if !r.engine.NextDeadline().Before(at(7).Time()) || !r.engine.Changed() {
		t.Error("nothing is to be done")
	}
	r.tick(7)
	if len(r.events) != 1 || !strings.Contains(r.events[0].Alarm.Summary, "no longer applies rule hot") {
		t.Errorf("%+v", r.events)
	}
	r.want("7 cleared hot")
	r.tick(8)
	r.want()
}

func same(a, b []string) bool {
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func hotModel() Model {
	m := Model{}
	meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: 10 * time.Second}, "TopOilTmp", "AmbTmp")
	return m
}
