package scenario

import (
	"math/cmplx"
	"slices"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/load"
	"github.com/busbar/busbar/sim/powerflow"
	"github.com/busbar/busbar/sim/world"
)

// flow is the load flow of a quarter-hour.
type flow struct {
	solver    *powerflow.Solver
	operation *grid.Operation
	positions grid.Positions // that it is of
	loads     []complex128   // by point
	failed    bool           // there is no solution
}

// reactive is what customers take of it, of the active power that they take.
const reactive = 0.33 // at a power factor of 0.95

func newFlow(s *grid.Snapshot) *flow {
	f := &flow{loads: make([]complex128, s.Points())}
	f.solver, _ = powerflow.New(s, powerflow.Options{}) // what is wrong was found by Open
	return f
}

// solve finds what flows in a quarter-hour of a day, with the grid as it is switched
// at its beginning. What closes a loop counts as open.
func (f *flow) solve(w *world.World, days []load.Day, slot int) {
	if !slices.Equal(f.positions, w.Positions()) {
		f.positions = append(f.positions[:0], w.Positions()...)
		f.operation = w.Snapshot().Operate(f.positions, f.operation)
		_ = f.solver.Operate(f.operation)
	}
	for p := range f.loads {
		takes := 4 * float64(days[p].Import[slot]-days[p].Export[slot])
		if w.Connection(p)&w.Snapshot().Point(p).Phases != 0 {
			takes = 0
		}
		f.loads[p] = complex(takes, reactive*max(takes, 0))
	}
	_, err := f.solver.Solve(f.loads)
	f.failed = err != nil
}

// through is the power that a transformer takes on its high side and gives on its
// low side, in VA; NaN if more is asked for than the grid can carry.
func (f *flow) through(edge int) (high, low complex128) {
	if f.failed {
		return cmplx.NaN(), cmplx.NaN()
	}
	for _, s := range f.solver.Power(edge) {
		high += s
	}
	return high, high - f.solver.Loss(edge)
}
