package network

import "github.com/busbar/busbar/grid"

// Nominal voltages, between phases.
const (
	highVoltage   = 110e3
	mediumVoltage = 20e3
	lowVoltage    = 400
)

// customersPerPoint is how many customers a service point has on average, with
// what is there besides households.
const customersPerPoint = 1.4

// Ratings that transformers are made for, in VA.
var (
	stationRatings = []float64{6.3e6, 10e6, 16e6, 25e6, 40e6, 63e6}
	ratings        = []float64{50e3, 100e3, 160e3, 250e3, 400e3, 630e3, 1000e3}
)

// ratingFor is the smallest that carries a power, with room for half as much again, or
// the largest.
func ratingFor(power float64, of []float64) float64 {
	for _, rating := range of {
		if rating >= 1.5*power {
			return rating
		}
	}
	return of[len(of)-1]
}

// trunkType is what a feeder's trunk is built of: cables of 240 mm², or lines of
// 94/15.
func trunkType(overhead bool) (grid.LineType, grid.Current) {
	if overhead {
		return grid.Overhead, 350
	}
	return grid.Cable, 421
}

// lateralType is what leaves it: cables of 95 mm², or lines of 48/8.
func lateralType(overhead bool) (grid.LineType, grid.Current) {
	if overhead {
		return grid.Overhead, 210
	}
	return grid.Cable, 252
}

// streetType is what low voltage is built of: cables of 150 mm², or lines of 94/15.
func streetType(overhead bool) (grid.LineType, grid.Current) {
	if overhead {
		return grid.Overhead, 350
	}
	return grid.Cable, 270
}
