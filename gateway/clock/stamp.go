package clock

import (
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Held says which samples wait in the buffer for the time to be known.
type Held uint8

const (
	Nothing    Held = iota
	Counters        // what is settled: samples of counters
	Everything      // the clock has never been set in this boot
)

// Stamp is what a batch's times are made of.
type Stamp struct {
	// At is gateway time when the batch was received, and Began at the boot.
	At, Began telemetry.Micros
	Held      Held
	// Guessed is set if nothing is held any more and the time is still unknown.
	Guessed bool
	// Generation changes when gateway time was moved: the batches of a device
	// before and after have nothing to do with each other's times.
	Generation uint64
}

// Stamp converts the times of samples, which the wall clock of this process
// gave, to gateway time, and marks those that no synchronised clock confirms.
// Times of the devices' own clocks stay as they are. received is the batch's; it
// must have its monotonic reading.
func (c *Clock) Stamp(received time.Time, samples []telemetry.Sample) Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.look()
	at := c.at(now, received)
	shift := at - telemetry.MicrosOf(received)
	trusted := c.trusted(now)
	for i := range samples {
		s := &samples[i]
		if s.Quality.TimeQuality() != telemetry.GatewayTime {
			continue
		}
		s.Time = max(Minimum, min(s.Time+shift, at))
		if !trusted {
			s.Quality = s.Quality.WithTime(telemetry.UnsynchronisedTime)
		}
	}
	stamp := Stamp{At: at, Began: at - c.sinceBoot(now, received), Generation: c.generation}
	if c.overdue(now) {
		stamp.Guessed = c.state == telemetry.ClockUnset
	} else if stamp.Held = c.need; stamp.Held != Nothing {
		b := c.notes.present()
		c.unsaved = c.unsaved || !b.Open
		b.Open = true
	}
	return stamp
}

// Hold turns a sample's gateway time into time since the boot, for a
// record.FormatHeld. Times of a device's own clock need none.
func (s Stamp) Hold(sample *telemetry.Sample) {
	if sample.Quality.TimeQuality() == telemetry.DeviceTime {
		return
	}
	sample.Time -= s.Began
	sample.Quality = sample.Quality.WithTime(telemetry.SinceBoot)
}

// Doubt marks a sample whose time is a guess.
func Doubt(sample *telemetry.Sample) {
	if sample.Quality.TimeQuality() != telemetry.DeviceTime && sample.Quality.Validity() == telemetry.Good {
		sample.Quality = sample.Quality.WithValidity(telemetry.Uncertain)
	}
}
