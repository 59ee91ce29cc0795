package adapters

import (
	"context"
	"io"
)

// Capturer is an adapter whose devices' links can be listened to.
type Capturer interface {
	// Capture writes what goes over the device's links to w until ctx ends, as a file that
	// Wireshark reads. It fails if w does, or can't keep up.
	Capture(ctx context.Context, device string, w io.Writer) error
}
