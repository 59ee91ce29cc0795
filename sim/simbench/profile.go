package simbench

import (
	"math"
	"slices"
	"time"
)

// Step is the time between two values of a profile.
const Step = 15 * time.Minute

// Profile is active power over time, per unit of rated power: piecewise linear
// between its values, and a circle in time, its first value following its last.
// A Profile that was loaded or parsed is immutable.
type Profile struct {
	Name   string
	values []float64
	// integral[i] is the area under the profile from its start to values[i], in
	// per-unit seconds; the last one, past the end, is that of the whole circle.
	integral []float64
}

func newProfile(name string, values []float64) Profile {
	p := Profile{name, values, make([]float64, len(values)+1)}
	for i, v := range values {
		next := values[(i+1)%len(values)]
		p.integral[i+1] = p.integral[i] + (v+next)/2*Step.Seconds()
	}
	return p
}

// At is the power per unit at a time in seconds after the first value, which is
// the midnight before a Friday. Seconds must be finite; they may be negative.
func (p Profile) At(seconds float64) float64 {
	i, fraction, _ := p.locate(seconds)
	return p.values[i]*(1-fraction) + p.values[(i+1)%len(p.values)]*fraction
}

// Integral is the area under the profile from its first value to the given
// second, in per-unit seconds: times the rated power in W it is energy in J.
func (p Profile) Integral(seconds float64) float64 {
	i, fraction, circles := p.locate(seconds)
	middle := p.values[i] + (p.values[(i+1)%len(p.values)]-p.values[i])*fraction/2
	return circles*p.integral[len(p.values)] + p.integral[i] + middle*fraction*Step.Seconds()
}

// Values is a copy of the values, one a Step.
func (p Profile) Values() []float64 { return slices.Clone(p.values) }

// locate is the value at or before a time, the part of a Step since, and the
// whole circles before.
func (p Profile) locate(seconds float64) (i int, fraction, circles float64) {
	n := float64(len(p.values))
	steps := seconds / Step.Seconds()
	circles = math.Floor(steps / n)
	steps = max(steps-circles*n, 0)
	whole := math.Floor(steps)
	if whole >= n {
		return 0, 0, circles + 1
	}
	return int(whole), steps - whole, circles
}
