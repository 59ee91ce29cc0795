package cloud

import (
	"context"
	"time"

	"github.com/busbar/busbar/cloud/measurements"
	"github.com/busbar/busbar/telemetry/record"
)

// Measurements says which samples are written for others to read.
type Measurements struct {
	// Of which signals: those that fit one of the list. Default: all.
	Signals []SignalChoice `yaml:"signals"`
}

const forgetAgain = 5 * time.Second

// forgetMeasurements has the store keep nothing for those who aren't asked for any more. It
// tries until ctx ends.
func (c *Cloud) forgetMeasurements(ctx context.Context) {
	failed := false
	for {
		err := measurements.Forget(ctx, c.store)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !failed {
			failed = true
			c.log.Warn("what was kept for measurements can't be given up, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(forgetAgain):
		}
	}
}

// openMeasurements makes what writes them, if they are asked for.
func (c *Cloud) openMeasurements(ctx context.Context, names record.Topics) (err error) {
	m := c.config.Measurements
	if m == nil {
		return nil
	}
	c.measured, err = measurements.New(ctx, measurements.Config{Log: c.kafka, Topics: names, Store: c.store, Logger: c.log, Signals: choices(m.Signals)})
	return err
}
