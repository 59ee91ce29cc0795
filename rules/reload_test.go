package rules

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// A reload may take away what a rule counts, where that is optional.
func TestContinueWithFewerCounts(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "rtu", Asset: "cb"}, "Pos", "Tr")
	r := newRig(t, m, Rule{Use: "switchgear"})
	r.read(0, "rtu", "Pos", 2, "Tr", 0)
	m2 := Model{}
	meter(&m2, Device{ID: "rtu", Asset: "cb"}, "Pos")
	n := newRig(t, m2, Rule{Use: "switchgear"})
	n.engine.Continue(r.engine)
	n.read(1, "rtu", "Pos", 1)
	n.read(4, "rtu", "Pos", 1)
	n.want("1 raised breaker-open")
}

// A rule that was evaluated by change is polled after a reload: its windows don't
// change by themselves any more.
func TestContinuePolled(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "rtu", Asset: "cb"}, "Pos")
	r := newRig(t, m, Rule{Use: "switchgear"})
	r.read(0, "rtu", "Pos", 2)
	r.read(1, "rtu", "Pos", 1)
	r.read(2, "rtu", "Pos", 2)
	m2 := m
	m2.Devices = append([]Device{}, m.Devices...)
	m2.Signals = append([]telemetry.Signal{}, m.Signals...)
	meter(&m2, Device{ID: "meter", Asset: "cb", PollEvery: time.Second}, "OpCnt")
	for i := range m2.Signals {
		if m2.Signals[i].Name == "OpCnt" {
			m2.Signals[i].Kind = telemetry.Counter
		}
	}
	n := newRig(t, m2, Rule{Use: "switchgear"})
	n.engine.Continue(r.engine)
	n.read(400, "rtu", "Pos", 1)
	if i := n.engine.instances[0]; i.fade != 0 {
		t.Errorf("something is to change at %d", i.fade)
	}
}

// What comes by change holds as long as nothing comes: a rule that is new is decided
// by it.
func TestNewRuleOnWhatComesByChange(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "rtu", Asset: "cb"}, "Pos")
	r := newRig(t, m, Rule{Name: "silent", When: "not ChLiv"}) // which doesn't read Pos
	r.read(0, "rtu", "Pos", 1)
	r.change(Rule{Name: "silent", When: "not ChLiv"}, Rule{Name: "open", When: "Pos == 1", For: lasting(2 * time.Second)})
	r.engine.Settle()
	for s := 1; s < 100; s++ {
		r.tick(float64(s))
	}
	r.want("1 raised open")
}

func TestWhatARemovedRuleHeldBackIsRaised(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "rtu", Asset: "cb"}, "Pos", "Tr")
	trip := Rule{Name: "trip", When: "Tr == 1"}
	open := Rule{Name: "open", When: "Pos == 1", For: lasting(2 * time.Second), SuppressedBy: []string{"trip"}}
	r := newRig(t, m, trip, open)
	r.read(0, "rtu", "Pos", 1, "Tr", 1)
	r.tick(3)
	r.want("0 raised trip")
	open.SuppressedBy = nil
	r.change(open)
	r.engine.Settle()
	for s := 4; s < 100; s++ {
		r.tick(float64(s))
	}
	r.want("4 cleared trip", "0 raised open")
}

func TestAWaitEndsWithoutASampleAfterARestart(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "rtu", Asset: "cb"}, "Pos", "Tr")
	open := Rule{Name: "open", When: "Pos == 1", For: lasting(20 * time.Second)}
	r := newRig(t, m, open)
	r.read(0, "rtu", "Pos", 1, "Tr", 1)
	state := r.engine.State()
	n := newRig(t, m, open)
	if err := n.engine.Restore(state, at(5).Time()); err != nil {
		t.Fatal(err)
	}
	for s := 6; s < 100; s++ {
		n.tick(float64(s))
	}
	n.want("0 raised open")
}

func TestLatchAddedByAReload(t *testing.T) {
	hot := oilRule("hot", "TopOilTmp > 95", 0)
	hot.KeepFiringFor = lasting(10 * time.Second)
	r := newRig(t, hotModel(), hot)
	r.oil(0, 99)
	r.oil(1, 90)
	r.want("0 raised hot")
	hot.Latch = true
	r.change(hot)
	for s := 2; s < 20; s++ {
		r.oil(float64(s), 90)
	}
	r.want()
}

func TestRestoreOfAnotherCondition(t *testing.T) {
	hot := oilRule("hot", "TopOilTmp > 95", 10*time.Second)
	r := newRig(t, hotModel(), hot)
	r.oil(0, 99)
	r.oil(9, 99)
	state := r.engine.State()
	n := newRig(t, hotModel(), oilRule("hot", "TopOilTmp > 90", 10*time.Second))
	if err := n.engine.Restore(state, at(9.5).Time()); err != nil {
		t.Fatal(err)
	}
	n.oil(10, 99)
	n.want()
}

// Time in which nobody knew starts a wait anew, also for what is held back.
func TestHeldBackStartsAnew(t *testing.T) {
	r := bay(t,
		Rule{Name: "dead", On: Target{Asset: "station"}, When: "AmbTmp > 40"},
		Rule{Name: "low", On: Target{Asset: "f1"}, When: "PhV.phsA < 200", For: lasting(10 * time.Second), SuppressedBy: []string{"dead"}},
	)
	r.read(0, "m2", "AmbTmp", 50)
	for s := range 12 {
		r.read(1+float64(s), "m1", "PhV.phsA", 150)
		r.read(1+float64(s), "m2", "AmbTmp", 50)
	}
	for s := 13; s < 60; s++ {
		r.read(float64(s), "m1", "PhV.phsA", silent{})
		r.read(float64(s), "m2", "AmbTmp", 50)
	}
	r.read(60, "m1", "PhV.phsA", 150)
	r.read(61, "m1", "PhV.phsA", 150)
	r.read(61, "m2", "AmbTmp", 20)
	r.want("0 raised dead", "61 cleared dead")
}

func TestUseOnABus(t *testing.T) {
	m := Model{}
	for _, id := range []string{"a", "b", "c", "d"} {
		bus := "one"
		if id > "b" {
			bus = "two"
		}
		meter(&m, Device{ID: id, Asset: "f" + id, Bus: bus, PollEvery: time.Second}, "PhV.phsA")
	}
	for use, want := range map[string]string{"supervision/bus-silent": "[bus-silent/one]", "supervision": "[bus-silent/one supply-lost/one]"} {
		r := newRig(t, m, Rule{Use: use, On: Target{Bus: "one"}})
		var got []string
		for _, i := range r.engine.instances {
			got = append(got, i.rule+"/"+i.target.device)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, expected %s", use, got, want)
		}
	}
}

// The library fits a large gateway: captures take what windows leave.
func TestLibraryOfALargeGateway(t *testing.T) {
	m := Model{Gateway: "g"}
	for k := range 1700 {
		meter(&m, Device{ID: fmt.Sprint("m", k), Asset: fmt.Sprint("f", k), PollEvery: time.Second}, "PhV.phsA", "PhV.phsB", "PhV.phsC", "A.phsA", "A.phsB", "A.phsC")
	}
	for k := range 500 {
		meter(&m, Device{ID: fmt.Sprint("b", k), Asset: fmt.Sprint("c", k)}, "Pos", "Tr")
	}
	e, problems := Compile([]Rule{{Use: "en50160"}, {Use: "switchgear"}, {Use: "supervision"}}, m)
	if len(problems) > 0 {
		t.Fatal(problems[0])
	}
	kept := 0
	for i := range e.in.slots {
		kept += len(e.in.slots[i].trail.ring)
	}
	if kept > maxTrails || kept < 100_000 {
		t.Errorf("%d samples are kept", kept)
	}
}

// After a step of the clock, what was measured before says nothing of the time after.
func TestAClockStepEndsTrails(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "m1", Asset: "f1", PollEvery: time.Second}, "TopOilTmp", "Pos")
	r := newRig(t, m,
		Rule{Name: "hot", When: "TopOilTmp > 95", Capture: &Capture{Before: configfile.Duration(10 * time.Second), After: configfile.Duration(10 * time.Second)}},
		Rule{Name: "warm", When: `max_over(TopOilTmp, "3s") > 50 and TopOilTmp < 50`},
		Rule{Name: "often", When: `count_over(Pos == 1, "1m") >= 2`})
	for s := range 4 {
		r.read(float64(s), "m1", "TopOilTmp", 90, "Pos", 2-s%2)
	}
	r.read(4, "m1", "TopOilTmp", 96, "Pos", 2)
	r.want("3 raised often", "4 raised hot")
	r.events = nil
	jumped := telemetry.ClockJumped
	r.read(5, "m1", "TopOilTmp", flagged{20, jumped}, "Pos", flagged{2, jumped})
	c := r.captures()
	if len(c) != 1 || text(c[0]) != "0:90 1:90 2:90 3:90 4:96 " {
		t.Errorf("%+v", c)
	}
	r.events = nil
	for s := 6; s < 8; s++ {
		r.read(float64(s), "m1", "TopOilTmp", 20, "Pos", 2)
	}
	r.want() // neither of what was before: warm isn't raised
	if i := r.engine.instances[2]; len(i.counts[0].times) != 0 {
		t.Error("what was counted before still counts")
	}
}
