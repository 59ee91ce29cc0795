package rules

import (
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

var bays = Model{
	Gateway: "gw",
	Devices: []Device{{ID: "bay-1", Asset: "a"}, {ID: "bay-2", Asset: "a"}},
	Signals: []telemetry.Signal{
		{ID: 1, Device: "bay-1", Name: "Earthed", Unit: "1", Asset: "a", Kind: telemetry.State},
		{ID: 2, Device: "bay-1", Name: "PhV", Unit: "V", Asset: "a", Kind: telemetry.Gauge},
		{ID: 3, Device: "bay-2", Name: "Pos", Unit: "1", Asset: "a", Kind: telemetry.State},
	},
}

func TestInterlock(t *testing.T) {
	good := telemetry.Quality(0)
	bad := telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
	uncertain := telemetry.MakeQuality(telemetry.Uncertain, telemetry.GatewayTime, telemetry.NoReason)
	sample := func(id telemetry.SignalID, v telemetry.Value, q telemetry.Quality) telemetry.Sample {
		return telemetry.Sample{Signal: id, Value: v, Quality: q, Time: 1_000_000}
	}
	on, off := telemetry.BoolValue(true), telemetry.BoolValue(false)
	for _, c := range []struct {
		when    string
		on      Target
		samples []telemetry.Sample
		want    Verdict
		seen    string
	}{
		{"not Earthed", Target{Device: "bay-1"}, []telemetry.Sample{sample(1, off, good)}, Permits, "Earthed of bay-1 is false"},
		{"not Earthed", Target{Device: "bay-1"}, []telemetry.Sample{sample(1, on, good)}, Blocks, "Earthed of bay-1 is true"},
		{"not Earthed", Target{Device: "bay-1"}, nil, Undecided, "Earthed of bay-1 wasn't read"},
		{"not Earthed", Target{Device: "bay-1"}, []telemetry.Sample{sample(1, off, bad)}, Undecided, "Earthed of bay-1 is bad (timeout)"},
		{"not Earthed", Target{Device: "bay-1"}, []telemetry.Sample{sample(1, off, uncertain)}, Undecided, "uncertain"},
		{"not Earthed", Target{Device: "bay-1"}, []telemetry.Sample{sample(1, off, telemetry.Stale)}, Undecided, "stale"},
		{"not Earthed", Target{Device: "bay-1"}, []telemetry.Sample{sample(1, off, telemetry.Substituted)}, Undecided, "substituted"},
		{"not Earthed", Target{Device: "bay-1"}, []telemetry.Sample{sample(1, off, telemetry.Test)}, Undecided, "test"},
		{"not Earthed", Target{Device: "bay-1"}, []telemetry.Sample{sample(1, off, telemetry.ClockJumped)}, Permits, "false"},
		{"not Earthed", Target{Device: "bay-1"}, []telemetry.Sample{sample(1, telemetry.Value{}, good)}, Undecided, ""},
		{"PhV < 5", Target{Device: "bay-1"}, []telemetry.Sample{sample(2, telemetry.FloatValue(230), good)}, Blocks, "PhV of bay-1 is 230"},
		{"PhV < 5 and not Pos", Target{Asset: "a"}, []telemetry.Sample{sample(2, telemetry.FloatValue(0), good), sample(3, off, good)}, Permits, "PhV of bay-1 is 0, Pos of bay-2 is false"},
		{"PhV < 5 and not Pos", Target{Asset: "a"}, []telemetry.Sample{sample(2, telemetry.FloatValue(0), good)}, Undecided, "Pos of bay-2 wasn't read"},
		// What another sample decides alone needs no second one.
		{"PhV < 5 and not Pos", Target{Asset: "a"}, []telemetry.Sample{sample(3, on, good)}, Blocks, ""},
	} {
		i, problem := CompileInterlock(c.when, c.on, bays)
		if problem != nil {
			t.Fatal(problem)
		}
		got, seen := i.Judge(c.samples)
		if got != c.want || !strings.Contains(seen, c.seen) {
			t.Errorf("%s with %+v: %d, %s", c.when, c.samples, got, seen)
		}
		// It keeps nothing of one decision for the next.
		if again, _ := i.Judge(nil); again != Undecided {
			t.Errorf("%s: %d without samples", c.when, again)
		}
	}
	i, _ := CompileInterlock("PhV < 5 and not Pos", Target{Asset: "a"}, bays)
	if got := i.Devices(); !slices.Equal(got, []string{"bay-1", "bay-2"}) {
		t.Errorf("%v", got)
	}
}

func TestWrongInterlocks(t *testing.T) {
	for _, c := range []struct {
		when  string
		on    Target
		field string
		says  string
	}{
		{"", Target{Device: "bay-1"}, "when", "empty"},
		{"Earthed and", Target{Device: "bay-1"}, "when", "EOF"},
		{"PhV", Target{Device: "bay-1"}, "when", "expected a condition"},
		{"Pos", Target{Device: "bay-1"}, "when", "has no signal Pos"},
		{"1 > 0", Target{Device: "bay-1"}, "when", "names no signal"},
		{"Pos", Target{Device: "bay-3"}, "on.device", "there is no device bay-3"},
		{"Pos", Target{Asset: "b"}, "on.asset", "there is no asset b"},
		{"Pos", Target{Device: "*"}, "on", "expected one asset or one device"},
	} {
		_, problem := CompileInterlock(c.when, c.on, bays)
		if problem == nil || problem.Field != c.field || !strings.Contains(problem.Err.Error(), c.says) {
			t.Errorf("%q: %+v", c.when, problem)
		}
	}
}
