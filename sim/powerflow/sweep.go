package powerflow

import (
	"fmt"
	"math"
	"math/bits"
	"math/cmplx"

	"github.com/busbar/busbar/grid"
)

// ConvergenceError is that no voltages were found which the loads agree with.
type ConvergenceError struct {
	Iterations int
	Node       string  // where voltage changed most in the last one
	Change     float64 // in parts of the nominal voltage; NaN if it grew beyond all bounds
}

func (e *ConvergenceError) Error() string {
	return fmt.Sprintf("powerflow: no solution after %d iterations, the voltage at node %s still changes by %.3g of the nominal one: as a rule the loads there are more than its lines can carry",
		e.Iterations, e.Node, e.Change)
}

// Solve computes voltages and currents with these loads, by service point as the
// snapshot numbers them: complex power in VA that is taken, that of all its phases
// together, of which each takes the same part. What a point without supply, or
// with a phase that has none, would take there isn't taken. Each call begins with
// the voltages that there are without a load, so that its result doesn't depend on
// those before. It allocates nothing.
//
// It returns how many iterations it took. The error is a ConvergenceError, after
// which what the solver returns means nothing, or that loads isn't as long as
// there are service points or that one of them is no finite number.
func (v *Solver) Solve(loads []complex128) (int, error) {
	if len(loads) != len(v.pointRow) {
		return 0, fmt.Errorf("powerflow: there are %d loads, expected one for each of %d service points", len(loads), len(v.pointRow))
	}
	if at := v.take(loads); at != none {
		return 0, fmt.Errorf("powerflow: the load of service point %s is %g, expected a finite number of VA", v.snapshot.PointAsset(at).ID, loads[at])
	}
	clear(v.current)
	v.forward()
	for n := 1; ; n++ {
		v.backward()
		change, at := v.forward()
		switch {
		case change <= v.options.Tolerance:
			return n, nil
		case n >= v.options.MostIterations || math.IsNaN(change) || math.IsInf(change, 0):
			if v.rows[at].node == none {
				at++
			}
			return n, &ConvergenceError{n, v.snapshot.NodeID(int(v.rows[at].node)), change}
		}
	}
}

// take sums up the loads by row and phase. It returns the point of one that isn't
// finite, or none.
func (v *Solver) take(loads []complex128) int {
	clear(v.load)
	for i, r := range v.pointRow {
		if loads[i]-loads[i] != 0 {
			return i
		}
		if r == none {
			continue
		}
		l := &v.load[r]
		switch p := v.pointPhases[i]; p {
		case grid.ABC:
			third := loads[i] * (1. / 3)
			l[0] += third
			l[1] += third
			l[2] += third
		case grid.A:
			l[0] += loads[i]
		case grid.B:
			l[1] += loads[i]
		case grid.C:
			l[2] += loads[i]
		default:
			part := loads[i] / complex(float64(bits.OnesCount8(uint8(p))), 0)
			for k := range 3 {
				if p&(1<<k) != 0 {
					l[k] += part
				}
			}
		}
	}
	return none
}

// drawn is the current of a load.
func drawn(load, voltage complex128, least float64) complex128 {
	return cmplx.Conj(load) * voltage * complex(1/max(square(voltage), least), 0)
}

// backward sums up currents from the ends of the trees.
func (v *Solver) backward() {
	least := v.options.ConstantPowerAbove * v.options.ConstantPowerAbove
	clear(v.current)
	for k := len(v.rows) - 1; k >= 0; k-- {
		r, i := &v.rows[k], &v.current[k]
		if r.loaded {
			u, s := &v.voltage[k], &v.load[k]
			i[0] += drawn(s[0], u[0], least)
			i[1] += drawn(s[1], u[1], least)
			i[2] += drawn(s[2], u[2], least)
		}
		if r.shunt != 0 {
			u := &v.voltage[k]
			i[0] += r.shunt * u[0]
			i[1] += r.shunt * u[1]
			i[2] += r.shunt * u[2]
		}
		if r.partial {
			r.divert(i)
		}
		if r.parent == none {
			continue
		}
		up := &v.current[r.parent]
		if r.way == across {
			c := r.upstream(*i)
			i = &c
		}
		up[0] += i[0]
		up[1] += i[1]
		up[2] += i[2]
	}
}

// upstream is a row's current as its parent has it.
func (r *row) upstream(i phases) phases {
	if r.way != across {
		return i
	}
	i = shapes[r.shape].currents(i)
	for p := range i {
		i[p] *= complex(r.ratio, 0)
	}
	return i
}

// divert lets the other two phases carry what one that floats has, half each, and
// takes from one without a wire what it can't carry.
func (r *row) divert(i *phases) {
	if f := int(r.floats); f != none {
		half := i[f] / 2
		i[f] = 0
		i[(f+1)%3] += half
		i[(f+2)%3] += half
	}
	for p := range i {
		if r.alive&(1<<p) == 0 {
			i[p] = 0
		}
	}
}

// forward computes the voltages, and returns the greatest change and its row.
func (v *Solver) forward() (most float64, at int) {
	for k := range v.rows {
		r, i := &v.rows[k], &v.current[k]
		var u phases
		switch {
		case r.parent == none:
			u = phases{complex(r.ratio, 0), complex(-r.ratio/2, -r.ratio*math.Sqrt(3)/2), complex(-r.ratio/2, r.ratio*math.Sqrt(3)/2)}
		case r.way == across:
			u = shapes[r.shape].voltages(v.voltage[r.parent])
			for p := range u {
				u[p] *= complex(r.ratio, 0)
			}
		default:
			u = v.voltage[r.parent]
		}
		if r.way != joined {
			back := r.neutral * (i[0] + i[1] + i[2])
			u[0] -= r.series*i[0] + back
			u[1] -= r.series*i[1] + back
			u[2] -= r.series*i[2] + back
		}
		if r.partial {
			r.confine(&u)
		}
		old := &v.voltage[k]
		change := max(distance(u[0], old[0]), distance(u[1], old[1]), distance(u[2], old[2]))
		if !(change <= most) {
			most, at = change, k
			if math.IsNaN(change) {
				return most, at
			}
		}
		*old = u
	}
	return most, at
}

// confine leaves a row the voltages of the phases that it has.
func (r *row) confine(u *phases) {
	if f := int(r.floats); f != none {
		u[f] = (u[(f+1)%3] + u[(f+2)%3]) / 2
	}
	for p := range u {
		if r.alive&(1<<p) == 0 {
			u[p] = 0
		}
	}
}

// distance is at least that between two voltages, and at most √2 of it.
func distance(a, b complex128) float64 {
	return math.Abs(real(a)-real(b)) + math.Abs(imag(a)-imag(b))
}
