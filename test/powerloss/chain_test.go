package powerloss

import (
	"context"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry"
)

// read returns the records behind a position.
func read(c *buffer.Chain, after buffer.Position, bytes int) ([]buffer.Entry, error) {
	return c.Read(after, bytes)
}

// acknowledge says that the log has the records.
func acknowledge(c *buffer.Chain, entries []buffer.Entry) error {
	return c.Release(entries[len(entries)-1].Position)
}

// declared is what the buffer enters into the ledger as lost, after everything was
// read.
func declared(b *buffer.Buffer) (losses []telemetry.Loss) {
	ended, end := context.WithCancel(context.Background())
	end()
	b.NewWriter(time.Hour, func(l []telemetry.Loss) error {
		losses = append(losses, l...)
		return nil
	}).Run(ended)
	return losses
}
