package powerflow_test

import (
	"encoding/json"
	"math"
	"math/cmplx"
	"os"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/pandapower"
	"github.com/busbar/busbar/grid/simbench"
	"github.com/busbar/busbar/sim/powerflow"
)

// golden is what pandapower computed: loads in W and var, voltages in parts of
// the nominal one, currents in A, losses in W.
type golden struct {
	Loads map[string][2]float64
	Buses map[string][3]float64
	Lines map[string]struct{ From, To [3]float64 }

	Transformers map[string][3]float64 // at the high voltage
	Losses       float64
}

func readJSON(t testing.TB, path string, to any) {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(src, to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// The same voltages, currents and losses as pandapower's Newton-Raphson: balanced,
// and, for the European network, by phase with four wires, where pandapower ends
// at powers that are up to 0.03 VA off at each node, and so 0.8 W in all.
func TestAgreesWithPandapower(t *testing.T) {
	for _, c := range []struct {
		name, network            string
		worst                    float64 // of voltages, in parts of the nominal one
		worstCurrent             float64 // in parts of the largest
		worstLosses              float64 // in parts of them
		wantBuses, wantEquipment int
	}{
		{"case33bw", "../../grid/pandapower/testdata/case33bw.json", 1e-8, 1e-8, 1e-8, 33, 32},
		{"cigre_mv", "testdata/cigre_mv.json", 1e-8, 1e-8, 1e-8, 15, 17},
		{"cigre_lv", "testdata/cigre_lv.json", 1e-8, 1e-8, 1e-8, 44, 40},
		{"simbench_lv", "", 1e-8, 1e-8, 1e-8, 15, 14},
		{"european_lv", "testdata/european_lv.json", 5e-6, 1e-4, 5e-4, 91, 92},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want golden
			readJSON(t, "testdata/"+c.name+".results.json", &want)
			var m grid.Model
			var findings []grid.Finding
			var err error
			if c.network == "" {
				m, findings, err = simbench.Read("lv", os.DirFS("../../grid/simbench/testdata/lv"))
			} else {
				m, findings, err = pandapower.Open(c.network)
			}
			if err != nil || len(findings) > 0 {
				t.Fatal(err, findings)
			}
			s := m.At(0)
			v, err := powerflow.New(s, powerflow.Options{Tolerance: 1e-12})
			if err != nil {
				t.Fatal(err)
			}
			loads := make([]complex128, s.Points())
			for id, l := range want.Loads {
				loads[s.PointOf(id)] = complex(l[0], l[1])
			}
			iterations, err := v.Solve(loads)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for id, u := range want.Buses {
				for p, got := range v.Voltage(s.Node(id)) {
					worst = max(worst, math.Abs(cmplx.Abs(got)-u[p]))
				}
			}
			most, off := 0.0, 0.0
			compare := func(id string, want [3]float64) {
				for p, got := range v.Current(s.EdgeOf(id)) {
					most, off = max(most, want[p]), max(off, math.Abs(cmplx.Abs(got)-want[p]))
				}
			}
			equipment := 0
			for id, i := range want.Lines {
				edge := s.EdgeOf(id)
				below := s.Normal().Below(edge)
				if below == grid.None {
					continue
				}
				equipment++
				if below == s.Edge(edge).B {
					compare(id, i.From)
				} else {
					compare(id, i.To)
				}
			}
			for id, i := range want.Transformers {
				equipment++
				compare(id, i)
			}
			total := v.Total()
			t.Logf("%d iterations; voltages are off by %.1e, currents by %.1e of %.4g A, losses by %.1e of %.6g W", iterations,
				worst, off, most, math.Abs(real(total.Losses)-want.Losses), want.Losses)
			if !(worst < c.worst) || !(off < c.worstCurrent*most) || !(math.Abs(real(total.Losses)-want.Losses) < c.worstLosses*want.Losses) {
				t.Error("they aren't the same")
			}
			if len(want.Buses) != c.wantBuses || equipment != c.wantEquipment {
				t.Errorf("%d buses and %d lines and transformers are compared, expected %d and %d", len(want.Buses), equipment, c.wantBuses, c.wantEquipment)
			}
		})
	}
}
