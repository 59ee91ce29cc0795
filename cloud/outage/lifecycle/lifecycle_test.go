package lifecycle

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

var whole = Report{Cause: "tree", Failure: "overhead-line", Remedy: "repaired"}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name  string
		from  State
		step  Step
		to    State  // "": it is refused
		cause string // of that
	}{
		{"it is found", Suspected, Step{Action: Find}, Probable, ""},
		{"an operator confirms a suspicion", Suspected, Step{Action: Confirm}, Confirmed, ""},
		{"twice", Confirmed, Step{Action: Confirm}, "", "it may be suspected or probable"},
		{"a crew for what nobody has confirmed", Probable, Step{Action: Assign, Crew: "c"}, "", "it may be"},
		{"no crew", Confirmed, Step{Action: Assign}, "", "the crew is missing"},
		{"another crew", OnSite, Step{Action: Assign, Crew: "c"}, Assigned, ""},
		{"no reason", OnSite, Step{Action: Unassign}, "", "a reason is missing"},
		{"supply is back by itself", Probable, Step{Action: Restore, Cloud: true}, Restored, ""},
		{"a person says so, and not why", Probable, Step{Action: Restore}, "", "a reason is missing"},
		{"before it is verified", Restored, Step{Action: Complete, Report: whole}, "", "it may be verified"},
		{"without a report", Verified, Step{Action: Complete, Report: Report{Cause: "tree"}}, "", "failure, remedy missing"},
		{"no such code", Verified, Step{Action: Complete, Report: Report{Cause: "x", Failure: "fuse", Remedy: "none"}}, "", `"x" is no cause`},
		{"with all", Verified, Step{Action: Complete, Report: whole}, Completed, ""},
		{"a momentary one", Verified, Step{Action: Complete, Cloud: true, Momentary: true}, Completed, ""},
		{"a person's momentary one", Verified, Step{Action: Complete, Momentary: true}, "", "missing"},
		{"out again", Completed, Step{Action: Relapse, Cloud: true}, Confirmed, ""},
		{"the report later, and not why", Completed, Step{Action: Edit, Report: whole}, "", "a reason is missing"},
		{"the report later", Completed, Step{Action: Edit, Report: whole, Why: "found"}, Completed, ""},
		{"80 % before 50 %", Assigned, Step{Action: Estimate, Expected: Estimated{P50: 2, P80: 1}}, "", "can't be before"},
		{"no such step", Assigned, Step{Action: "explode"}, "", "no such step"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := Outage{State: c.from}
			after, err := before.Take(c.step)
			var refused *Refused
			switch {
			case c.to != "" && (err != nil || after.State != c.to):
				t.Errorf("%s, %v", after.State, err)
			case c.to == "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), c.cause) || after != before):
				t.Errorf("%+v, %v", after, err)
			}
		})
	}
}

// Whatever people and the cloud do in whichever order: nothing is completed that wasn't
// restored and verified, or whose report isn't whole.
func TestNothingIsCompletedEarly(t *testing.T) {
	actions := []Action{Find, Confirm, Assign, Unassign, SetOff, Arrive, Repair, Restore, Relapse, Verify, Complete, Dismiss, Merge, Edit, Estimate, Note, Update}
	rapid.Check(t, func(t *rapid.T) {
		o := Outage{State: Suspected}
		verified := false
		for _, a := range rapid.SliceOfN(rapid.SampledFrom(actions), 1, 40).Draw(t, "actions") {
			s := Step{Action: a, At: telemetry.Micros(1), By: "Ana", Crew: "c", Into: "x", Expected: Estimated{P50: 1, P80: 2},
				Why: rapid.SampledFrom([]string{"", "so"}).Draw(t, "why"), Cloud: rapid.Bool().Draw(t, "cloud"), Report: rapid.SampledFrom([]Report{{}, {Cause: "tree"}, whole}).Draw(t, "report")}
			after, err := o.Take(s)
			if err != nil && after != o {
				t.Fatalf("%s is refused and changes %+v to %+v", a, o, after)
			}
			o = after
			if o.State.Out() {
				verified = false
			}
			verified = verified || o.State == Verified
			if o.State == Completed && (!verified || !o.Report.complete()) {
				t.Fatalf("%+v", o)
			}
		}
	})
}
