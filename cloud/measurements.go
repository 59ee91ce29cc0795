package cloud

import (
	"context"

	"github.com/busbar/busbar/cloud/measurements"
	"github.com/busbar/busbar/telemetry/record"
)

// Measurements says which samples are written for others to read.
type Measurements struct {
	// Of which signals: those that fit one of the list. Default: all.
	Signals []SignalChoice `yaml:"signals"`
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
