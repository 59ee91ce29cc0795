package powerflow_test

import (
	"errors"
	"fmt"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/network"
	"github.com/busbar/busbar/sim/powerflow"
)

// tree is a random network of n nodes in low voltage behind a transformer, in
// which every node has a service point.
func tree(r *rand.Rand, n int) *grid.Model {
	m := &grid.Model{
		Sources: []grid.Source{{Asset: grid.Asset{ID: "source"}, Node: "hv", Voltage: 20e3, Setpoint: grid.Voltage(20e3 + 1000*r.Float64())}},
		Transformers: []grid.Transformer{{Asset: grid.Asset{ID: "transformer"}, From: "hv", To: "n0", RatedPower: 400e3, HighVoltage: 20e3, LowVoltage: 400,
			VectorGroup: fmt.Sprintf("Dyn%d", r.IntN(12)), Phases: grid.ABC, ShortCircuitVoltage: 4, LoadLoss: 4600, NoLoadLoss: 600, NoLoadCurrent: 0.5, Tap: grid.Tap(2.5 * float64(r.IntN(5)-2))}},
	}
	for i := range n {
		at := fmt.Sprintf("n%d", i)
		if i > 0 {
			from, to := fmt.Sprintf("n%d", r.IntN(i)), at
			if r.IntN(2) == 0 {
				from, to = to, from
			}
			if r.IntN(4) == 0 {
				m.Switches = append(m.Switches, grid.Switch{Asset: grid.Asset{ID: "e" + at}, From: from, To: to, Type: grid.Fuse, Phases: grid.ABC})
			} else {
				m.Lines = append(m.Lines, grid.Line{Asset: grid.Asset{ID: "e" + at}, From: from, To: to, Voltage: 400, Phases: grid.ABC, Length: grid.Length(10 + 90*r.Float64()),
					Resistance: 0.2, Reactance: 0.08, Capacitance: 500})
			}
		}
		phases := grid.Phases(1 + r.IntN(7))
		m.ServicePoints = append(m.ServicePoints, grid.ServicePoint{Asset: grid.Asset{ID: "p" + at}, Node: at, Customers: 1, Phases: phases})
	}
	return m
}

func randomLoads(r *rand.Rand, n int) []complex128 {
	loads := make([]complex128, n)
	for i := range loads {
		loads[i] = complex(6000*r.Float64()-1000, 2000*r.Float64())
	}
	return loads
}

func solve(t testing.TB, m *grid.Model, loads []complex128, o powerflow.Options) (*grid.Snapshot, *powerflow.Solver) {
	t.Helper()
	s := m.At(0)
	v, err := powerflow.New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Solve(loads); err != nil {
		t.Fatal(err)
	}
	return s, v
}

// What sources give is what loads take and what is lost, each summed up by itself.
func TestPowerIsBalanced(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := network.Generate(network.Parameters{ServicePoints: 500 + r.IntN(500), Seed: seed})
		loads := randomLoads(r, len(m.ServicePoints))
		s, v := solve(t, m, loads, powerflow.Options{Tolerance: 1e-13})
		total := v.Total()
		if off := cmplx.Abs(total.Sources - total.Loads - total.Losses); !(off < 1e-9*cmplx.Abs(total.Sources)) {
			t.Errorf("seed %d: %v from sources, %v taken and %v lost, %.2g VA off", seed, total.Sources, total.Loads, total.Losses, off)
		}
		want := complex128(0)
		for _, l := range loads {
			want += l
		}
		if cmplx.Abs(total.Loads-want) > 1e-9*cmplx.Abs(want) || real(total.Losses) <= 0 {
			t.Errorf("seed %d: loads are %v, expected %v", seed, total.Loads, want)
		}
		// Losses by equipment, and what feeders take, add up to the same.
		losses, heads := 0.0, complex128(0)
		for e := range s.Edges() {
			losses += real(v.Loss(e))
			if s.Edge(e).Kind == grid.KindTransformer && s.Edge(e).A == s.Node("s1-110kv") {
				for _, p := range v.Power(e) {
					heads += p
				}
			}
		}
		if math.Abs(losses-real(total.Losses)) > 1e-9*real(total.Sources) || cmplx.Abs(heads-total.Sources) > 1e-9*cmplx.Abs(total.Sources) {
			t.Errorf("seed %d: equipment loses %g W of %g, and takes %v of %v", seed, losses, real(total.Losses), heads, total.Sources)
		}
	}
}

// A network that is listed in another order has the same voltages.
func TestOrderDoesNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := network.Generate(network.Parameters{ServicePoints: 400, Seed: 5})
	loads := randomLoads(r, len(m.ServicePoints))
	o := powerflow.Options{Tolerance: 1e-13}
	s, v := solve(t, m, loads, o)
	other := *m
	other.Lines = append([]grid.Line(nil), m.Lines...)
	other.ServicePoints = append([]grid.ServicePoint(nil), m.ServicePoints...)
	other.Switches = append([]grid.Switch(nil), m.Switches...)
	other.Nodes = append([]grid.Node(nil), m.Nodes...)
	r.Shuffle(len(m.Lines), func(i, j int) {
		other.Lines[i], other.Lines[j] = other.Lines[j], other.Lines[i]
		if r.IntN(2) == 0 {
			other.Lines[i].From, other.Lines[i].To = other.Lines[i].To, other.Lines[i].From
		}
	})
	r.Shuffle(len(m.Switches), func(i, j int) { other.Switches[i], other.Switches[j] = other.Switches[j], other.Switches[i] })
	r.Shuffle(len(m.Nodes), func(i, j int) { other.Nodes[i], other.Nodes[j] = other.Nodes[j], other.Nodes[i] })
	moved := append([]complex128(nil), loads...)
	r.Shuffle(len(loads), func(i, j int) {
		other.ServicePoints[i], other.ServicePoints[j] = other.ServicePoints[j], other.ServicePoints[i]
		moved[i], moved[j] = moved[j], moved[i]
	})
	s2, v2 := solve(t, &other, moved, o)
	for n := range s.Nodes() {
		a, b := v.Voltage(n), v2.Voltage(s2.Node(s.NodeID(n)))
		for p := range a {
			if cmplx.Abs(a[p]-b[p]) > 1e-11 {
				t.Fatalf("node %s: %v, and in another order %v", s.NodeID(n), a, b)
			}
		}
	}
}

// More load is a lower voltage where it is, with loads that take and lines that
// aren't of low resistance.
func TestMoreLoadIsLessVoltage(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 3))
		m := tree(r, 2+r.IntN(20))
		loads := randomLoads(r, len(m.ServicePoints))
		for i := range loads {
			loads[i] = complex(math.Abs(real(loads[i])), imag(loads[i]))
			m.ServicePoints[i].Phases = grid.ABC
		}
		s, v := solve(t, m, loads, powerflow.Options{Tolerance: 1e-12})
		at := r.IntN(len(loads))
		node := s.Point(at).Node
		before := v.Voltage(node)
		loads[at] += 500 + 200i
		if _, err := v.Solve(loads); err != nil {
			t.Fatal(err)
		}
		for p, u := range v.Voltage(node) {
			if !(cmplx.Abs(u) < cmplx.Abs(before[p])) {
				t.Errorf("seed %d: %v, and with more load %v", seed, before, v.Voltage(node))
			}
		}
	}
}

// A solver that switches were operated on gives what a new one does.
func TestOperateIsLikeNew(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	m := network.Generate(network.Parameters{ServicePoints: 2000, Seed: 2})
	loads := randomLoads(r, len(m.ServicePoints))
	s := m.At(0)
	v, err := powerflow.New(s, powerflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var o *grid.Operation
	for round := range 30 {
		positions := s.NormalPositions()
		for range 5 {
			positions[r.IntN(s.Edges())] = grid.Phases(r.IntN(8))
		}
		o = s.Operate(positions, o)
		err := v.Operate(o)
		var loop *powerflow.LoopError
		if err != nil && !errors.As(err, &loop) {
			t.Fatal(err)
		}
		fresh, _ := powerflow.New(s, powerflow.Options{})
		fresh.Operate(o)
		n1, err1 := v.Solve(loads)
		n2, err2 := fresh.Solve(loads)
		if n1 != n2 || err1 != nil || err2 != nil {
			t.Fatalf("round %d: %d iterations, %v, and anew %d, %v", round, n1, err1, n2, err2)
		}
		for n := range s.Nodes() {
			if v.Voltage(n) != fresh.Voltage(n) {
				t.Fatalf("round %d: node %s has %v, and anew %v", round, s.NodeID(n), v.Voltage(n), fresh.Voltage(n))
			}
			if v.Voltage(n) != [3]complex128{} && o.Energised(n) == 0 {
				t.Fatalf("round %d: node %s has %v and is energised by %q", round, s.NodeID(n), v.Voltage(n), o.Energised(n))
			}
		}
	}
}

func TestErrors(t *testing.T) {
	m := tree(rand.New(rand.NewPCG(1, 1)), 5)
	s := m.At(0)
	v, err := powerflow.New(s, powerflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, expected %q", err, text)
		}
	}
	_, err = v.Solve(nil)
	want(err, "there are 0 loads, expected one for each of 5 service points")
	_, err = v.Solve([]complex128{0, 0, 0, 0, 50e9})
	want(err, "no solution after")
	var convergence *powerflow.ConvergenceError
	if !errors.As(err, &convergence) || !strings.HasPrefix(convergence.Node, "n") {
		t.Errorf("%#v", err)
	}
	if _, err := v.Solve(make([]complex128, 5)); err != nil {
		t.Error("after an error:", err)
	}
	m.Transformers[0].RatedPower = 0
	_, err = powerflow.New(m.At(0), powerflow.Options{})
	want(err, "transformer transformer: its rated_power isn't known")
	m.Transformers[0].RatedPower = 400e3
	m.Lines = append(m.Lines, grid.Line{Asset: grid.Asset{ID: "loose"}, From: "x", To: "y"})
	_, err = powerflow.New(m.At(0), powerflow.Options{})
	want(err, "the voltage of node x isn't known")
	m.Lines[len(m.Lines)-1] = grid.Line{Asset: grid.Asset{ID: "chord"}, From: "n0", To: "n4", Length: 100, Phases: grid.ABC}
	v, err = powerflow.New(m.At(0), powerflow.Options{})
	want(err, "closes a loop; only what is supplied from one side can be computed")
	if _, err := v.Solve(make([]complex128, 5)); err != nil {
		t.Error("with a loop:", err)
	}
}

// A transformer that is fed from below is the same one: up by it and down by
// another is twice its impedance, and no angle.
func TestFedFromBelow(t *testing.T) {
	transformer := func(id, from, to string) grid.Transformer {
		return grid.Transformer{Asset: grid.Asset{ID: id}, From: from, To: to, RatedPower: 400e3, HighVoltage: 20e3, LowVoltage: 400, VectorGroup: "Dyn5", Phases: grid.ABC,
			ShortCircuitVoltage: 5, LoadLoss: 12e3, Tap: -5}
	}
	m := &grid.Model{
		Sources:       []grid.Source{{Asset: grid.Asset{ID: "generator"}, Node: "a", Voltage: 400}},
		Transformers:  []grid.Transformer{transformer("up", "mv", "a"), transformer("down", "mv", "b")},
		ServicePoints: []grid.ServicePoint{{Asset: grid.Asset{ID: "p"}, Node: "b", Phases: grid.ABC}},
	}
	const load = 200e3 + 100e3i
	s, v := solve(t, m, []complex128{load}, powerflow.Options{Tolerance: 1e-13})
	z := 2 * complex(0.03, 0.04) / 400e3 // in parts of the nominal voltage by VA
	want := complex(1, 0)
	for range 100 {
		want = 1 - z*cmplx.Conj(load/want)
	}
	if got := v.Voltage(s.Node("b"))[0]; cmplx.Abs(got-want) > 1e-11 {
		t.Errorf("%v, expected %v", got, want)
	}
	if _, err := v.Solve([]complex128{0}); err != nil {
		t.Fatal(err)
	}
	if got := v.Voltage(s.Node("mv"))[0]; math.Abs(cmplx.Abs(got)-0.95) > 1e-12 || math.Abs(cmplx.Phase(got)-5*math.Pi/6) > 1e-12 {
		t.Errorf("%v above without a load, expected 0.95 at 150°", got)
	}
}

// Two switches side by side are one place, and no loop that matters.
func TestSwitchesSideBySide(t *testing.T) {
	m := tree(rand.New(rand.NewPCG(1, 1)), 5)
	for _, id := range []string{"one", "another"} {
		m.Switches = append(m.Switches, grid.Switch{Asset: grid.Asset{ID: id}, From: "n4", To: "beside", Type: grid.Disconnector, Phases: grid.ABC})
	}
	s := m.At(0)
	v, err := powerflow.New(s, powerflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Solve(make([]complex128, s.Points())); err != nil || v.Voltage(s.Node("beside")) != v.Voltage(s.Node("n4")) {
		t.Error(err, v.Voltage(s.Node("beside")))
	}
}

// A phase that is lost above 1 kV is half a voltage on two phases behind Dyn;
// lost in low voltage it is none.
func TestLostPhase(t *testing.T) {
	m := network.Generate(network.Parameters{ServicePoints: 300, Seed: 3})
	s := m.At(0)
	v, err := powerflow.New(s, powerflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	loads := make([]complex128, s.Points())
	for i := range loads {
		loads[i] = 10
	}
	magnitudes := func(node string) (out [3]float64) {
		for p, u := range v.Voltage(s.Node(node)) {
			out[p] = cmplx.Abs(u)
		}
		return out
	}
	at := func(edge string, lost grid.Phases) {
		t.Helper()
		p := s.NormalPositions()
		p[s.EdgeOf(edge)] = lost
		if err := v.Operate(s.Operate(p, nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Solve(loads); err != nil {
			t.Fatal(err)
		}
	}
	near := func(got [3]float64, want ...float64) {
		t.Helper()
		for p := range got {
			if math.Abs(got[p]-want[p]) > 0.01*want[p] {
				t.Errorf("%.4f, expected about %.4f", got, want)
				return
			}
		}
	}
	at("f1-breaker", 0)
	full := magnitudes("f1-t1-lv")[0]
	at("f1-breaker", grid.A)
	near(magnitudes("f1-t1-lv"), full/2, full, full/2) // Dyn5 makes phase A of B and A, B of C and B, C of A and C
	if i := v.Current(s.EdgeOf("f1-breaker")); cmplx.Abs(i[0]) > 1e-6*cmplx.Abs(i[1]) {
		t.Errorf("currents %v, expected none in phase A", i)
	}
	at("f1-breaker", grid.A|grid.B)
	near(magnitudes("f1-t1-lv"), 0, 0, 0)
	at("f1-t1-1-fuse", grid.C)
	near(magnitudes("f1-t1-1-1"), full, full, 0)
	if u := magnitudes("f1-t1-1-1"); u[2] != 0 {
		t.Errorf("%v where the fuse of phase C is blown", u)
	}
}
