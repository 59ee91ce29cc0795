package powerflow

import (
	"math"
	"math/cmplx"
)

// What follows is of the last Solve.

// Voltage is that of a node's phases A, B and C against the neutral, in parts of
// the nominal one, 0 where there is no supply. Angles are against phase A of the
// source.
func (v *Solver) Voltage(node int) [3]complex128 {
	if r := v.rowOf[node]; r != none {
		return v.voltage[r]
	}
	return [3]complex128{}
}

// Current is what flows into a line, switch or transformer from the side that
// supplies it, in A, 0 if it carries nothing: it is open, has no supply or would
// close a loop. Angles are those of Voltage.
func (v *Solver) Current(edge int) [3]complex128 {
	_, i, unit := v.into(edge)
	for p := range i {
		i[p] *= complex(unit, 0)
	}
	return i
}

// Given is what a transformer gives on the side away from its supply, in A. It is
// what its node there has of current, as Current is that of the other node.
func (v *Solver) Given(edge int) [3]complex128 {
	k := v.edgeRow[edge]
	if k == none {
		return [3]complex128{}
	}
	if v.rows[k].node == none {
		k++ // its middle comes before its far side
	}
	i := v.current[k]
	for p := range i {
		i[p] *= complex(math.Sqrt(3)/v.nominal[v.rows[k].node], 0)
	}
	return i
}

// Nominal is the nominal voltage of a node between phases, in V; 0 of one that can't
// have supply.
func (v *Solver) Nominal(node int) float64 { return v.nominal[node] }

// Power is what flows into it from there, in VA: P + jQ by phase.
func (v *Solver) Power(edge int) [3]complex128 {
	u, i, _ := v.into(edge)
	for p := range i {
		i[p] = u[p] * cmplx.Conj(i[p])
	}
	return i
}

// into is voltage and current at the side of an edge that supplies it, and how
// many A the unit of current is.
func (v *Solver) into(edge int) (u, i phases, unit float64) {
	k := v.edgeRow[edge]
	if k == none {
		return u, i, 0
	}
	r := &v.rows[k]
	i, u = r.upstream(v.current[k]), v.voltage[r.parent]
	nominal := v.nominal[v.rows[r.parent].node]
	if !r.chargedFar {
		charging := complex(0, v.branches[edge].half*nominal*nominal/3)
		for p := range i {
			i[p] += charging * u[p]
		}
	}
	return u, i, math.Sqrt(3) / nominal
}

// Loss is what a line or transformer takes itself, in VA; the reactive power that
// a line's capacitance gives isn't in it.
func (v *Solver) Loss(edge int) complex128 {
	k := v.edgeRow[edge]
	if k == none {
		return 0
	}
	sum := v.seriesLoss(k)
	if v.rows[k].node == none {
		sum += v.shuntLoss(k) + v.seriesLoss(k+1)
	}
	return sum
}

func (v *Solver) seriesLoss(k int32) complex128 {
	r, i := &v.rows[k], &v.current[k]
	return r.series*complex(square(i[0])+square(i[1])+square(i[2]), 0) + r.neutral*complex(square(i[0]+i[1]+i[2]), 0)
}

func (v *Solver) shuntLoss(k int32) complex128 {
	u := &v.voltage[k]
	return cmplx.Conj(v.rows[k].shunt) * complex(square(u[0])+square(u[1])+square(u[2]), 0)
}

// Total is the balance of everything that has supply, in VA.
type Total struct {
	Sources complex128 // what they give
	Loads   complex128 // what service points take
	Losses  complex128 // what is lost, less what lines' capacitances give
}

// Total sums up what each of the parts is by itself, so that sources give what
// the others take, but for the tolerance of the solution.
func (v *Solver) Total() Total {
	var t Total
	least := v.options.ConstantPowerAbove * v.options.ConstantPowerAbove
	for k := range v.rows {
		r := &v.rows[k]
		if r.parent == none {
			for p, u := range v.voltage[k] {
				t.Sources += u * cmplx.Conj(v.current[k][p])
			}
		} else {
			t.Losses += v.seriesLoss(int32(k))
		}
		if r.shunt != 0 {
			t.Losses += v.shuntLoss(int32(k))
		}
		if r.loaded {
			for p, u := range v.voltage[k] {
				t.Loads += u * cmplx.Conj(drawn(v.load[k][p], u, least))
			}
		}
	}
	return t
}

func square(x complex128) float64 { return real(x)*real(x) + imag(x)*imag(x) }
