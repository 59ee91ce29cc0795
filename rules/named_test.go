package rules

import (
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// inverter has a state and flags with names.
func inverter() Model {
	var m Model
	meter(&m, Device{ID: "inv", Asset: "pv", PollEvery: time.Second}, "St", "Evt")
	m.Signals[0].States = telemetry.States{0: "off", 1: "starting", 2: "running", -3: "fault"}
	m.Signals[1].Flags = telemetry.Flags{0: "ground fault", 7: "over temperature", 63: "last"}
	return m
}

func TestNamesInConditions(t *testing.T) {
	for _, c := range []struct {
		source  string
		st, evt any
		want    truth
	}{
		{`St == "running"`, 2, 0, yes},
		{`St == "running"`, 1, 0, no},
		{`St == 2`, 2, 0, yes},
		{`St != "running"`, 1, 0, yes},
		{`"fault" == St`, -3, 0, yes},
		{`St == "off" or St == "starting"`, 1, 0, yes},
		{`St == "off"`, silent{}, 0, unknown},
		{`St == "off"`, 9, 0, no},
		{`has(Evt, "ground fault")`, 0, 1, yes},
		{`has(Evt, "ground fault")`, 0, 128, no},
		{`has(Evt, "over temperature") and not has(Evt, "ground fault")`, 0, 128 + 4, yes},
		{`has(Evt, "over temperature")`, 0, silent{}, unknown},
		{`has(Evt, "over temperature")`, 0, -1, unknown},
		{`has(Evt, "last")`, 0, telemetry.UintValue(1<<63 | 1), yes},
		{`has(Evt, "ground fault")`, 0, telemetry.UintValue(1<<63 | 1), unknown}, // a number in a rule has 53 bits
		{`has(Evt, "last")`, 0, telemetry.UintValue(1<<64 - 1), unknown},
	} {
		r := newRig(t, inverter(), Rule{Name: "x", On: Target{Device: "inv"}, When: c.source})
		r.read(0, "inv", "St", c.st, "Evt", c.evt)
		r.engine.in.at = at(0)
		if got := r.engine.instances[0].when(&r.engine.in); got != c.want {
			t.Errorf("%s with St %v and Evt %v is %v, expected %v", c.source, c.st, c.evt, got, c.want)
		}
	}
}

func TestWrongNames(t *testing.T) {
	for _, c := range []struct{ when, want string }{
		{`"off"`, `rules[0].when: character 1: text isn't supported in a rule`},
		{`St == "runing"`, `rules[0].when: character 7: St has no state "runing", did you mean "running"?`},
		{`"x" != St`, `rules[0].when: character 1: St has no state "x", expected one of fault, off, running, starting`},
		{`St > "off"`, `rules[0].when: character 6: "off" is the name of a state, which the operator > doesn't order, expected == or !=, or a number`},
		{`St + 1 == "off"`, `rules[0].when: character 11: "off" is text, but St + 1 has no names for its values, expected a number`},
		{`Evt == "ground fault"`, `rules[0].when: character 8: Evt has flags, of which several may be set at once, expected has(Evt, "ground fault")`},
		{`has(Evt, "ground falt")`, `rules[0].when: character 10: Evt has no flag "ground falt", did you mean "ground fault"?`},
		{`has(St, "off")`, `rules[0].when: character 5: St has no flags`},
		{`has(Evt, 1)`, `rules[0].when: character 10: 1 is no name of a flag, expected one in quotes`},
		{`has(Evt)`, `rules[0].when: character 1: has has 1 arguments, expected a signal and the name of a flag`},
	} {
		_, problems := Compile([]Rule{{Name: "x", On: Target{Asset: "pv"}, When: c.when}}, inverter())
		if len(problems) != 1 || problems[0].Error() != c.want {
			t.Errorf("%s\n\t%v\n\texpected %s", c.when, problems, c.want)
		}
	}
}

// An alarm says the names of the values that decided.
func TestAlarmsSayNames(t *testing.T) {
	r := newRig(t, inverter(), Rule{Name: "x", On: Target{Device: "inv"}, When: `St == "fault" or has(Evt, "ground fault")`,
		Summary: `inverter is {{ .St }} with {{ .Evt }}, {{ printf "%v" .St }}`})
	r.read(0, "inv", "St", 5, "Evt", 1+2)
	if len(r.events) != 1 || r.events[0].Alarm.Summary != "inverter is 5 with ground fault, bit 1, 5" {
		t.Fatalf("%+v", r.events)
	}
	inputs := r.events[0].Alarm.Inputs
	if inputs[0].State != "" || inputs[1].State != "ground fault, bit 1" || *inputs[1].Value != 3 {
		t.Errorf("%+v", inputs)
	}
}

// Names cost nothing when rules are evaluated.
func TestNamesAllocateNothing(t *testing.T) {
	r := newRig(t, inverter(), Rule{Name: "x", On: Target{Device: "inv"}, When: `St == "fault" or has(Evt, "ground fault")`})
	samples := []telemetry.Sample{r.sample(0, "inv", "St", 2), r.sample(0, "inv", "Evt", 4)}
	now := at(0).Time()
	if n := testing.AllocsPerRun(100, func() { r.engine.Update(now, samples, r.emit) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
