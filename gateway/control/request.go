package control

import (
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Request is what somebody wants of a point.
type Request struct {
	Device, Signal string
	Value          telemetry.Value // not of a cancellation
	Origin         telemetry.ControlOrigin
	By             string // who asks, as they say
	// Selection is the ID that Select has answered with; "" operates without one.
	Selection string
	// Begun, unless it is nil, is called by Operate when nothing refuses it any more, before
	// the value is written.
	Begun func()
}

// Answer is what came of it.
type Answer struct {
	ID       string // of the attempt; of a selection, what Operate and Cancel name
	Outcome  telemetry.ControlOutcome
	Cause    Cause
	Detail   string
	Old      telemetry.Value // what the device showed before; None: not known
	ReadBack telemetry.Value // and afterwards
	Expires  time.Time       // of a selection
}

// Cause is why something isn't done.
type Cause string

// Causes of refusals: nothing was written.
const (
	Disabled      Cause = "disabled"       // control isn't enabled
	Unlisted      Cause = "unlisted"       // the configuration doesn't name the point
	NoName        Cause = "no-name"        // who asks doesn't say who that is
	OutOfRange    Cause = "out-of-range"   // of what the configuration allows
	NotSelected   Cause = "not-selected"   // the point has to be selected first, or no longer is
	OtherSelected Cause = "other-selected" // somebody else has selected it
	OtherValue    Cause = "other-value"    // it was selected for another value
	Busy          Cause = "busy"           // another operation goes on
	TooSoon       Cause = "too-soon"       // after the last operation of the point
	TooMany       Cause = "too-many"       // operations in a minute
	Interlocked   Cause = "interlocked"
	Undecided     Cause = "interlock-undecided" // it can't be evaluated
	NoAudit       Cause = "no-audit"            // it can't be written down
	Abandoned     Cause = "abandoned"           // who asked has gone before it began
	Stopping      Cause = "stopping"
	Late          Cause = "late"         // too long after the alarm because of which it was to be done
	StillActive   Cause = "still-active" // another alarm that operates the point hasn't cleared
	Commanded     Cause = "commanded"    // the alarm was ended by a command of the cloud
	Unauthorised  Cause = "unauthorised" // who asks hasn't shown the gateway's token
)

// Causes of what was tried.
const (
	DeviceFailed Cause = "device" // it doesn't answer, refuses, or can't hold the value
	Mismatch     Cause = "read-back"
	NoAnswer     Cause = "no-answer"
)
