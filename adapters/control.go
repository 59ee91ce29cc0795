package adapters

import (
	"context"

	"github.com/busbar/busbar/telemetry"
)

// Controller is an adapter that operates devices as well. It doesn't ask whether
// somebody may: gateway/control does, and is the only one that calls it.
type Controller interface {
	// Select finds out whether the point could be operated now: that its device
	// answers, is the right one, and that what holds the value can hold this one. It
	// changes nothing. Where a protocol has select-before-operate itself, the point
	// is selected at the device too.
	Select(ctx context.Context, c Control) (Controlled, error)
	// Operate writes the value once, and reads back what the device then shows. It
	// never writes again after an answer that didn't come. The error says why the
	// outcome isn't telemetry.ControlDone. If ctx ends before the write begins,
	// nothing is written; after that it goes on to its end.
	Operate(ctx context.Context, c Control) (Controlled, error)
}

// Control is a value for a point.
type Control struct {
	Device string
	Signal telemetry.SignalID
	Value  telemetry.Value
	// Permitted is asked once more right before an operation writes, when its turn has
	// come: an error says why nothing is written. Nil: it is permitted.
	Permitted func() error
}

// Controlled is what came of a Control. Values are None where they weren't found
// out.
type Controlled struct {
	Outcome telemetry.ControlOutcome
	Old     telemetry.Value // what the device showed before
	// ReadBack is what it showed afterwards.
	ReadBack telemetry.Value
}
