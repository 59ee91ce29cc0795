package obis

import (
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Derivation adds what a meter doesn't tell and its registers make. It knows which tariffs the
// meter has from what it has told before.
type Derivation struct {
	// Forgotten is called with a tariff that counts no longer; nil: nobody is told.
	Forgotten func(Code)

	tariffs [2]map[Code]time.Time // of what is taken and given, since when each is missing; zero: it isn't
}

// Forget is for how long others are told without a tariff until the meter has it no longer.
const Forget = 7 * 24 * time.Hour

// Knows says that the meter has a register, which may be that of a tariff.
func (d *Derivation) Knows(c Code) {
	if c.A != Electricity || c.C < 1 || c.C > 2 || c.D != 8 || c.E == 0 || c.F != Current {
		return
	}
	i := c.C - 1
	if d.tariffs[i] == nil {
		d.tariffs[i] = map[Code]time.Time{}
	}
	d.tariffs[i][c] = time.Time{}
}

// Derive adds the balance of what is taken and given, in total and by phase, and the sums of
// the meter's tariffs, to what it has told at a time. A balance is positive if more is taken.
// What the meter tells itself stays as that. A sum of which a tariff isn't told, or has no
// value, isn't made: it would be smaller than it was.
func (d *Derivation) Derive(registers []Register, at time.Time) []Register {
	n := len(registers)
	balance := func(taken, given, is uint8) {
		moment := func(c uint8) Code { return Code{A: Electricity, C: c, D: 7, F: Current} }
		if _, told := find(registers[:n], moment(is)); told {
			return
		}
		a, has := find(registers[:n], moment(taken))
		b, both := find(registers[:n], moment(given))
		if has && both && a.Unit == b.Unit {
			x, _ := a.Value.Float()
			y, _ := b.Value.Float()
			registers = append(registers, Register{Code: moment(is), Value: telemetry.FloatValue(x - y), Unit: a.Unit})
		}
	}
	for phase := range uint8(4) {
		balance(1+20*phase, 2+20*phase, 16+20*phase)
	}
	for i, c := range [2]uint8{1, 2} {
		if sum, made := d.sum(i, c, registers[:n], at); made {
			registers = append(registers, sum)
		}
	}
	return registers
}

// sum is the total of the tariffs of a quantity, of which the meter tells none itself.
func (d *Derivation) sum(i int, quantity uint8, registers []Register, at time.Time) (Register, bool) {
	total, unit, tariffs, told := 0.0, "", 0, false
	for _, r := range registers {
		if r.Code.A != Electricity || r.Code.C != quantity || r.Code.D != 8 || r.Code.F != Current {
			continue
		}
		if r.Code.E == 0 {
			return Register{}, false
		}
		told = true
		d.Knows(r.Code)
		if v, has := r.Value.Float(); has && r.Value.Kind() == telemetry.Float64 && (tariffs == 0 || r.Unit == unit) {
			total, unit = total+v, r.Unit
			tariffs++
		}
	}
	if told {
		d.miss(i, registers, at)
	}
	if tariffs == 0 || tariffs < len(d.tariffs[i]) {
		return Register{}, false
	}
	return Register{Code: Code{A: Electricity, C: quantity, D: 8, F: Current}, Value: telemetry.FloatValue(total), Unit: unit}, true
}

// miss notes which tariffs weren't told with others, and forgets those that haven't been for long.
func (d *Derivation) miss(i int, told []Register, at time.Time) {
	for c, since := range d.tariffs[i] {
		switch {
		case slices.ContainsFunc(told, func(r Register) bool { return r.Code == c }):
		case since.IsZero():
			d.tariffs[i][c] = at
		case at.Sub(since) >= Forget:
			delete(d.tariffs[i], c)
			if d.Forgotten != nil {
				d.Forgotten(c)
			}
		}
	}
}

// find is the number of a code on any channel.
func find(registers []Register, c Code) (Register, bool) {
	for _, r := range registers {
		own := r.Code
		if own.B = 0; own == c && r.Value.Kind() == telemetry.Float64 {
			return r, true
		}
	}
	return Register{}, false
}
