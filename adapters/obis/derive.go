package obis

import "github.com/busbar/busbar/telemetry"

// Derivation adds what a meter doesn't tell and its registers make. It knows which tariffs the
// meter has from what it has told before.
type Derivation struct {
	tariffs [2]map[Code]bool // of what is taken and given
}

// Derive adds the balance of what is taken and given, in total and by phase, and the sums of
// the meter's tariffs. A balance is positive if more is taken. What the meter tells itself
// stays as that. A sum of which a tariff isn't told, or has no value, isn't made: it would be
// smaller than it was.
func (d *Derivation) Derive(registers []Register) []Register {
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
		if sum, made := d.sum(i, c, registers[:n]); made {
			registers = append(registers, sum)
		}
	}
	return registers
}

// sum is the total of the tariffs of a quantity, of which the meter tells none itself.
func (d *Derivation) sum(i int, quantity uint8, registers []Register) (Register, bool) {
	total, unit, tariffs := 0.0, "", 0
	for _, r := range registers {
		if r.Code.A != Electricity || r.Code.C != quantity || r.Code.D != 8 || r.Code.F != Current {
			continue
		}
		if r.Code.E == 0 {
			return Register{}, false
		}
		if d.tariffs[i] == nil {
			d.tariffs[i] = map[Code]bool{}
		}
		d.tariffs[i][r.Code] = true
		if v, has := r.Value.Float(); has && r.Value.Kind() == telemetry.Float64 && (tariffs == 0 || r.Unit == unit) {
			total, unit = total+v, r.Unit
			tariffs++
		}
	}
	if tariffs == 0 || tariffs < len(d.tariffs[i]) {
		return Register{}, false
	}
	return Register{Code: Code{A: Electricity, C: quantity, D: 8, F: Current}, Value: telemetry.FloatValue(total), Unit: unit}, true
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
