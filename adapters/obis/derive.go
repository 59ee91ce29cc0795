package obis

import "github.com/busbar/busbar/telemetry"

// Derive adds what a meter doesn't tell and its registers make: the balance of what is taken
// and given, in total and by phase, and the sums of its tariffs. A balance is positive if
// more is taken. What the meter tells itself stays as that.
func Derive(registers []Register) []Register {
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
	for _, c := range [2]uint8{1, 2} {
		sum, tariffs, unit := 0.0, 0, ""
		total := Code{A: Electricity, C: c, D: 8, F: Current}
		told := false
		for _, r := range registers[:n] {
			if r.Code.A != Electricity || r.Code.C != c || r.Code.D != 8 || r.Code.F != Current || r.Value.Kind() != telemetry.Float64 {
				continue
			}
			if r.Code.E == 0 {
				told = true
				break
			}
			v, _ := r.Value.Float()
			sum, unit = sum+v, r.Unit
			tariffs++
		}
		if !told && tariffs > 0 {
			registers = append(registers, Register{Code: total, Value: telemetry.FloatValue(sum), Unit: unit})
		}
	}
	return registers
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
