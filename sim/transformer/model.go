// Package transformer plays the monitor of a distribution transformer: an OPC UA server
// with its temperatures, load, tap position and cooling.
package transformer

import (
	"math"
	"time"
)

// Of a medium power transformer with natural circulation of oil and air, and with fans
// (IEC 60076-7:2018, table 4 and annex E), temperatures in K.
const (
	oilRise       = 52.0 // of the top oil above the ambient at rated load
	windingRise   = 26.0 // of the hot spot above the top oil at rated load
	lossRatio     = 6.0  // load loss at rated load by no-load loss
	oilExponent   = 0.8
	windExponent  = 1.6
	fansLeave     = 0.7 // of the oil's rise, when the fans run
	fansOn        = 65.0
	fansOff       = 55.0
	hotSpotLimit  = 110.0
	noonAmbient   = 18.0
	ambientSwing  = 6.0
	nominalTap    = 9
	tapsPerLoad   = 6.0
	tapHysteresis = 0.7
)

const (
	oilLag     = 210 * time.Minute
	windingLag = 10 * time.Minute
	mostStep   = time.Minute // of what is integrated at once
)

// State is what the monitor shows. Temperatures are in °C, the load in parts of the
// rated one.
type State struct {
	Load, Ambient, TopOil, HotSpot float64
	Tap                            int32
	Fans                           bool
	Alarm                          bool // the hot spot is above its limit
}

// Model is a transformer that is loaded as load says at each time since the start.
type Model struct {
	State
	load     func(time.Duration) float64
	since    time.Duration
	gradient float64 // of the hot spot above the top oil
}

// NewModel is a transformer that has been at rest, and starts at midnight.
func NewModel(load func(since time.Duration) float64) *Model {
	m := &Model{load: load}
	m.Ambient = ambient(0)
	m.TopOil, m.HotSpot, m.Tap = m.Ambient, m.Ambient, nominalTap
	return m
}

func ambient(since time.Duration) float64 {
	return noonAmbient - ambientSwing + ambientSwing*math.Sin(2*math.Pi*(since.Hours()-9)/24)
}

// warm has it be as it is after a day until a time of day under the load that it has then.
func (m *Model) warm(at time.Duration) {
	const day = 24 * time.Hour
	m.since = at - day
	m.Advance(day)
}

// Advance lets time pass.
func (m *Model) Advance(by time.Duration) {
	for by > 0 {
		step := min(by, mostStep)
		by -= step
		m.since += step
		m.advance(step)
	}
}

func (m *Model) advance(step time.Duration) {
	m.Load, m.Ambient = m.load(m.since), ambient(m.since)
	final := oilRise * math.Pow((1+lossRatio*m.Load*m.Load)/(1+lossRatio), oilExponent)
	if m.Fans {
		final *= fansLeave
	}
	m.TopOil += (m.Ambient + final - m.TopOil) * part(step, oilLag)
	m.gradient += (windingRise*math.Pow(m.Load, windExponent) - m.gradient) * part(step, windingLag)
	m.HotSpot = m.TopOil + m.gradient
	m.Alarm = m.HotSpot > hotSpotLimit
	switch {
	case m.TopOil > fansOn:
		m.Fans = true
	case m.TopOil < fansOff:
		m.Fans = false
	}
	if want := nominalTap + tapsPerLoad*(m.Load-0.5); math.Abs(want-float64(m.Tap)) > tapHysteresis {
		m.Tap = int32(math.Round(want))
	}
}

// part is how much of a difference goes in a step.
func part(step, lag time.Duration) float64 { return 1 - math.Exp(-step.Seconds()/lag.Seconds()) }
