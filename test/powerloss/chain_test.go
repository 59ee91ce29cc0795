package powerloss

import (
	"context"
	"time"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry"
)

// read returns the records behind a position.
func read(c *buffer.Chain, after buffer.Position, bytes int) ([]buffer.Entry, error) {
	r := c.Reader()
	defer r.Close()
	return r.Read(after, buffer.Newest, bytes)
}

// acknowledge says that the log has the records.
func acknowledge(c *buffer.Chain, entries []buffer.Entry) error {
	return c.Acknowledge(entries[0].Position, entries[len(entries)-1].Position)
}

// declared is what the buffer enters into the ledger as lost, after everything was
// read.
func declared(b *buffer.Buffer) (losses []telemetry.Loss) {
	ended, end := context.WithCancel(context.Background())
	end()
	b.NewWriter(time.Hour, func(l []telemetry.Loss) error {
		losses = append(losses, l...)
		return nil
	}, uncounted{}).Run(ended)
	return losses
}

// uncounted is the ledger of a buffer whose samples nobody accounts for.
type uncounted struct{}

func (uncounted) Count([]telemetry.Sample, []account.Slot)   {}
func (uncounted) Discard([]telemetry.Sample, []account.Slot) {}
func (uncounted) State(bool) []byte                          { return nil }
func (uncounted) Committed()                                 {}

func (uncounted) AppendPolls(dst []byte, _ []account.Slot) []byte { return dst }
