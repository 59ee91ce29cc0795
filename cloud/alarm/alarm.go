// Package alarm keeps the alarms that gateways raise: whether each is active,
// whether someone has acknowledged it, and who did what when. The two are
// separate, as in ISA-18.2: an alarm that has cleared stays open until it has
// been acknowledged.
package alarm

import (
	"errors"

	"github.com/busbar/busbar/telemetry"
)

// Alarm is one occurrence of a condition, from raise to clear.
type Alarm struct {
	ID       string             `json:"id"`
	Kind     Kind               `json:"kind" enum:"gateway,cloud,external" doc:"Who decides whether it is active"`
	Gateway  string             `json:"gateway"` // "": none
	Site     string             `json:"site"`
	Zone     string             `json:"zone"` // of one that is of no gateway; "" of others
	Rule     string             `json:"rule"`
	Asset    string             `json:"asset"`
	Device   string             `json:"device"`
	Priority telemetry.Priority `json:"priority" enum:"low,medium,high,critical"`
	Summary  string             `json:"summary"`
	Version  string             `json:"rule_version"` // of the rule as it was then; "" if its gateway doesn't say
	Method   string             `json:"method"`       // how what the rule reads was measured: sampled, device-event or half-cycle; "" if its gateway doesn't say
	Group    string             `json:"group"`        // of alarms that have one cause
	FirstUp  string             `json:"first_up"`     // the id of the alarm of the group that was raised first, which may be this one
	Feeder   string             `json:"feeder"`       // of the asset, or else of the gateway; "" if that isn't known

	Active         bool              `json:"active"`
	Acknowledged   bool              `json:"acknowledged"`
	Raised         telemetry.Micros  `json:"raised_us"`
	Confirmed      telemetry.Micros  `json:"confirmed_us"` // of the sample that confirmed it; 0 if its gateway doesn't say
	Cleared        *telemetry.Micros `json:"cleared_us"`
	Decided        telemetry.Micros  `json:"decided_us"` // when the gateway raised it last; 0 if only its clearing is known
	AcknowledgedAt *telemetry.Micros `json:"acknowledged_us"`
	AcknowledgedBy string            `json:"acknowledged_by"`
	Comment        string            `json:"comment"`

	Inputs   []Input `json:"inputs"`   // the values that raised it
	Captured bool    `json:"captured"` // there are samples from before and after

	Handling     *Handling        `json:"handling" doc:"Why its condition isn't announced; null: people let it be"`
	SuppressedBy string           `json:"suppressed_by" doc:"The id of the alarm that stands for it; empty: none does"`
	Unannounced  bool             `json:"unannounced" doc:"It was handled or suppressed when it was raised, so no other system was told of it"`
	Chattered    telemetry.Micros `json:"chattered_us" doc:"When its condition was last found to be raised three times within 60 s; 0: never"`
}

// Input is one of the values that a rule decided by.
type Input struct {
	Series  telemetry.SignalID `json:"series"` // 0 until births have named it
	Name    string             `json:"name"`
	Device  string             `json:"device"`
	Unit    string             `json:"unit"`
	Value   *float64           `json:"value"`           // nil: no value, or none that is a number
	State   string             `json:"state,omitempty"` // what the value is called, if it has a name
	Quality string             `json:"quality"`
	Time    telemetry.Micros   `json:"time_us"`
}

// Open reports whether the alarm still asks for someone's attention.
func (a Alarm) Open() bool { return a.Active || !a.Acknowledged }

// OfItsGateway reports whether a gateway has raised the alarm, and so knows of it.
func (a Alarm) OfItsGateway() bool { return kindOf(a.ID, a.Rule) == OfGateway }

// Action is what happened to an alarm.
type Action string

const (
	Raised       Action = "raised"
	Cleared      Action = "cleared"
	Acknowledged Action = "acknowledged"
)

// Change is a request to move an alarm on. Alarm is set for Raised and Cleared, By
// and Comment for Acknowledged and for what isn't the gateway's own word.
type Change struct {
	Action  Action
	At      telemetry.Micros // for Raised and Cleared when it began in the field
	Decided telemetry.Micros
	Gateway string
	Alarm   telemetry.AlarmChange
	By      string
	Comment string
	Told    telemetry.Micros // when it came; 0: now
	Zone    string           // of an alarm that is of no gateway
	// SuppressedBy is what keeps an alarm that is Raised quiet from the start; "": nothing.
	SuppressedBy string
}

var (
	ErrNotFound            = errors.New("no such alarm")
	ErrAlreadyAcknowledged = errors.New("the alarm has been acknowledged already")
	ErrOtherGateway        = errors.New("the alarm belongs to another gateway")
)

// Apply returns the alarm after the change, and whether that is a transition:
// what has happened already changes nothing. The zero Alarm is one that nothing
// is known of yet. An alarm whose clearing comes first is kept as cleared, to be
// acknowledged like any other, and its raise then only completes it. One that has
// cleared and is raised by a later decision, as by a gateway that a restart made
// forget the one or the other, is active again and asks for attention anew.
func (a Alarm) Apply(c Change) (Alarm, bool, error) {
	known := a.ID != ""
	if known && c.Action != Acknowledged && a.Gateway != c.Gateway {
		return a, false, ErrOtherGateway
	}
	switch c.Action {
	case Raised:
		switch {
		case a.Decided == 0:
		case a.Active || a.Decided == c.Decided:
			return a, false, nil
		default:
			after := a
			after.Active, after.Cleared, after.Decided = true, nil, c.Decided
			after.Acknowledged, after.AcknowledgedAt, after.AcknowledgedBy, after.Comment = false, nil, "", ""
			return after, true, nil
		}
		after := a.describe(c)
		after.Active = !known
		after.Raised, after.Confirmed, after.Decided = c.At, c.Alarm.Confirmed, c.Decided
		after.Inputs = inputs(c.Alarm.Inputs)
		return after, true, nil
	case Cleared:
		if a.Cleared != nil {
			return a, false, nil
		}
		after := a
		if !known {
			after = a.describe(c)
			after.Raised = c.At
			after.Inputs = []Input{}
		}
		after.Active = false
		after.Cleared = &c.At
		return after, true, nil
	case Acknowledged:
		switch {
		case !known:
			return a, false, ErrNotFound
		case a.Acknowledged:
			return a, false, ErrAlreadyAcknowledged
		}
		after := a
		after.Acknowledged, after.AcknowledgedAt = true, &c.At
		after.AcknowledgedBy, after.Comment = c.By, c.Comment
		return after, true, nil
	}
	return a, false, errors.New("unknown action " + string(c.Action))
}

func (a Alarm) describe(c Change) Alarm {
	a.ID, a.Gateway, a.Zone = c.Alarm.ID, c.Gateway, c.Zone
	a.Rule, a.Asset, a.Device = c.Alarm.Rule, c.Alarm.Asset, c.Alarm.Device
	a.Priority, a.Summary = c.Alarm.Priority, c.Alarm.Summary
	a.Version, a.Method, a.Group, a.FirstUp = c.Alarm.Version, c.Alarm.Method, c.Alarm.Group, c.Alarm.FirstUp
	return a
}

func inputs(of []telemetry.Input) []Input {
	out := make([]Input, len(of))
	for i, in := range of {
		out[i] = Input{Name: in.Name, Device: in.Device, Unit: in.Unit, Value: in.Value, State: in.State, Quality: in.Quality, Time: in.Time}
	}
	return out
}
