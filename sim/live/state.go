package live

import (
	"math"
	"math/bits"
	"math/rand/v2"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/world"
)

// Point is what the meter of a service point has at its terminals. It is that of
// the last step, as everything else is that Live returns.
type Point struct {
	Alive     bool       // a phase has voltage, so that a meter which measures it works
	Voltage   [3]float64 // V, phase A, B and C against the neutral; 0 for one that it doesn't use
	Current   [3]float64 // A
	Active    [3]float64 // W, taken from the grid; negative if it is given
	Reactive  [3]float64 // var
	Frequency float64    // Hz; 0 if it isn't alive
	// What its registers count, in Wh, from before the start on. They don't
	// decrease. What is stolen, and what a faulty meter doesn't count, isn't in them
	// and not in currents and powers.
	Import, Export float64
}

// Transformer is what a transformer carries.
type Transformer struct {
	Alive       bool
	HighVoltage [3]float64 // V, phase against neutral
	LowVoltage  [3]float64
	LowCurrent  [3]float64 // A
	Active      float64    // W, into its high side; negative if it is given back
	Reactive    float64    // var
	// The apparent power per unit of the rated one, which is the load that heats
	// its oil (IEC 60076-7); 0 if no rating is known.
	Loading float64
	Energy
}

// Energy is what has flowed since the start, in Wh: on from the side that supplies it, and
// back there.
type Energy struct{ Forth, Back float64 }

// count adds what flows at a power in W for some hours.
func (e *Energy) count(power, hours float64) {
	if power >= 0 {
		e.Forth += power * hours
	} else {
		e.Back -= power * hours
	}
}

// Position is that of a switch, as a double point has it (IEC 60870-5-101, DPI).
type Position uint8

const (
	Between Position = iota // some of its phases are open, as after a fuse has blown
	Open
	Closed
)

func (p Position) String() string { return [...]string{"between", "open", "closed"}[p] }

// PositionOf is that of a switch of which some of its phases are open.
func PositionOf(open, phases grid.Phases) Position {
	switch open & phases {
	case 0:
		return Closed
	case phases:
		return Open
	}
	return Between
}

// Switch is a breaker, recloser, fuse, load switch or disconnector.
type Switch struct {
	Position    Position
	Phases      grid.Phases // that are open
	Telemetered bool        // a signal shows its position
	Stale       bool        // which doesn't change any more
	Operations  uint32      // how often it has opened or closed, since the start
	Tripped     bool        // it is open by protection
	LockedOut   bool        // and doesn't close by itself
	Current     [3]float64  // A, from the side that supplies it

	// Of one that is telemetered, whether what tells its position runs, and has a connection;
	// and what is measured at it: the voltages between phases A and B, B and C, C and A at its first
	// node in V, and the power from the side that supplies it in W and var.
	Runs, Connected  bool
	Voltage          [3]float64
	Active, Reactive float64
	Energy
}

// state is all of it, by index of the grid's snapshot.
type state struct {
	at           int64
	frequency    float64
	points       []Point
	transformers []Transformer
	switches     []Switch
	positions    grid.Positions // by edge
	levels       []world.Levels // by node

	transformerOf, switchOf []int32   // by edge: the index in those, or -1
	edges, switchEdges      []int     // by those: the edge
	nominal                 []float64 // by point: V, phase against neutral
	phases                  []int     // by point: how many it uses
}

// newState is that of a grid before its first load flow. Meters have counted for
// some years.
func newState(play *scenario.Play, f *flow) state {
	snapshot := play.World().Snapshot()
	s := state{at: play.World().Now(), points: make([]Point, snapshot.Points()), transformerOf: make([]int32, snapshot.Edges()), switchOf: make([]int32, snapshot.Edges()),
		nominal: make([]float64, snapshot.Points()), phases: make([]int, snapshot.Points())}
	for p := range s.points {
		random := rand.New(rand.NewPCG(f.seed, uint64(p)<<8|0x4e))
		s.points[p].Import = math.Round(f.customers[p].Annual * (1 + 10*random.Float64()))
		s.points[p].Export = math.Round(f.customers[p].PV * 500 * random.Float64())
		point := snapshot.Point(p)
		s.nominal[p], s.phases[p] = f.solver.Nominal(point.Node)/math.Sqrt(3), bits.OnesCount8(uint8(point.Phases))
	}
	stale := map[string]bool{}
	for _, id := range play.Edge().Stale() {
		stale[id] = true
	}
	for edge := range snapshot.Edges() {
		s.transformerOf[edge], s.switchOf[edge] = -1, -1
		switch e := snapshot.Edge(edge); e.Kind {
		case grid.KindTransformer:
			s.transformerOf[edge] = int32(len(s.transformers))
			s.transformers, s.edges = append(s.transformers, Transformer{}), append(s.edges, edge)
		case grid.KindSwitch:
			v := &snapshot.Model().Switches[e.Index]
			s.switchOf[edge] = int32(len(s.switches))
			s.switches, s.switchEdges = append(s.switches, Switch{Telemetered: v.Telemetered(), Stale: stale[v.ID]}), append(s.switchEdges, edge)
		}
	}
	return s
}

// Point is that of a service point, by its index in Snapshot. It is safe for
// concurrent use, as all of Live's methods are.
func (l *Live) Point(point int) Point {
	l.read.RLock()
	defer l.read.RUnlock()
	return l.state.points[point]
}

// Transformer is that of an edge that is one; the zero value otherwise.
func (l *Live) Transformer(edge int) Transformer {
	l.read.RLock()
	defer l.read.RUnlock()
	if i := l.state.transformerOf[edge]; i >= 0 {
		return l.state.transformers[i]
	}
	return Transformer{}
}

// Switch is that of an edge that is one; the zero value otherwise.
func (l *Live) Switch(edge int) Switch {
	l.read.RLock()
	defer l.read.RUnlock()
	if i := l.state.switchOf[edge]; i >= 0 {
		return l.state.switches[i]
	}
	return Switch{}
}

// Frequency is the grid's, in Hz.
func (l *Live) Frequency() float64 {
	l.read.RLock()
	defer l.read.RUnlock()
	return l.state.frequency
}

// Now is the simulated time of the last step, in µs UTC.
func (l *Live) Now() int64 {
	l.read.RLock()
	defer l.read.RUnlock()
	return l.state.at
}
