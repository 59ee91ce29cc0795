// Package lifecycle is what becomes of an outage, from the first suspicion until its
// report is complete: which step may follow which, and what each of them needs. It
// computes only, and knows no database.
package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// State is how far an outage has come.
type State string

const (
	Suspected State = "suspected" // there is something, which the evidence may yet explain otherwise
	Probable  State = "probable"  // evidence says so, and nobody else has
	Confirmed State = "confirmed" // by an operator, by the field, or as it is certain
	Assigned  State = "assigned"  // a crew has it
	EnRoute   State = "en-route"
	OnSite    State = "on-site"
	Repaired  State = "repaired" // what was broken is mended, supply isn't back yet
	Restored  State = "restored" // supply is said, or seen, to be back
	Verified  State = "verified" // it is: what is behind the device was seen with supply
	Completed State = "completed"
	Dismissed State = "dismissed" // there was no outage
	Merged    State = "merged"    // it is part of another one
)

// States are all of them, in their order.
var States = []State{Suspected, Probable, Confirmed, Assigned, EnRoute, OnSite, Repaired, Restored, Verified, Completed, Dismissed, Merged}

// Over reports whether nothing is expected of anybody any more.
func (s State) Over() bool { return s == Completed || s == Dismissed || s == Merged }

// Out reports whether customers are, or may be, without supply.
func (s State) Out() bool { return slices.Index(States, s) < slices.Index(States, Restored) }

// Action is what is done with an outage.
type Action string

const (
	Find     Action = "find" // the evidence is enough
	Confirm  Action = "confirm"
	Assign   Action = "assign"
	Unassign Action = "unassign" // the crew has refused it, or is needed elsewhere
	SetOff   Action = "en-route"
	Arrive   Action = "on-site"
	Repair   Action = "repaired"
	Restore  Action = "restored"
	Relapse  Action = "relapse" // what was restored is without supply again
	Verify   Action = "verify"
	Complete Action = "complete"
	Dismiss  Action = "dismiss"
	Merge    Action = "merge"
	Split    Action = "split"    // what has opened is something else, or are several
	Edit     Action = "edit"     // cause, failure, remedy
	Estimate Action = "estimate" // when supply is expected back
	Note     Action = "note"
	Update   Action = "update" // the evidence says something else of where it is, or of whom it concerns
)

// from is in which states an action may be taken, and to where it leads; "": to where it was.
var from = map[Action]struct {
	states []State
	to     State
}{
	Find:     {[]State{Suspected}, Probable},
	Confirm:  {[]State{Suspected, Probable}, Confirmed},
	Assign:   {[]State{Confirmed, Assigned, EnRoute, OnSite, Repaired}, Assigned},
	Unassign: {[]State{Assigned, EnRoute, OnSite}, Confirmed},
	SetOff:   {[]State{Assigned}, EnRoute},
	Arrive:   {[]State{Assigned, EnRoute}, OnSite},
	Repair:   {[]State{Confirmed, Assigned, EnRoute, OnSite}, Repaired},
	Restore:  {[]State{Suspected, Probable, Confirmed, Assigned, EnRoute, OnSite, Repaired}, Restored},
	Relapse:  {[]State{Restored, Verified, Completed}, Confirmed},
	Verify:   {[]State{Restored}, Verified},
	Complete: {[]State{Verified}, Completed},
	Dismiss:  {[]State{Suspected, Probable, Confirmed}, Dismissed},
	Merge:    {[]State{Suspected, Probable, Confirmed, Assigned, EnRoute, OnSite, Repaired}, Merged},
	Split:    {[]State{Suspected, Probable, Confirmed, Assigned, EnRoute, OnSite, Repaired}, ""},
	Edit:     {[]State{Suspected, Probable, Confirmed, Assigned, EnRoute, OnSite, Repaired, Restored, Verified, Completed}, ""},
	Estimate: {[]State{Suspected, Probable, Confirmed, Assigned, EnRoute, OnSite, Repaired}, ""},
	Note:     {States, ""},
	Update:   {[]State{Suspected, Probable, Confirmed, Assigned, EnRoute, OnSite, Repaired, Restored, Verified}, ""},
}

// Report is what is known of an outage in the end, by code, see Causes, Failures and
// Remedies. Empty is what isn't known yet.
type Report struct {
	Cause   string `json:"cause"`
	Failure string `json:"failure"`
	Remedy  string `json:"remedy"`
}

// Estimate of when supply is back: the instants by which it is with a probability of 50 %
// and of 80 %.
type Estimated struct {
	P50 telemetry.Micros `json:"p50_us"`
	P80 telemetry.Micros `json:"p80_us"`
	By  string           `json:"by" doc:"Who has set it; cloud: it follows from outages before"`
	At  telemetry.Micros `json:"at_us"`
}

// Outage is what the life cycle knows of one.
type Outage struct {
	State    State
	Crew     string // "": none
	Report   Report
	Expected *Estimated // nil: nobody has said
	Verdict  string     // why it was dismissed
	Into     string     // the outage that it is part of
}

// Step is something that is done with an outage.
type Step struct {
	Action Action
	At     telemetry.Micros
	By     string
	Why    string
	// With Assign a crew, with Edit what of a report isn't empty, with Estimate the times,
	// with Merge the other outage, with Split the devices that have opened.
	Crew      string
	Devices   []string
	Report    Report
	Expected  Estimated
	Into      string
	Cloud     bool // the cloud concludes it, and no person
	Momentary bool // with Complete: it was over before anybody had to do anything
}

// Refused is why a step can't be taken.
type Refused struct {
	Step   Action
	State  State
	Reason string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("%s isn't possible, the outage is %s: %s", r.Step, r.State, r.Reason)
}

// Take is the outage after a step. The error is a *Refused, and the outage is as it was.
func (o Outage) Take(s Step) (Outage, error) {
	refuse := func(format string, args ...any) (Outage, error) {
		return o, &Refused{s.Action, o.State, fmt.Sprintf(format, args...)}
	}
	rule, known := from[s.Action]
	switch {
	case !known:
		return refuse("there is no such step")
	case !slices.Contains(rule.states, o.State):
		return refuse("it may be %s", listed(rule.states))
	case s.Why == "" && !s.Cloud && needsReason(s.Action, o.State):
		return refuse("a reason is missing")
	}
	after := o
	if rule.to != "" {
		after.State = rule.to
	}
	switch s.Action {
	case Assign:
		if s.Crew == "" {
			return refuse("the crew is missing")
		}
		after.Crew = s.Crew
	case Unassign:
		after.Crew = ""
	case Merge:
		if s.Into == "" {
			return refuse("the other outage is missing")
		}
		after.Into = s.Into
	case Split:
		if len(s.Devices) == 0 {
			return refuse("the devices that have opened are missing")
		}
	case Edit:
		report, err := o.Report.edited(s.Report)
		if err != nil {
			return refuse("%s", err)
		}
		if report == o.Report {
			return refuse("it says what was known")
		}
		if o.State == Completed && !report.complete() {
			return refuse("%s", report.missing())
		}
		after.Report = report
	case Estimate:
		e := s.Expected
		if e.P50 <= 0 || e.P80 < e.P50 {
			return refuse("the time of 80 %% can't be before that of 50 %%, and neither is missing")
		}
		e.By, e.At = s.By, s.At
		after.Expected = &e
	case Complete:
		report, err := o.Report.edited(s.Report)
		if err != nil {
			return refuse("%s", err)
		}
		if !report.complete() && !(s.Cloud && s.Momentary) {
			return refuse("%s", report.missing())
		}
		after.Report = report
	case Dismiss:
		after.Verdict = s.Why
	}
	return after, nil
}

// needsReason is which steps nobody takes without saying why.
func needsReason(a Action, in State) bool {
	switch a {
	case Dismiss, Unassign, Relapse, Merge, Split, Note, Restore, Verify:
		return true
	case Edit:
		return in == Completed
	}
	return false
}

func listed(states []State) string {
	text := ""
	for i, s := range states {
		switch {
		case i == 0:
		case i == len(states)-1:
			text += " or "
		default:
			text += ", "
		}
		text += string(s)
	}
	return text
}

// Difference says in words what has changed, without the state.
func Difference(before, after Outage) string {
	var parts []string
	add := func(what, was, is string) {
		switch {
		case was == is:
		case was == "":
			parts = append(parts, what+" "+is)
		case is == "":
			parts = append(parts, what+" no longer "+was)
		default:
			parts = append(parts, what+" "+is+", was "+was)
		}
	}
	add("crew", before.Crew, after.Crew)
	add("cause", before.Report.Cause, after.Report.Cause)
	add("failure", before.Report.Failure, after.Report.Failure)
	add("remedy", before.Report.Remedy, after.Report.Remedy)
	add("part of", before.Into, after.Into)
	add("expected", before.Expected.String(), after.Expected.String())
	return strings.Join(parts, "; ")
}

func (e *Estimated) String() string {
	if e == nil {
		return ""
	}
	return e.P50.Moment().Format(time.RFC3339) + " to " + e.P80.Moment().Format(time.RFC3339)
}
