// Package adapters defines what a field protocol's adapter is. Each protocol
// has its own package below this one.
package adapters

import (
	"context"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Batch is what one exchange with one device brought.
type Batch struct {
	Device string
	// Samples belong to the adapter again when Deliver returns.
	Samples []telemetry.Sample
	// Received is when the last byte of the answer arrived, or when waiting for
	// it ended.
	Received time.Time
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
