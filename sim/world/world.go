// Package world is a grid over simulated time: its faults, the protection that
// acts at them, what people switch, and who has supply. It has no clock and does
// no I/O: the same model, seed and plan give the same events.
//
// Currents aren't computed. A fault is cleared by the nearest device upstream as
// switched, which is what graded protection amounts to, and devices need their
// times for it.
package world

import (
	"container/heap"
	"fmt"

	"github.com/busbar/busbar/grid"
)

// World is the state of a grid at one time. It is not safe for concurrent use.
type World struct {
	snapshot   *grid.Snapshot
	protection Protection
	crews      Crews
	seed       uint64

	now            int64
	positions      grid.Positions // of every edge, by phase
	topology       grid.Positions // the same by edge: open if all phases are
	op             *grid.Operation
	operated       grid.Positions        // the positions that op and levels are of
	levels         []Levels              // by node
	service        map[int32]grid.Phases // by point: the phases open at its connection
	serviceChanges int                   // counts changes of service
	has            []grid.Phases         // by edge
	windings       []winding             // by edge
	jammed         map[int32]bool        // devices that don't operate
	devices        map[int]*device       // breakers and reclosers, by edge

	faults     []fault
	faultIndex map[string]int
	actions    []Action

	waiting []job
	jobs    []job // that were begun
	busy    int

	timers timers
	last   int64 // the number of the latest timer
	events []Event
	dirty  bool

	// What has been told of the supply, and where that may have changed since.
	before  []Levels // by node
	told    []Levels // by point
	touched []int32  // points
}

// Config is how a world behaves.
type Config struct {
	Seed       uint64
	Start      int64 // µs UTC
	Protection Protection
	Crews      Crews
}

// New is a world in which everything is in its normal position and works.
func New(s *grid.Snapshot, c Config) *World {
	w := &World{
		snapshot: s, protection: c.Protection, crews: c.Crews, seed: c.Seed, now: c.Start,
		positions: s.NormalPositions(), topology: s.NormalPositions(),
		has: make([]grid.Phases, s.Edges()), windings: make([]winding, s.Edges()),
		levels: make([]Levels, s.Nodes()), service: map[int32]grid.Phases{},
		jammed: map[int32]bool{}, devices: map[int]*device{}, faultIndex: map[string]int{},
		before: make([]Levels, s.Nodes()), told: make([]Levels, s.Points()),
	}
	m := s.Model()
	for edge := range s.Edges() {
		e := s.Edge(edge)
		w.has[edge] = e.Phases
		if e.Kind == grid.KindTransformer {
			w.windings[edge] = windingOf(&m.Transformers[e.Index])
		}
		if e.Kind != grid.KindSwitch {
			continue
		}
		sequence, ok := c.Protection.Devices[m.Switches[e.Index].ID]
		switch m.Switches[e.Index].Type {
		case grid.Breaker:
			if !ok {
				sequence = c.Protection.Breaker
			}
		case grid.Recloser:
			if !ok {
				sequence = c.Protection.Recloser
			}
		default:
			continue
		}
		w.devices[edge] = &device{Sequence: sequence}
	}
	w.operate()
	w.supply()
	return w
}

// Act is what a script does.
type Act uint8

const (
	BeginFault Act = iota
	RepairFault
	Open
	Close
	Jam // a device no longer opens at faults
)

// Action is one step of a script.
type Action struct {
	Act    Act
	Asset  string // of Open, Close and Jam; a service point is disconnected or connected
	Fault  Fault  // of BeginFault; of RepairFault its ID
	Phases grid.Phases

	edge, point, fault int
}

// Plan adds a step at a time that hasn't been reached. A fault is repaired that
// was planned before.
func (w *World) Plan(at int64, a Action) error {
	if at < w.now {
		return fmt.Errorf("it is later than that already")
	}
	var err error
	a.edge, a.point = grid.None, grid.None
	switch a.Act {
	case BeginFault:
		if a.fault, err = w.newFault(a.Fault); err != nil {
			return err
		}
	case RepairFault:
		index, ok := w.faultIndex[a.Fault.ID]
		if !ok {
			return fmt.Errorf("there is no fault %q before", a.Fault.ID)
		}
		a.fault = index
	default:
		if a.edge, _, a.point, err = w.place(a.Asset); err != nil {
			return err
		}
		if a.edge == grid.None && (a.point == grid.None || a.Act == Jam) {
			return fmt.Errorf("%q can't be switched", a.Asset)
		}
		if a.Act == Jam && w.snapshot.Edge(a.edge).Kind != grid.KindSwitch {
			return fmt.Errorf("%q is no switch", a.Asset)
		}
		if a.Phases == 0 {
			a.Phases = grid.ABC
		}
	}
	w.actions = append(w.actions, a)
	w.at(at, timer{kind: acts, index: len(w.actions) - 1})
	return nil
}

// Next is the time of the next thing that will happen; false if nothing will.
func (w *World) Next() (int64, bool) {
	if len(w.timers) == 0 {
		return 0, false
	}
	return w.timers[0].at, true
}

// Advance goes on to a time, and returns what has happened up to it, in its
// order. What happens at one instant comes before its change of supply.
func (w *World) Advance(to int64) []Event {
	w.events = nil
	for len(w.timers) > 0 && w.timers[0].at <= to {
		at := w.timers[0].at
		w.now = at
		for len(w.timers) > 0 && w.timers[0].at == at {
			w.run(heap.Pop(&w.timers).(timer))
		}
		if w.dirty {
			w.settle(at)
		}
	}
	w.now = max(w.now, to)
	return w.events
}

// run is one timer. One that has been replaced does nothing.
func (w *World) run(t timer) {
	switch t.kind {
	case acts:
		w.act(t.at, w.actions[t.index])
	case clears:
		if f := &w.faults[t.index]; f.timer == t.number {
			w.clear(t.at, t.index)
		}
	case goes:
		if f := &w.faults[t.index]; f.timer == t.number {
			w.end(t.at, t.index, FaultEnded)
		}
	case closes:
		if w.devices[t.index].closing == t.number {
			w.reclose(t.at, t.index)
		}
	case resets:
		if d := w.devices[t.index]; d.reset == t.number {
			d.trips, d.held, d.reset = 0, false, 0
		}
		return
	case done:
		w.done(t.at, t.index)
	}
	w.dirty = true
}

func (w *World) act(at int64, a Action) {
	switch a.Act {
	case BeginFault:
		w.begin(at, a.fault)
	case RepairFault:
		w.end(at, a.fault, Repaired)
	case Jam:
		w.jammed[int32(a.edge)] = true
	case Open:
		if a.point != grid.None {
			w.disconnect(at, a.point)
			return
		}
		w.open(at, a.edge, a.Phases)
	case Close:
		if a.point != grid.None {
			w.reconnect(at, a.point)
			return
		}
		w.close(at, a.edge, a.Phases)
	}
}

func (w *World) emit(e Event) { w.events = append(w.events, e) }

// settle brings the supply up to date, tells what has changed in it, and starts
// what follows from that.
func (w *World) settle(at int64) {
	w.dirty = false
	w.operate()
	if changes := w.supply(); len(changes) > 0 {
		e := event(at, SupplyChanged)
		e.Supply = changes
		w.emit(e)
	}
	w.watch(at)
}

// Snapshot is the grid.
func (w *World) Snapshot() *grid.Snapshot { return w.snapshot }

// Now is the time that it has been advanced to.
func (w *World) Now() int64 { return w.now }

// Operation is the grid as switched now, where an edge of which one phase is
// closed counts as closed. It is valid until the next Advance.
func (w *World) Operation() *grid.Operation { return w.op }

// Position is the phases of an edge that are open.
func (w *World) Position(edge int) grid.Phases { return w.positions[edge] }

// Positions is those of all edges, phase by phase. It must not be changed, and is
// valid until the next Advance.
func (w *World) Positions() grid.Positions { return w.positions }

// Connection is the phases that are open at a service point's own fuses.
func (w *World) Connection(point int) grid.Phases { return w.service[int32(point)] }

// Disconnected is how many service points have an open phase at their own fuses.
func (w *World) Disconnected() int { return len(w.service) }

// ServiceChanges counts the changes of those fuses.
func (w *World) ServiceChanges() int { return w.serviceChanges }

// Fault is one of those that there have been, or are planned.
func (w *World) Fault(index int) Fault { return w.faults[index].Fault }

// Faults is how many there have been or are planned; they are counted from 0.
func (w *World) Faults() int { return len(w.faults) }

// Active reports whether a fault is there now.
func (w *World) Active(fault int) bool { return w.faults[fault].active }

// FaultOf is the index of the fault with an id, or grid.None.
func (w *World) FaultOf(id string) int {
	if index, ok := w.faultIndex[id]; ok {
		return index
	}
	return grid.None
}
