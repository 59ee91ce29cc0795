package powerflow

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/busbar/busbar/grid"
)

// Options is how exactly and how long is computed. What is 0 has its default.
type Options struct {
	// The change of every voltage in an iteration, in parts of the nominal one,
	// below which Solve ends. 1e-6 by default.
	Tolerance float64
	// The iterations after which Solve gives up. 100 by default.
	MostIterations int
	// The voltage, in parts of the nominal one, below which a load takes power as
	// the square of its voltage, and no longer the same power: what is fed so badly
	// has stopped as a rule, and else there would be no solution. 0.7 by default.
	ConstantPowerAbove float64
	// The frequency in Hz, for the capacitance of lines. 50 by default.
	Frequency float64
}

// Solver computes load flows of one snapshot, in one state of its switches at a
// time. It isn't safe for concurrent use.
type Solver struct {
	snapshot    *grid.Snapshot
	options     Options
	nominal     []float64 // by node, between phases
	branches    []branch  // by edge
	pointPhases []grid.Phases

	rows     []row   // in sweep order: each behind its parent
	rowOf    []int32 // by node: none if it has no supply
	edgeRow  []int32 // by edge: the row that it leads to, of a transformer its middle's
	pointRow []int32

	// By row: voltage in parts of base, and in VA at base the current that comes
	// from the parent, and the load.
	voltage, current, load []phases
}

// row is a node with the edge that supplies it, or the middle of a transformer.
// Impedances are such that a current of 1 VA at the nominal voltage between phase
// and neutral times one of them is in parts of that voltage.
type row struct {
	parent  int32
	node    int32 // none for the middle of a transformer
	way     way
	shape   uint8
	loaded  bool
	partial bool        // not all phases are alive, or one floats
	wires   grid.Phases // that lead to a source, or to a transformer that has all
	alive   grid.Phases
	floats  int8 // the phase that floats from here on, or none

	ratio   float64 // voltage behind the ideal part of the way, by the parent's
	series  complex128
	neutral complex128
	shunt   complex128
}

// way is what is between a row and its parent.
type way uint8

const (
	joined way = iota // nothing
	along             // an impedance
	across            // a transformer's ratio, and an impedance
)

// none stands for no row, node or phase.
const none = -1

// New prepares load flows of a snapshot in its normal operation, as Operate
// does for another. It fails where the voltage of a node or the rated power of a
// transformer isn't known. If the error is a LoopError, the solver is there as
// well.
//
// Lines without a resistance and a reactance, and transformers without a
// short-circuit voltage, have standard values; lines without a length, and
// switches, have no impedance.
func New(s *grid.Snapshot, o Options) (*Solver, error) {
	o.Tolerance = cmp.Or(o.Tolerance, 1e-6)
	o.MostIterations = cmp.Or(o.MostIterations, 100)
	o.ConstantPowerAbove = cmp.Or(o.ConstantPowerAbove, 0.7)
	o.Frequency = cmp.Or(o.Frequency, 50)
	nominal, err := nominalVoltages(s)
	if err != nil {
		return nil, err
	}
	v := &Solver{snapshot: s, options: o, nominal: nominal,
		branches: make([]branch, s.Edges()), edgeRow: make([]int32, s.Edges()), rowOf: make([]int32, s.Nodes()),
		pointPhases: make([]grid.Phases, s.Points()), pointRow: make([]int32, s.Points())}
	for i := range v.branches {
		if v.branches[i], err = branchOf(s, i, nominal, o.Frequency); err != nil {
			return nil, err
		}
	}
	for i := range v.pointPhases {
		v.pointPhases[i] = s.Point(i).Phases
	}
	return v, v.Operate(s.Normal())
}

// LoopError is that supply comes from two sides. The solver is then as if what
// closes loops were open, and can be used like that.
type LoopError struct {
	Edges []string // what closes loops, as Operation.Loops has it
}

func (e *LoopError) Error() string {
	what := e.Edges[0] + " closes a loop"
	if n := len(e.Edges); n > 1 {
		what = fmt.Sprintf("%d edges close loops, the first is %s", n, e.Edges[0])
	}
	return "powerflow: " + what + "; only what is supplied from one side can be computed"
}

// Operate takes the positions of switches from an operation of the solver's
// snapshot, which it doesn't keep. The results of before are gone. Where supply
// comes from two sides it fails with a LoopError, unless both are one place by
// switches without an impedance: of those side by side, one carries everything.
// After the first time it allocates nothing, unless more has supply than before.
func (v *Solver) Operate(o *grid.Operation) error {
	v.rows = v.rows[:0]
	for n := range v.rowOf {
		v.rowOf[n] = none
	}
	for e := range v.edgeRow {
		v.edgeRow[e] = none
	}
	sources := v.snapshot.Model().Sources
	for _, island := range o.Islands() {
		if island.Source == grid.None {
			continue
		}
		for _, n := range o.Downstream(island.Root) {
			if edge := o.Supply(int(n)); edge == grid.None {
				v.plant(n, &sources[island.Source])
			} else {
				v.grow(n, v.rowOf[o.Upstream(int(n))], edge, o.Conducts(edge))
			}
		}
	}
	n := len(v.rows)
	v.voltage, v.current, v.load = resized(v.voltage, n), resized(v.current, n), resized(v.load, n)
	for i := range v.pointRow {
		v.pointRow[i] = v.rowOf[v.snapshot.Point(i).Node]
		if r := v.pointRow[i]; r != none {
			v.rows[r].loaded = true
		}
	}
	return v.loops(o)
}

func resized(list []phases, n int) []phases {
	list = slices.Grow(list[:0], n)[:n]
	clear(list)
	return list
}

// plant adds the row of a source's node.
func (v *Solver) plant(node int32, source *grid.Source) {
	r := row{parent: none, node: node, wires: grid.ABC, alive: grid.ABC, floats: none, ratio: 1}
	if source.Setpoint != 0 {
		r.ratio = float64(source.Setpoint) / v.nominal[node]
	}
	v.rowOf[node] = int32(len(v.rows))
	v.rows = append(v.rows, r)
}

// grow adds the row of a node behind an edge, and before it that of the middle
// of the transformer that the edge may be.
func (v *Solver) grow(node, parent int32, edge int, conducts grid.Phases) {
	e, b, up := v.snapshot.Edge(edge), &v.branches[edge], &v.rows[parent]
	here, there := v.nominal[node], v.nominal[up.node]
	ohms := complex(here*here/3, 0)
	r := row{parent: parent, node: node, floats: none, series: b.series / ohms, neutral: b.neutral / ohms, ratio: there / here}
	v.edgeRow[edge] = int32(len(v.rows))
	if e.Kind == grid.KindTransformer {
		v.transform(&r, e, b, up, conducts)
		if b.shunt != 0 {
			r.series /= 2
			middle := r
			middle.node = none
			middle.shunt = b.shunt * ohms
			if e.A == int(node) {
				middle.shunt /= complex(b.ratio*b.ratio, 0)
			}
			r.parent, r.way, r.floats, r.ratio = int32(len(v.rows)), along, none, 1
			v.rows = append(v.rows, middle)
		}
	} else {
		v.interrupt(&r, e, up, conducts)
		switch {
		case r.ratio != 1:
			r.way = across
		case r.series != 0:
			r.way = along
		}
		if b.half != 0 {
			r.shunt += complex(0, b.half) * ohms
			up.shunt += complex(0, b.half*there*there/3)
		}
	}
	v.rowOf[node] = int32(len(v.rows))
	v.rows = append(v.rows, r)
}

// transform makes a row's way that of a transformer, fed from either side.
func (v *Solver) transform(r *row, e grid.Edge, b *branch, up *row, conducts grid.Phases) {
	r.way = across
	clock := b.clock
	if e.A == int(r.node) {
		r.ratio *= b.ratio
		r.series *= complex(b.ratio*b.ratio, 0)
		clock = (12 - clock) % 12
	} else {
		r.ratio /= b.ratio
	}
	r.wires, r.alive = up.alive&conducts, up.alive&conducts
	if conducts == grid.ABC {
		r.shape = uint8(clock)
		if up.alive != 0 && clock != 0 {
			r.wires, r.alive = grid.ABC, grid.ABC
		}
	}
	r.partial = r.alive != grid.ABC
}

// interrupt says which phases are alive behind a line or switch.
func (v *Solver) interrupt(r *row, e grid.Edge, up *row, conducts grid.Phases) {
	r.wires, r.alive = up.wires&conducts, up.alive&conducts
	if e.Phases == grid.ABC && v.nominal[r.node] > lowVoltage && up.alive == grid.ABC {
		switch lost := grid.ABC &^ r.wires; lost {
		case grid.A, grid.B, grid.C:
			r.alive = grid.ABC
			if up.wires == grid.ABC {
				r.floats = int8(lost >> 1) // A, B and C are 1, 2 and 4
			}
		case 0:
		default:
			r.alive = 0 // one wire has nothing to flow back through
		}
	}
	r.partial = r.alive != grid.ABC || r.floats != none
}

// loops tells of the edges that would close a loop.
func (v *Solver) loops(o *grid.Operation) error {
	var closing []string
	for _, edge := range o.Loops() {
		e := v.snapshot.Edge(int(edge))
		a, b := v.rowOf[e.A], v.rowOf[e.B]
		if a == none || b == none || e.Kind == grid.KindSwitch && v.place(a) == v.place(b) {
			continue
		}
		closing = append(closing, v.snapshot.EdgeAsset(int(edge)).ID)
	}
	if closing == nil {
		return nil
	}
	return &LoopError{closing}
}

// place is the row upstream that has the same voltage and isn't its parent's.
func (v *Solver) place(r int32) int32 {
	for v.rows[r].parent != none && v.rows[r].way == joined && !v.rows[r].partial {
		r = v.rows[r].parent
	}
	return r
}
