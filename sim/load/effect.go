package load

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Kind is what makes a customer's readings change.
type Kind uint8

// The six kinds of theft of Jokar, Arianpoo and Leung (IEEE Transactions on Smart
// Grid 7(1), 2016), which change what the meter counts of a day's readings x; and
// what honest customers do that looks like it, which changes what they use, or
// the meter.
const (
	Reduced    Kind = iota // h1: α x, α the same always, between 0.1 and 0.8
	OffHours               // h2: nothing for at least four hours of each day
	Scaled                 // h3: γ x, γ drawn anew each quarter-hour, between 0.1 and 0.8
	ScaledMean             // h4: γ mean(x)
	Mean                   // h5: mean(x)
	Reversed               // h6: the day backwards

	Vacation     // a sixth of what is used otherwise
	MoveOut      // next to nothing
	NewPV        // photovoltaics from then on
	NewEV        // a car from then on
	NewHeatPump  // a heat pump from then on
	TariffChange // what can wait waits for the night
	MeterSwap    // two hours of the first day aren't counted, and the new meter differs by up to 2 %

	// What goes wrong with a meter.
	Stuck         // its register stands still
	Drift         // it counts less and less: a hundredth of what it did less each day
	LeadLost      // the voltage of one of three phases doesn't reach it, which counts nothing
	ReversedCT    // one of three current transformers is the wrong way round, which is subtracted
	RegisterReset // its register begins at 0 again at noon of the first day, and that quarter-hour isn't known
)

var kindNames = []string{"h1", "h2", "h3", "h4", "h5", "h6", "vacation", "move-out", "new-pv", "new-ev", "new-heat-pump", "tariff-change", "meter-swap",
	"stuck", "drift", "lead-lost", "reversed-ct", "register-reset"}

func (k Kind) String() string { return kindNames[k] }

func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kindNames, string(text))
	if i < 0 {
		return fmt.Errorf("%q is no effect, expected one of %s", text, strings.Join(kindNames, ", "))
	}
	*k = Kind(i)
	return nil
}

// Theft reports whether it is theft.
func (k Kind) Theft() bool { return k <= Reversed }

// MeterFault reports whether it is a fault of the meter.
func (k Kind) MeterFault() bool { return k >= Stuck }

// Effect is a change of a customer's readings for whole days.
type Effect struct {
	Kind       Kind
	From, Till int // days since 1970; Till isn't part of it, and 0 is for ever
}

func (e Effect) on(day int) bool { return day >= e.From && (e.Till == 0 || day < e.Till) }

// has is what a customer has on a day, and how much of the usual life goes on.
func (l *Loads) has(c *Customer, day int) (pv, ev, heat, life float64) {
	pv, ev, heat, life = c.PV, c.EV, c.Heat, 1
	for _, e := range c.Effects {
		if !e.on(day) {
			continue
		}
		d := draw{hash(l.seed, c.Number, uint64(e.From), 7)}
		switch e.Kind {
		case NewPV:
			pv += 3e3 + 7e3*d.uniform()
		case NewEV:
			ev += 11e3
		case NewHeatPump:
			heat += 100 + 150*d.uniform()
		case Vacation:
			life = min(life, 1.0/6)
		case MoveOut:
			life = min(life, 0.02)
		}
	}
	return pv, ev, heat, life
}

// shift moves what a customer uses of a day to where it is cheap.
func (e Effect) shift(day int, x *[Slots]float32) {
	if e.Kind != TariffChange || !e.on(day) {
		return
	}
	for i := 64; i < 88; i++ { // from 16 to 22 o'clock to six hours at night
		half := x[i] / 2
		x[i] -= half
		x[i-64] += half
	}
}

func scale(x *[Slots]float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}

// meter changes what is counted of a day.
func (e Effect) meter(l *Loads, c *Customer, day int, of *Day) {
	if !e.on(day) {
		return
	}
	x := &of.Import
	always := draw{hash(l.seed, c.Number, uint64(e.From), 5)}
	today := draw{hash(l.seed, c.Number, uint64(day), 6)}
	mean := func() float32 {
		sum := 0.0
		for _, v := range x {
			sum += float64(v)
		}
		return float32(sum / Slots)
	}
	switch e.Kind {
	case Reduced:
		scale(x, always.kept())
	case OffHours:
		length := 16 + today.below(33) // 4 to 12 hours
		from := today.below(Slots - length + 1)
		clear(x[from : from+length])
	case Scaled:
		for i := range x {
			x[i] *= today.kept()
		}
	case ScaledMean:
		m := mean()
		for i := range x {
			x[i] = m * today.kept()
		}
	case Mean:
		m := mean()
		for i := range x {
			x[i] = m
		}
	case Reversed:
		slices.Reverse(x[:])
	case MeterSwap:
		scale(x, float32(0.98+0.04*always.uniform()))
		if day == e.From {
			from := 32 + always.below(24)
			for i := from; i < from+8; i++ {
				x[i] = float32(math.NaN())
			}
		}
	case Stuck:
		of.Import, of.Export = [Slots]float32{}, [Slots]float32{}
	case Drift:
		left := float32(math.Pow(0.99, float64(day-e.From)))
		scale(x, left)
		scale(&of.Export, left)
	case LeadLost:
		scale(x, 2./3)
		scale(&of.Export, 2./3)
	case ReversedCT: // of three equal parts, two less one
		scale(x, 1./3)
		scale(&of.Export, 1./3)
	case RegisterReset:
		if day == e.From {
			x[Slots/2], of.Export[Slots/2] = float32(math.NaN()), float32(math.NaN())
		}
	}
}

// kept is the part of the energy that a thief's meter counts.
func (d *draw) kept() float32 { return float32(0.1 + 0.7*d.uniform()) }
