package cloud

import (
	"context"
	"time"

	"github.com/busbar/busbar/cloud/measurements"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry/record"
)

// Measurements says which samples are written for others to read.
type Measurements struct {
	// Samples are written that one of these describes. Default: all.
	Select []Selection `yaml:"select"`
}

// Selection describes samples: what is given must be so. In each, * stands for any text.
type Selection struct {
	// Example: north-*.
	Gateway string `yaml:"gateway"`

	// Where the gateway is.
	Site string `yaml:"site"`

	// Example: transformer-*.
	Device string `yaml:"device"`

	// What the device belongs to. Example: feeder-*.
	Asset string `yaml:"asset"`

	// Example: PhV.*.
	Signal string `yaml:"signal"`
}

// in is the selection as package measurements has it.
func (m Measurements) in() (list []measurements.Selection) {
	for _, s := range m.Select {
		list = append(list, measurements.Selection(s))
	}
	return list
}

func (m Measurements) check(f *configfile.File) {
	for i, s := range m.Select {
		if at := configfile.Item("measurements.select", i); s == (Selection{}) && !f.Broken(at) {
			f.Errorf(at, "describes everything, expected gateway, site, device, asset or signal; without select all samples are written")
		}
	}
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
	c.measured, err = measurements.New(ctx, measurements.Config{Log: c.kafka, Topics: names, Store: c.store, Logger: c.log, Select: m.in()})
	return err
}
