package powerflow_test

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/powerflow"
)

// fourWires is a network like those of tree, as a set of equations of another
// kind: nodal voltages against earth of three phases and a neutral, each line
// four conductors, the neutral earthed at the transformer, whose phases are
// sources behind its impedance.
type fourWires struct {
	y     [][]complex128 // nodal admittances, 4 a node
	feed  []complex128   // the current that the transformer's sources give
	loads []complex128   // by node and phase, in VA
}

func (f *fourWires) join(a, b int, y complex128) {
	f.y[a][a] += y
	f.y[b][b] += y
	f.y[a][b] -= y
	f.y[b][a] -= y
}

func newFourWires(m *grid.Model, s *grid.Snapshot, loads []complex128) (*fourWires, map[string]int) {
	index := map[string]int{}
	var of func(node string) int
	merged := map[string]string{} // by switches, which have no impedance
	of = func(node string) int {
		if to, ok := merged[node]; ok {
			return of(to)
		}
		if _, ok := index[node]; !ok {
			index[node] = len(index)
		}
		return index[node]
	}
	for _, sw := range m.Switches {
		// The node with the higher number hangs on the other.
		a, b := sw.From, sw.To
		if s.Normal().Upstream(s.Node(a)) == s.Node(b) {
			a, b = b, a
		}
		merged[b] = a
	}
	of("n0")
	for _, l := range m.Lines {
		of(l.From)
		of(l.To)
	}
	n := 4 * len(index)
	f := &fourWires{y: make([][]complex128, n), feed: make([]complex128, n), loads: make([]complex128, n)}
	for i := range f.y {
		f.y[i] = make([]complex128, n)
	}
	for _, l := range m.Lines {
		a, b, km := of(l.From), of(l.To), float64(l.Length)/1000
		y := 1 / (complex(float64(l.Resistance), float64(l.Reactance)) * complex(km, 0))
		for w := range 4 {
			f.join(4*a+w, 4*b+w, y)
		}
		for w := range 3 {
			half := complex(0, 2*math.Pi*50*float64(l.Capacitance)*1e-9*km/2)
			f.join(4*a+w, 4*a+3, half)
			f.join(4*b+w, 4*b+3, half)
		}
	}
	t := &m.Transformers[0]
	base := 400. * 400 / float64(t.RatedPower)
	r, g := float64(t.LoadLoss/grid.ActivePower(t.RatedPower)), float64(t.NoLoadLoss/grid.ActivePower(t.RatedPower))
	z := complex(r, math.Sqrt(math.Pow(float64(t.ShortCircuitVoltage)/100, 2)-r*r)) * complex(base, 0)
	ym := complex(g, -math.Sqrt(math.Pow(float64(t.NoLoadCurrent)/100, 2)-g*g)) / complex(base, 0)
	clock := int(t.VectorGroup[len(t.VectorGroup)-1] - '0')
	if len(t.VectorGroup) == 5 {
		clock += 10
	}
	for p := range 3 {
		e := cmplx.Rect(400/math.Sqrt(3)*float64(m.Sources[0].Setpoint)/20e3/(1+float64(t.Tap)/100), -math.Pi/6*float64(clock)-2*math.Pi/3*float64(p))
		// Half the impedance, a shunt, and the other half, as one source.
		thevenin := e / (1 + z/2*ym)
		behind := z/2 + 1/(2/z+ym)
		f.y[p][p] += 1 / behind
		f.feed[p] += thevenin / behind
	}
	f.y[3][3] += 1e9 // S, to earth
	for i := range s.Points() {
		at, phases := 4*of(m.ServicePoints[s.Point(i).Index].Node), s.Point(i).Phases
		count := 0
		for p := range 3 {
			count += int(phases >> p & 1)
		}
		for p := range 3 {
			if phases&(1<<p) != 0 {
				f.loads[at+p] += loads[i] / complex(float64(count), 0)
			}
		}
	}
	all := map[string]int{}
	for i := range s.Nodes() {
		if id := s.NodeID(i); id != "hv" {
			all[id] = of(id)
		}
	}
	return f, all
}

// solve is by Newton's method, from what there is without a load.
func (f *fourWires) solve(t *testing.T) []complex128 {
	u := make([]complex128, len(f.feed))
	for i := range u {
		if i%4 < 3 {
			u[i] = cmplx.Rect(231, -2*math.Pi/3*float64(i%4))
		}
	}
	loads := f.loads
	f.loads = make([]complex128, len(loads))
	f.iterate(t, u)
	f.loads = loads
	f.iterate(t, u)
	return u
}

// mismatch is the currents at each node, which sum up to 0 in the end.
func (f *fourWires) mismatch(u []complex128) []float64 {
	out := make([]float64, 2*len(u))
	for i := range u {
		sum := -f.feed[i]
		for j, y := range f.y[i] {
			sum += y * u[j]
		}
		if neutral := i - i%4 + 3; i < neutral {
			sum += cmplx.Conj(f.loads[i] / (u[i] - u[neutral]))
		} else {
			for w := range 3 {
				sum -= cmplx.Conj(f.loads[i-3+w] / (u[i-3+w] - u[i]))
			}
		}
		out[2*i], out[2*i+1] = real(sum), imag(sum)
	}
	return out
}

// iterate takes derivatives by differences.
func (f *fourWires) iterate(t *testing.T, u []complex128) {
	const h = 1e-4
	for range 30 {
		at := f.mismatch(u)
		j := make([][]float64, len(at))
		for i := range j {
			j[i] = make([]float64, len(at)+1)
			j[i][len(at)] = -at[i]
		}
		for k := range at {
			step := complex(h, 0)
			if k%2 == 1 {
				step = complex(0, h)
			}
			u[k/2] += step
			for i, x := range f.mismatch(u) {
				j[i][k] = (x - at[i]) / h
			}
			u[k/2] -= step
		}
		most := 0.0
		for k, x := range gauss(j) {
			most = max(most, math.Abs(x))
			if k%2 == 0 {
				u[k/2] += complex(x, 0)
			} else {
				u[k/2] += complex(0, x)
			}
		}
		if most < 1e-8 {
			return
		}
	}
	t.Fatal("Newton's method finds no solution")
}

// gauss solves equations whose right side is the last column.
func gauss(a [][]float64) []float64 {
	n := len(a)
	for k := range n {
		pivot := k
		for i := k; i < n; i++ {
			if math.Abs(a[i][k]) > math.Abs(a[pivot][k]) {
				pivot = i
			}
		}
		a[k], a[pivot] = a[pivot], a[k]
		for i := k + 1; i < n; i++ {
			by := a[i][k] / a[k][k]
			for j := k; by != 0 && j <= n; j++ {
				a[i][j] -= by * a[k][j]
			}
		}
	}
	x := make([]float64, n)
	for i := n - 1; i >= 0; i-- {
		x[i] = a[i][n]
		for j := i + 1; j < n; j++ {
			x[i] -= a[i][j] * x[j]
		}
		x[i] /= a[i][i]
	}
	return x
}

// Random networks, phases and loads, against the four conductors' equations.
func TestAgreesWithNewtonsMethod(t *testing.T) {
	worst := 0.0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		m := tree(r, 2+r.IntN(9))
		loads := randomLoads(r, len(m.ServicePoints))
		s, v := solve(t, m, loads, powerflow.Options{Tolerance: 1e-13})
		f, index := newFourWires(m, s, loads)
		u := f.solve(t)
		for id, at := range index {
			for p, got := range v.Voltage(s.Node(id)) {
				want := (u[4*at+p] - u[4*at+3]) / complex(400/math.Sqrt(3), 0)
				if off := cmplx.Abs(got - want); off > 1e-8 {
					t.Fatalf("seed %d, node %s, phase %d: %v, expected %v", seed, id, p, got, want)
				} else {
					worst = max(worst, off)
				}
			}
		}
	}
	t.Logf("off by %.1e at most", worst)
}
