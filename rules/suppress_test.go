package rules

import (
	"fmt"
	"testing"
	"time"
)

// bay is a feeder with a voltage, a contact and what is below it.
func bay(t *testing.T, entries ...Rule) *rig {
	m := Model{Assets: []Asset{{ID: "station"}, {ID: "f1", Parent: "station"}}}
	meter(&m, Device{ID: "m1", Asset: "f1", PollEvery: byPoll}, "PhV.phsA", "TopOilTmp", "Pos")
	meter(&m, Device{ID: "m2", Asset: "station", PollEvery: byPoll}, "AmbTmp")
	return newRig(t, m, entries...)
}

func TestSuppressedByAnotherAlarm(t *testing.T) {
	r := bay(t,
		Rule{Name: "low", On: Target{Asset: "f1"}, When: "PhV.phsA < 200", SuppressedBy: []string{"dead"}}, // before what suppresses it
		Rule{Name: "dead", On: Target{Asset: "f1"}, When: "PhV.phsA < 10", For: lasting(2 * time.Second)},
	)
	read := func(s float64, v any) { r.read(s, "m1", "PhV.phsA", v) }
	read(0, 150)
	r.want("0 raised low")
	read(1, 230)
	r.want("1 cleared low")
	// The condition of dead waits, and so does low; it was none after all.
	read(2, 0)
	read(3, 150)
	r.want("2 raised low")
	read(4, 230)
	r.want("4 cleared low")
	read(5, 0)
	read(6, 0)
	read(7, 0)
	r.want("5 raised dead")
	// What was held back is raised when dead is over, from when it began.
	read(8, 150)
	r.want("8 cleared dead", "5 raised low")
	read(9, 230)
	r.want("9 cleared low")
	for s := range 4 {
		read(10+float64(s), 0)
	}
	read(14, 230)
	r.want("10 raised dead", "14 cleared dead")
	if r.engine.Stats().Suppressed != 1 {
		t.Errorf("%+v, expected one that came and went", r.engine.Stats())
	}
}

// An alarm that is active already stays.
func TestSuppressionRaisesNothingAndClearsNothing(t *testing.T) {
	r := bay(t,
		Rule{Name: "hot", On: Target{Asset: "f1"}, When: "TopOilTmp > 95", SuppressedWhen: "Pos == 1", SuppressedBy: []string{"storm"}},
		Rule{Name: "storm", On: Target{Asset: "station"}, When: "AmbTmp > 40"},
	)
	r.read(0, "m1", "TopOilTmp", 96, "Pos", 2)
	r.want("0 raised hot")
	r.read(1, "m1", "TopOilTmp", 96, "Pos", 1)
	r.read(2, "m1", "TopOilTmp", 90, "Pos", 1)
	r.want("2 cleared hot")
	r.read(3, "m1", "TopOilTmp", 96, "Pos", 1)
	r.want()
	r.read(4, "m1", "TopOilTmp", 96, "Pos", silent{}) // who doesn't know suppresses nothing
	r.want("3 raised hot")
	r.read(5, "m1", "TopOilTmp", 90, "Pos", 2)
	r.want("5 cleared hot")
	// By an alarm of the asset above, which another device's sample ends.
	r.read(6, "m2", "AmbTmp", 41)
	r.read(7, "m1", "TopOilTmp", 96, "Pos", 2)
	r.want("6 raised storm")
	r.read(8, "m2", "AmbTmp", 20)
	r.want("8 cleared storm", "7 raised hot")
}

func TestSuppressionSurvivesARestart(t *testing.T) {
	rules := []Rule{
		{Name: "hot", On: Target{Asset: "f1"}, When: "TopOilTmp > 95", SuppressedBy: []string{"storm"}},
		{Name: "storm", On: Target{Asset: "station"}, When: "AmbTmp > 40"},
	}
	r := bay(t, rules...)
	r.read(0, "m2", "AmbTmp", 41)
	r.read(1, "m1", "TopOilTmp", 96)
	r.want("0 raised storm")
	state := r.engine.State()
	r = bay(t, rules...)
	if err := r.engine.Restore(state, at(1.5).Time()); err != nil {
		t.Fatal(err)
	}
	r.read(2, "m2", "AmbTmp", 20)
	r.want("2 cleared storm", "1 raised hot")
}

func TestSuppressionProblems(t *testing.T) {
	for _, c := range []struct {
		rules []Rule
		want  string
	}{
		{[]Rule{{Name: "hot", When: "TopOilTmp > 95", SuppressedBy: []string{"hott"}}, {Name: "cold", When: "TopOilTmp > 99"}},
			"[rules[0].suppressed_by[0]: there is no rule hott, did you mean hot?]"},
		{[]Rule{{Name: "a", When: "TopOilTmp > 95", SuppressedBy: []string{"b"}}, {Name: "b", When: "TopOilTmp > 99", SuppressedBy: []string{"a"}}},
			"[rules[0].suppressed_by: rule a is suppressed by what it suppresses itself]"},
		{[]Rule{{Name: "a", When: "TopOilTmp > 95", SuppressedWhen: "Poss"}}, "[rules[0].suppressed_when: character 1: asset f1 has no signal Poss, did you mean Pos?; where only some have it, write optional(…) around the condition]"},
		{[]Rule{{Use: "transformer/transformer-hot", SuppressedBy: []string{"maintenance"}}}, "[rules[0].suppressed_by[0]: there is no rule maintenance]"},
		{[]Rule{{Use: "transformer/transformer-hot", SuppressedWhen: "Key"}},
			"[rules[0].suppressed_when: character 1: asset f1 has no signal Key, expected one of ChLiv, Pos, TopOilTmp, hot_spot, hot_spot_emergency, loading, top_oil, top_oil_emergency; where only some have it, write optional(…) around the condition]"},
		{[]Rule{{Name: "a", When: "TopOilTmp > 95", Group: "A B"}}, `[rules[0].group: "A B" is no name, expected up to 63 lower-case letters, digits and hyphens]`},
	} {
		m := Model{}
		meter(&m, Device{ID: "m1", Asset: "f1", PollEvery: byPoll}, "TopOilTmp", "Pos")
		if _, problems := Compile(c.rules, m); fmt.Sprint(problems) != c.want {
			t.Errorf("%v\n\texpected %s", problems, c.want)
		}
	}
}

// The first of a group is named by those that follow, until none is active.
func TestFirstUp(t *testing.T) {
	r := bay(t,
		Rule{Name: "hot", On: Target{Asset: "f1"}, When: "TopOilTmp > 95", Group: "fault"},
		Rule{Name: "low", On: Target{Asset: "f1"}, When: "PhV.phsA < 200", Group: "fault"},
	)
	var first []string
	read := func(s, tmp, v float64) {
		r.events = nil
		r.read(s, "m1", "TopOilTmp", tmp, "PhV.phsA", v)
		for _, e := range r.events {
			if e.Alarm.Group != "fault" {
				t.Errorf("group %q", e.Alarm.Group)
			}
			first = append(first, fmt.Sprint(e.Alarm.Rule, e.Alarm.FirstUp == e.Alarm.ID))
		}
	}
	read(0, 90, 100)
	low := r.events[0].Alarm.ID
	read(1, 96, 100)
	if r.events[0].Alarm.FirstUp != low {
		t.Error("the first isn't named")
	}
	read(2, 96, 230) // the first has gone
	hot := ""
	for _, a := range r.engine.Active() {
		hot = a.ID
	}
	read(3, 96, 100)
	if r.events[0].Alarm.FirstUp != hot {
		t.Error("what came first of those that are active isn't named")
	}
	read(4, 90, 230)
	read(5, 96, 230)
	if want := "[lowtrue hotfalse lowtrue lowfalse hotfalse lowfalse hottrue]"; fmt.Sprint(first) != want {
		t.Errorf("%v, expected %s", first, want)
	}
}

// A latched alarm ends when somebody resets it.
func TestLatch(t *testing.T) {
	rule := Rule{Name: "hot", On: Target{Asset: "f1"}, When: "TopOilTmp > 95", Latch: true}
	r := bay(t, rule)
	r.read(0, "m1", "TopOilTmp", 96)
	id := r.events[0].Alarm.ID
	r.want("0 raised hot")
	r.read(1, "m1", "TopOilTmp", 20)
	r.want()
	state := r.engine.State()
	r = bay(t, rule)
	if err := r.engine.Restore(state, at(1.5).Time()); err != nil {
		t.Fatal(err)
	}
	r.read(2, "m1", "TopOilTmp", 20)
	r.want()
	if !r.engine.Reset(id, at(3).Time(), r.emit) {
		t.Error("there is no such alarm")
	}
	r.want("3 cleared hot")
}
