package meter

import (
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// clockErrorName is the signal of how far the meter's clock is ahead.
const clockErrorName = "ClkErr"

const (
	// tolerance is how wrong the meter's clock may be for its times to be believed.
	tolerance = time.Minute
	// noise is how far the error has to move to be told anew: the meter tells whole seconds,
	// and its telegram takes its time.
	noise = 2 * time.Second
)

// clockError is how far the meter's clock is ahead of the gateway's.
type clockError struct {
	signal telemetry.SignalID
	asked  bool
	value  time.Duration
	told   time.Time
}

// sample is the error, if it is to be told.
func (c *clockError) sample(t reading) (telemetry.Sample, bool) {
	if c.signal == 0 || t.clock.IsZero() {
		return telemetry.Sample{}, false
	}
	off := t.clock.Sub(t.at)
	moved := off - c.value
	if !c.told.IsZero() && moved > -noise && moved < noise && t.at.Sub(c.told) < adapters.LiveEvery {
		return telemetry.Sample{}, false
	}
	c.value, c.told = off, t.at
	return telemetry.Sample{Time: telemetry.MicrosOf(t.at), Signal: c.signal, Value: telemetry.FloatValue(off.Round(time.Second).Seconds())}, true
}
