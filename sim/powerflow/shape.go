package powerflow

// phases is a voltage or current of each phase.
type phases [3]complex128

// shape is how a transformer passes the phases: with an odd clock number it
// makes of each the difference of two, over √3, with an even number it takes one,
// turned round or not. It does so for each phase in turn, so that offsets say it.
type shape struct {
	plus, minus int8 // which phase is taken, from the same one on, or none
	scale       float64
}

const invRoot3 = 0.57735026918962576450914878050195746

// shapes is by clock number, which is in how many 30° the lower voltage lags.
var shapes = [12]shape{
	0: {0, none, 1}, 2: {none, 2, 1}, 4: {1, none, 1}, 6: {none, 0, 1}, 8: {2, none, 1}, 10: {none, 1, 1},
	1: {0, 2, invRoot3}, 3: {1, 2, invRoot3}, 5: {1, 0, invRoot3}, 7: {2, 0, invRoot3}, 9: {2, 1, invRoot3}, 11: {0, 1, invRoot3},
}

// voltages is those behind an ideal transformer.
func (s shape) voltages(v phases) (out phases) {
	for p := range 3 {
		var sum complex128
		if s.plus != none {
			sum += v[(p+int(s.plus))%3]
		}
		if s.minus != none {
			sum -= v[(p+int(s.minus))%3]
		}
		out[p] = complex(s.scale, 0) * sum
	}
	return out
}

// currents is those before it, which carry the same power.
func (s shape) currents(i phases) (out phases) {
	for p := range 3 {
		scaled := complex(s.scale, 0) * i[p]
		if s.plus != none {
			out[(p+int(s.plus))%3] += scaled
		}
		if s.minus != none {
			out[(p+int(s.minus))%3] -= scaled
		}
	}
	return out
}
