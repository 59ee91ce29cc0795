// Package adapters defines what a field protocol's adapter is. Each protocol
// has its own package below this one.
package adapters

import (
	"context"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Batch is what one exchange with one device brought.
//
// An adapter that polls has a schedule: slots, one period apart, in each of which
// it asks for all points of the device. Due, Missed and Spared account for every
// slot up to this one: Missed + Spared + 1 periods lie between the Due of two
// batches of a device. What a device sends without being asked has no slots: Due
// is zero, and what came is what was scheduled.
type Batch struct {
	Device string
	// Due is when the slot of the schedule in which this was asked for came due, on
	// the clock of Received. The samples are one of each point, with or without a
	// value, and what the adapter adds itself.
	Due time.Time
	// Missed is how many slots directly before Due passed unused because an
	// exchange on the same connection went on. It tells that the gateway, or what it
	// reads through, is too slow for the configured period.
	Missed int
	// Spared is how many slots before these passed unused because the device
	// hadn't answered and asking it costs its neighbours their turn. It tells that
	// the device is silent: the values count as bad, for the reason SparedFor.
	Spared    int
	SparedFor telemetry.Reason
	// Samples belong to the adapter again when Deliver returns.
	Samples []telemetry.Sample
	// Past says that these are of the past, told later than what the device told since:
	// they are stored, and no rule sees them.
	Past bool
	// Interruptions are those of the supply that the device has in a log of its own, at this
	// moment. All of them are over; each is repeated for as long as it is in the log. They
	// are the sink's.
	Interruptions []Interruption
	// Disturbances are the device's own counts of them, at this moment. They are the sink's.
	Disturbances []Disturbances
	// Committed, if it isn't nil, is called once: when the samples are on disk, or with
	// false when they never will be; not if Deliver fails. Somebody waits for it, so they
	// are committed at once. It mustn't block.
	Committed func(bool)
	// Received is when the last byte of the answer arrived, or when waiting for
	// it ended.
	Received time.Time
}

// Interruption is a time without supply, by the clock of the device that has noted it.
type Interruption struct{ From, To time.Time }

// Disturbances is how many there have been of a phase's voltage since the device began to count.
type Disturbances struct {
	Kind  telemetry.EventKind // VoltageSag or VoltageSwell
	Phase string              // A, B or C
	Count uint64
}

// Sink takes batches. Deliver returns when the batch has been copied; it blocks
// while the system behind it can't take more, and fails only when ctx ends. It
// is safe for concurrent use.
type Sink interface {
	Deliver(ctx context.Context, b Batch) error
}

// Adapter reads devices over one protocol and delivers what they say. A device
// that fails yields samples without a value whose quality gives the reason; it
// never ends Run, nor delays another endpoint's devices.
type Adapter interface {
	// Run reads until ctx ends, and returns when its connections are closed.
	Run(ctx context.Context, sink Sink) error
	// ReadOnce reads one device now, for a person who wants to see what it says.
	// The error is about reaching it; a point's own failure is in its quality.
	ReadOnce(ctx context.Context, device string) ([]telemetry.Sample, error)
}
