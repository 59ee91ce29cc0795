package devices

import "math"

// Reading is what a meter measures at one instant.
type Reading struct {
	Voltage   [3]float64 // V, phase to neutral
	Current   [3]float64 // A
	Active    [3]float64 // W, taken from the grid; negative if it is given
	Reactive  [3]float64 // var
	Apparent  [3]float64 // VA
	Frequency float64    // Hz
	// What has been counted of it, in W.h, and the shares of the phases in that; 1
	// together.
	Imported, Exported float64
	Shares             [3]float64
	// Phases is how many the meter is connected by, from the first one on; 0 is three.
	Phases int
}

// Source is what a meter is connected to. Its meter asks it one thing at a time, but
// for Powers.
type Source interface {
	// Instant is a number for the present moment. While it is the same, so is what is
	// measured.
	Instant() int64
	// Measure is what there is at the present instant.
	Measure(instant int64) Reading
	// Powers says whether the meter has a supply. Without one it takes requests and says
	// nothing. It is safe for concurrent use.
	Powers() bool
}

// Worker is a unit that at times doesn't work, and then takes requests and says nothing.
type Worker interface {
	Unit
	Works() bool
}

// SetPower sets what a phase takes, in W and var, and with it the apparent power, as a
// meter of limited resolution shows it.
func (r *Reading) SetPower(phase int, active, reactive float64) {
	r.Active[phase], r.Reactive[phase] = round(active, 10), round(reactive, 10)
	r.Apparent[phase] = round(math.Hypot(active, reactive), 10)
}
