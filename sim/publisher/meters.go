package publisher

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/busbar/busbar/sim/simbench"
)

// Meters are some meters, and what they measure.
type Meters struct {
	Count      int
	Every      time.Duration // they are read
	Load       simbench.Profile
	RatedPower float64 // W, at which the load is 1
	Speed      float64 // seconds of the load that pass in a second
	Seed       uint64
	// Names are what they are called, one of each; nil: meter-1, meter-2, …
	Names []string
	// Measure is what they show at present, one of each, instead of the load. nil: they
	// show that.
	Measure func() []Reading

	others int // that are played beside them, and do something else
}

// Reading is what a meter shows.
type Reading struct {
	Power   float64 `json:"power"`   // W
	Energy  uint64  `json:"energy"`  // W.h
	Voltage float64 `json:"voltage"` // V
	// Silent is that the meter has no supply, and says nothing.
	Silent bool `json:"-"`
}

// name is what a meter is called, from 0.
func (m Meters) name(i int) string {
	if m.Names != nil {
		return m.Names[i]
	}
	return fmt.Sprintf("meter-%d", i+1)
}

// read is what they show after a time.
func (m Meters) read(after time.Duration) []Reading {
	if m.Measure != nil {
		return m.Measure()
	}
	at := after.Seconds() * m.Speed
	noise := rand.New(rand.NewPCG(m.Seed+uint64(m.others), uint64(after/m.Every)))
	readings := make([]Reading, m.Count)
	for i := range readings {
		shift := float64(m.others+i) * 900 // no two of them do the same
		readings[i] = Reading{
			Power:   math.Round(10*m.RatedPower*m.Load.At(at+shift)*(1+0.01*noise.NormFloat64())) / 10,
			Energy:  uint64(m.RatedPower * (m.Load.Integral(at+shift) - m.Load.Integral(shift)) / 3600),
			Voltage: math.Round(100*(230+noise.NormFloat64())) / 100,
		}
	}
	return readings
}
