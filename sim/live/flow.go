package live

import (
	"errors"
	"math"
	"math/cmplx"
	"slices"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/load"
	"github.com/busbar/busbar/sim/powerflow"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/world"
)

// In µs.
const (
	minute  = int64(60e6)
	quarter = 15 * minute
)

// flow is what customers take, and what flows because of it.
type flow struct {
	seed      uint64
	loads     *load.Loads
	customers []load.Customer
	day       int               // that the days are of
	real      []load.Day        // by point
	metered   map[int]*load.Day // of those whose meter doesn't count what is real

	solver    *powerflow.Solver
	operation *grid.Operation
	positions grid.Positions // that it is of
	minute    int64          // that the powers are of, in minutes since 1970
	fine      bool           // they aren't those of its quarter-hour
	service   int            // counts changes at service points' own fuses
	takes     []complex128   // VA, by point
	counted   []complex128   // of that, by its meter
	share     []float64      // of both that is really taken, because of phases without supply
	failed    bool
}

func newFlow(s *scenario.Scenario, play *scenario.Play) (*flow, error) {
	snapshot := play.World().Snapshot()
	n := snapshot.Points()
	f := &flow{seed: s.Seed, day: math.MinInt, minute: math.MinInt64, real: make([]load.Day, n), metered: map[int]*load.Day{},
		takes: make([]complex128, n), counted: make([]complex128, n), share: make([]float64, n)}
	if f.loads, f.customers = play.Customers(); f.loads == nil {
		var mix load.Mix
		mix.SetDefaults()
		f.loads, f.customers = scenario.Customers(snapshot, s.Seed, mix)
	}
	for p := range f.customers {
		if len(f.customers[p].Effects) > 0 {
			f.metered[p] = &load.Day{}
		}
	}
	var err error
	var loops *powerflow.LoopError
	if f.solver, err = powerflow.New(snapshot, powerflow.Options{}); err != nil && !errors.As(err, &loops) {
		return nil, err
	}
	return f, nil
}

// count adds to the registers what flows since the last step.
func (s *state) count(f *flow, passed int64) {
	hours := float64(passed) / 3600e6
	for p := range s.points {
		switch wh := real(f.counted[p]) * f.share[p] * hours; {
		case wh > 0:
			s.points[p].Import += wh
		default:
			s.points[p].Export -= wh
		}
	}
	for i := range s.transformers {
		s.transformers[i].count(s.transformers[i].Active, hours)
	}
	for i := range s.switches {
		s.switches[i].count(s.switches[i].Active, hours)
	}
}

// solve computes the load flow anew if the minute or a position is another one. What
// closes a loop counts as open.
func (f *flow) solve(w *world.World, fine bool) bool {
	now := w.Now() / minute
	if !fine {
		now = w.Now() / quarter * load.Minutes
	}
	switched := !slices.Equal(f.positions, w.Positions())
	if now == f.minute && fine == f.fine && !switched && f.service == w.ServiceChanges() {
		return false
	}
	if switched {
		f.positions = append(f.positions[:0], w.Positions()...)
		f.operation = w.Snapshot().Operate(f.positions, f.operation)
		_ = f.solver.Operate(f.operation)
	}
	if now != f.minute || fine != f.fine {
		f.draw(w.Now(), fine)
	}
	f.minute, f.fine, f.service = now, fine, w.ServiceChanges()
	loads := f.takes
	if w.Disconnected() > 0 {
		loads = slices.Clone(f.takes)
		for p := range loads {
			if w.Connection(p)&w.Snapshot().Point(p).Phases != 0 {
				loads[p] = 0
			}
		}
	}
	_, err := f.solver.Solve(loads)
	f.failed = err != nil
	return true
}

// reactive is what customers take of it, of the active power that they take.
const reactive = 0.33 // at a power factor of 0.95

// draw is the powers of a minute, or of its quarter-hour.
func (f *flow) draw(at int64, fine bool) {
	day, slot := load.SlotAt(at)
	if day != f.day {
		f.day = day
		for p := range f.customers {
			f.loads.Real(&f.customers[p], day, &f.real[p])
			if metered := f.metered[p]; metered != nil {
				f.loads.Metered(&f.customers[p], day, metered)
			}
		}
	}
	for p := range f.customers {
		turn := 4.0
		if fine {
			turn *= f.loads.Minute(&f.customers[p], day, slot, int(at%quarter/minute))
		}
		power := func(d *load.Day) complex128 {
			x := turn * float64(d.Import[slot]-d.Export[slot])
			if x != x {
				return 0 // isn't counted
			}
			return complex(x, reactive*max(x, 0))
		}
		f.takes[p] = power(&f.real[p])
		if f.counted[p] = f.takes[p]; f.metered[p] != nil {
			f.counted[p] = power(f.metered[p])
		}
	}
}

// show hands the load flow to what is seen.
func (f *flow) show(w *world.World, s *state) {
	snapshot := w.Snapshot()
	for p := range s.points {
		x, point := &s.points[p], snapshot.Point(p)
		level, closed := w.Level(p), point.Phases&^w.Connection(p)
		u := f.voltage(w, point.Node)
		x.Alive = level.Live() != 0
		x.Frequency, f.share[p] = 0, 0
		for i := range 3 {
			x.Voltage[i], x.Current[i], x.Active[i], x.Reactive[i] = 0, 0, 0, 0
			if closed&(1<<i) == 0 || level[i] == 0 {
				continue
			}
			x.Voltage[i] = u[i]
			if u[i] == 0 || closed != point.Phases { // as the load flow has it
				continue
			}
			share := taken(u[i]/s.nominal[p]) / float64(s.phases[p])
			f.share[p] += share
			v := f.counted[p] * complex(share, 0)
			x.Active[i], x.Reactive[i], x.Current[i] = real(v), imag(v), cmplx.Abs(v)/u[i]
		}
	}
	for i := range s.transformers {
		t, edge := &s.transformers[i], s.edges[i]
		e := snapshot.Edge(edge)
		*t = Transformer{HighVoltage: f.voltage(w, e.A), LowVoltage: f.voltage(w, e.B), Energy: t.Energy}
		t.Alive = t.LowVoltage != [3]float64{}
		if f.failed {
			continue
		}
		t.LowCurrent = magnitudes(f.solver.Given(edge))
		power := sum(f.solver.Power(edge))
		t.Active, t.Reactive = real(power), imag(power)
		if rated := float64(snapshot.Model().Transformers[e.Index].RatedPower); rated > 0 {
			t.Loading = cmplx.Abs(power) / rated
		}
	}
	for i := range s.switches {
		x, edge := &s.switches[i], s.switchEdges[i]
		has := snapshot.Edge(edge).Phases
		x.Phases = has & w.Position(edge)
		x.Position = PositionOf(x.Phases, has)
		x.Current = [3]float64{}
		if !f.failed {
			x.Current = magnitudes(f.solver.Current(edge))
		}
		if x.Telemetered {
			f.measure(w, edge, x)
		}
	}
}

// measure is what is measured at a switch.
func (f *flow) measure(w *world.World, edge int, x *Switch) {
	e := w.Snapshot().Edge(edge)
	x.Active, x.Reactive, x.Voltage = 0, 0, [3]float64{}
	if f.failed {
		for i, u := range f.voltage(w, e.A) {
			x.Voltage[i] = u * math.Sqrt(3)
		}
		return
	}
	u, base := f.solver.Voltage(e.A), f.solver.Nominal(e.A)/math.Sqrt(3)
	for i := range u {
		x.Voltage[i] = base * cmplx.Abs(u[i]-u[(i+1)%3])
	}
	power := sum(f.solver.Power(edge))
	x.Active, x.Reactive = real(power), imag(power)
}

// voltage is that of a node in V. Without a solution it is the nominal one.
func (f *flow) voltage(w *world.World, node int) (u [3]float64) {
	base := f.solver.Nominal(node) / math.Sqrt(3)
	if f.failed {
		for i, level := range w.NodeLevel(node) {
			u[i] = base * float64(level) / 100
		}
		return u
	}
	for i, v := range f.solver.Voltage(node) {
		u[i] = base * cmplx.Abs(v)
	}
	return u
}

// taken is the part of its power that a load takes at a voltage per unit, as the load
// flow has it.
func taken(u float64) float64 {
	const constantAbove = 0.7
	return min(1, u*u/(constantAbove*constantAbove))
}

func magnitudes(x [3]complex128) (out [3]float64) {
	for i := range x {
		out[i] = cmplx.Abs(x[i])
	}
	return out
}

func sum(x [3]complex128) complex128 { return x[0] + x[1] + x[2] }
