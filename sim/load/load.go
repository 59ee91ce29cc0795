// Package load is what service points use and make, a quarter-hour at a time, and
// what their meters count of it. Each day of each point is drawn from the seed,
// its number and the day alone, so any of them can be had at any time, in any
// order, and on any number of processors, with the same bits.
//
// Consumption follows the measured SimBench profiles; their eight weeks of
// winter go around, under a factor for the season. Photovoltaics, heat pumps and
// the weather that drives them are those of 51° north; times are UTC throughout.
package load

import (
	"math"

	"github.com/busbar/busbar/sim/simbench"
)

// Slots is how many quarter-hours a day has.
const Slots = 96

// Mix is what customers are like: the shares of service points that have
// something, from 0 to 1. What isn't a business or a farm is a household.
type Mix struct {
	Business float64 `yaml:"business"`
	Farm     float64 `yaml:"farm"`
	PV       float64 `yaml:"pv"`
	EV       float64 `yaml:"ev"`
	HeatPump float64 `yaml:"heat_pump"`
}

// SetDefaults says what holds where nothing is said.
func (m *Mix) SetDefaults() { *m = Mix{Business: 0.1, Farm: 0.02, PV: 0.15, EV: 0.1, HeatPump: 0.1} }

// Loads is all service points' at once. It is immutable, and safe for concurrent
// use.
type Loads struct {
	seed     uint64
	mix      Mix
	profiles [3][][]float32 // by class: values whose mean is 1
}

type class uint8

const (
	household class = iota
	business
	farm
)

var profileNames = [3][]string{
	{"H0-A", "H0-B", "H0-C", "H0-G", "H0-L"},
	{"G0-A", "G0-M", "G1-A", "G1-B", "G1-C", "G3-A", "G3-M", "G6-A"},
	{"L0-A", "L1-A", "L2-A", "L2-M"},
}

// New is the loads of a seed.
func New(seed uint64, mix Mix) *Loads {
	l := &Loads{seed: seed, mix: mix}
	for c, names := range profileNames {
		for _, name := range names {
			p, err := simbench.Load(name)
			if err != nil {
				panic(err) // one of the list above
			}
			values, sum := p.Values(), 0.0
			for _, v := range values {
				sum += v
			}
			part := make([]float32, len(values))
			for i, v := range values {
				part[i] = float32(v / sum * float64(len(values)))
			}
			l.profiles[c] = append(l.profiles[c], part)
		}
	}
	return l
}

// Customer is a service point's.
type Customer struct {
	Number  uint64
	Annual  float64 // Wh of consumption a year, without EV and heat pump
	PV      float64 // W peak
	EV      float64 // W of the charger
	Heat    float64 // W of heat lost at 1 K, through the heat pump
	Effects []Effect

	first, second []float32 // profiles
	share         float32   // of first
	shift         int       // in slots
}

// Customer draws the one with a number.
func (l *Loads) Customer(number uint64) Customer {
	d := draw{hash(l.seed, number, 0, 1)}
	c := Customer{Number: number}
	of := household
	if x := d.uniform(); x < l.mix.Business {
		of = business
	} else if x < l.mix.Business+l.mix.Farm {
		of = farm
	}
	profiles := l.profiles[of]
	c.first, c.second = profiles[d.below(len(profiles))], profiles[d.below(len(profiles))]
	c.share = float32(d.uniform())
	c.shift = d.below(8)*7*Slots + d.below(5) - 2 // whole weeks keep the days of the week
	c.Annual = [...]float64{3.2e6, 15e6, 25e6}[of] * math.Exp(0.4*d.normal())
	if d.uniform() < l.mix.PV {
		c.PV = 3e3 + 7e3*d.uniform()
	}
	if d.uniform() < l.mix.EV {
		c.EV = [...]float64{3.7e3, 11e3}[d.below(2)]
	}
	if d.uniform() < l.mix.HeatPump {
		c.Heat = 100 + 150*d.uniform()
	}
	return c
}

// Day is the energy of a day's quarter-hours, in Wh: taken from the grid, and
// given to it.
type Day struct{ Import, Export [Slots]float32 }

// Real is what a customer really takes and gives on a day, counted from 1970 UTC.
func (l *Loads) Real(c *Customer, day int, into *Day) {
	n := len(c.first)
	// The profiles begin on a Friday, as 2 January 1970 was.
	start := ((day-1)*Slots + c.shift) % n
	if start < 0 {
		start += n
	}
	season := 1 + 0.15*math.Cos(2*math.Pi*float64(day-15)/365.25)
	pv, ev, heat, life := l.has(c, day)
	scale := float32(c.Annual / 365.25 / Slots * season * life)
	a, b := c.share*scale, (1-c.share)*scale
	noise := hash(l.seed, c.Number, uint64(day), 2)
	for i := range Slots {
		at := start + i
		if at >= n {
			at -= n
		}
		noise += 0x9e3779b97f4a7c15
		into.Import[i] = (a*c.first[at] + b*c.second[at]) * around(mix(noise))
	}
	into.Export = [Slots]float32{}
	for _, e := range c.Effects {
		e.shift(day, &into.Import)
	}
	if ev > 0 || heat > 0 || pv > 0 {
		l.devices(c, day, pv, ev*math.Floor(life), heat*math.Sqrt(life), into)
	}
}

// Metered is what a customer's meter counts of a day. A quarter-hour that it
// doesn't count is NaN.
func (l *Loads) Metered(c *Customer, day int, into *Day) {
	l.Real(c, day, into)
	for _, e := range c.Effects {
		e.meter(l, c, day, into)
	}
}

// SlotAt is the day and the quarter-hour of a time in µs UTC.
func SlotAt(at int64) (day, slot int) {
	const quarter = int64(900e6)
	slots := at / quarter
	if at%quarter < 0 {
		slots--
	}
	day, slot = int(slots/Slots), int(slots%Slots)
	if slot < 0 {
		day, slot = day-1, slot+Slots
	}
	return day, slot
}
