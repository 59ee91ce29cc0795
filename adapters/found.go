package adapters

import (
	"context"

	"github.com/busbar/busbar/telemetry"
)

// Found is a signal that a device has told of itself: nobody has written it down.
type Found struct {
	Name string
	// Follow is which entry of the device's follow it comes by, from 0, or NoFollow.
	Follow int
	Unit   string // "" if the device doesn't say; the entry's own comes first
	Kind   telemetry.Kind
	// Encoding is how its values come about. Where it changes, the signal is another one.
	Encoding string
	States   telemetry.States
}

// NoFollow is that a signal comes by none of the entries of follow.
const NoFollow = -1

// Registrar gives the signals that devices tell of themselves their ids. It is safe for
// concurrent use.
type Registrar interface {
	// Register returns the ids of what a device has told of itself, in its order. From
	// then on rules know these signals. It costs a write to the disk and the compiling
	// of all rules, so many are registered together, and what is delivered of them
	// waits until then. An id is 0 of a signal that isn't to be delivered: there are
	// too many, or its name is that of another one. It fails if ctx ends.
	Register(ctx context.Context, device string, found []Found) ([]telemetry.SignalID, error)
	// Known are those that were registered of a device, also before the gateway started,
	// as long as it is configured as it was then, and their ids. It fails if ctx ends.
	Known(ctx context.Context, device string) ([]Found, []telemetry.SignalID, error)
}
