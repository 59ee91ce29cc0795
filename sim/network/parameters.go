// Package network makes networks to practise on: as large as is asked for, built
// as real ones are, and the same for the same parameters.
package network

import (
	"cmp"
	"fmt"
)

// Parameters is what a network is made by. What is 0 has its default, which is
// that of a mixed region.
type Parameters struct {
	// How many service points there are, from 1 to 1,000,000. 1000 by default.
	ServicePoints int
	// Another seed is another network of the same kind.
	Seed uint64
	// What the network is called. "Practice" by default.
	Name string
	// How many service points a feeder has, about. By default an eighth of all of
	// them, from 50 to 1000.
	PerFeeder int
	// How many feeders leave a substation. 10 by default.
	PerSubstation int
	// The part of feeders whose lines are overhead, from 0 to 1; the others are
	// cables. 0.4 by default, and none if it is below 0.
	Overhead float64
	// The part of the switches out on the lines, reclosers apart, whose positions
	// are signalled, from 0 to 1. Those in substations and reclosers all are, and
	// fuses never. 0.5 by default, and none if it is below 0.
	Telemetry float64
	// The part of service points in low voltage with one phase only, from 0 to 1. 0.5
	// by default, and none if it is below 0.
	SinglePhase float64
	// Where its middle is: longitude and latitude in WGS84. 10 51 by default.
	Longitude, Latitude float64
}

// Most is the most service points that a network is made with.
const Most = 1_000_000

// Demand is what a customer takes in the hour in which all take most, in W: what
// the networks' equipment is chosen for.
const Demand = 1500

// Check says what is wrong with the parameters.
func (p Parameters) Check() error {
	switch {
	case p.ServicePoints < 0 || p.ServicePoints > Most:
		return fmt.Errorf("%d service points, expected 1 to %d", p.ServicePoints, Most)
	case p.PerFeeder < 0 || p.PerSubstation < 0:
		return fmt.Errorf("%d service points on a feeder and %d feeders at a substation, expected more than 0", p.PerFeeder, p.PerSubstation)
	case !(p.Overhead <= 1) || !(p.Telemetry <= 1) || !(p.SinglePhase <= 1):
		return fmt.Errorf("parts of %g overhead, %g telemetered and %g with one phase, expected at most 1", p.Overhead, p.Telemetry, p.SinglePhase)
	case !(p.Longitude >= -180 && p.Longitude <= 180) || !(p.Latitude >= -80 && p.Latitude <= 80):
		return fmt.Errorf("%g %g, expected a longitude from -180 to 180 and a latitude from -80 to 80", p.Longitude, p.Latitude)
	}
	return nil
}

func (p Parameters) withDefaults() Parameters {
	part := func(x, otherwise float64) float64 {
		if x == 0 {
			return otherwise
		}
		return max(x, 0)
	}
	p.ServicePoints = cmp.Or(p.ServicePoints, 1000)
	p.Name = cmp.Or(p.Name, "Practice")
	p.PerFeeder = cmp.Or(p.PerFeeder, min(max(p.ServicePoints/8, 50), 1000))
	p.PerSubstation = cmp.Or(p.PerSubstation, 10)
	p.Overhead, p.Telemetry, p.SinglePhase = part(p.Overhead, 0.4), part(p.Telemetry, 0.5), part(p.SinglePhase, 0.5)
	if p.Longitude == 0 && p.Latitude == 0 {
		p.Longitude, p.Latitude = 10, 51
	}
	return p
}
