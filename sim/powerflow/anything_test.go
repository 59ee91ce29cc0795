package powerflow_test

import (
	"errors"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridtest"
	"github.com/busbar/busbar/sim/powerflow"
)

// Networks of any shape, with loops, single phases and transformers anywhere, have
// finite voltages where there is supply, and power that is balanced, or an error
// that says why they haven't.
func TestAnything(t *testing.T) {
	solved, unsolved := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 9))
		m := gridtest.Random(r)
		voltages := []grid.Voltage{400, 20e3}
		for i := range m.Nodes {
			m.Nodes[i].Voltage = voltages[r.IntN(2)]
		}
		for i := range m.Lines {
			m.Lines[i].Length = grid.Length(r.IntN(500))
		}
		for i := range m.Transformers {
			m.Transformers[i].RatedPower, m.Transformers[i].VectorGroup = 400e3, []string{"", "Dyn5", "Yy6", "Yzn11", "Dd10", "YNyn"}[r.IntN(6)]
		}
		s := m.At(0)
		v, err := powerflow.New(s, powerflow.Options{Tolerance: 1e-12})
		var loop *powerflow.LoopError
		if err != nil && !errors.As(err, &loop) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if (loop != nil) && len(s.Normal().Loops()) == 0 {
			t.Fatalf("seed %d: %v, and there is none", seed, err)
		}
		_, err = v.Solve(randomLoads(r, s.Points()))
		var convergence *powerflow.ConvergenceError
		switch {
		case errors.As(err, &convergence):
			unsolved++
			continue
		case err != nil:
			t.Fatalf("seed %d: %v", seed, err)
		}
		solved++
		for n := range s.Nodes() {
			for _, u := range v.Voltage(n) {
				if cmplx.IsNaN(u) || cmplx.IsInf(u) || u != 0 && s.Normal().Energised(n) == 0 {
					t.Fatalf("seed %d: node %s has %v", seed, s.NodeID(n), u)
				}
			}
		}
		if total := v.Total(); cmplx.Abs(total.Sources-total.Loads-total.Losses) > 1e-6*(1+cmplx.Abs(total.Sources)) {
			t.Fatalf("seed %d: %+v isn't balanced", seed, total)
		}
	}
	if t.Logf("%d solved, %d not", solved, unsolved); solved < 2*unsolved {
		t.Errorf("%d solved, %d not", solved, unsolved)
	}
}
