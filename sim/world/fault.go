package world

import (
	"fmt"
	"time"

	"github.com/busbar/busbar/grid"
)

// Fault is what goes wrong with a line, a transformer, a node or a service
// point's connection.
type Fault struct {
	ID    string
	Asset string
	// The phases that are faulted; all that the asset has if none is given.
	Phases grid.Phases
	// A broken conductor: no current that protection would see, only phases
	// without supply. Otherwise it is a short circuit.
	Broken bool
	// How long it must be without voltage to be gone, as a flashover is; 0 if
	// it stays until it is repaired.
	Clears time.Duration
	// How long a crew works on it; drawn if 0.
	Work time.Duration
}

// fault is the state of one.
type fault struct {
	Fault
	edge, node, point int // one of them; the others are grid.None
	active            bool
	live              bool  // it has voltage, so a device will act
	timer             int64 // that of the device, or of its clearing; 0 for none
}

// place finds what an id names.
func (w *World) place(id string) (edge, node, point int, err error) {
	edge, node, point = w.snapshot.EdgeOf(id), w.snapshot.Node(id), w.snapshot.PointOf(id)
	switch {
	case edge != grid.None:
		return edge, grid.None, grid.None, nil
	case point != grid.None:
		return grid.None, grid.None, point, nil
	case node != grid.None:
		return grid.None, node, grid.None, nil
	}
	return 0, 0, 0, fmt.Errorf("the grid has no line, switch, transformer, node or service point %q", id)
}

func (w *World) newFault(f Fault) (int, error) {
	if _, twice := w.faultIndex[f.ID]; twice || f.ID == "" {
		return 0, fmt.Errorf("a fault needs an id of its own, not %q", f.ID)
	}
	s := fault{Fault: f}
	var err error
	if s.edge, s.node, s.point, err = w.place(f.Asset); err != nil {
		return 0, err
	}
	has := grid.Phases(grid.ABC)
	switch {
	case s.edge != grid.None && w.snapshot.Edge(s.edge).Kind == grid.KindSwitch:
		return 0, fmt.Errorf("%q is a switch; a fault is on a line, a transformer, a node or a service point", f.Asset)
	case s.edge != grid.None:
		has = w.snapshot.Edge(s.edge).Phases
	case s.point != grid.None:
		has = w.snapshot.Point(s.point).Phases
	case f.Broken:
		return 0, fmt.Errorf("%q is a node, which has no conductor that could break", f.Asset)
	}
	if s.Phases == 0 {
		s.Phases = has
	} else if s.Phases &^= grid.ABC &^ has; s.Phases == 0 {
		return 0, fmt.Errorf("%q has the phases %s only", f.Asset, has)
	}
	w.faults = append(w.faults, s)
	w.faultIndex[f.ID] = len(w.faults) - 1
	return len(w.faults) - 1, nil
}

func (w *World) begin(at int64, index int) {
	f := &w.faults[index]
	f.active = true
	e := event(at, FaultBegan)
	e.Fault, e.Edge, e.Point, e.Phases = index, f.edge, f.point, f.Phases
	w.emit(e)
	if !f.Broken {
		return
	}
	if f.point != grid.None {
		w.connection(f.point, f.Phases, 0)
	} else {
		w.positions[f.edge] |= f.Phases
	}
	w.order(at, job{edge: grid.None, point: grid.None, fault: index})
}

// end takes a fault away.
func (w *World) end(at int64, index int, kind Kind) {
	f := &w.faults[index]
	if !f.active {
		return
	}
	f.active, f.live, f.timer = false, false, 0
	if f.Broken {
		if f.point != grid.None {
			w.connection(f.point, 0, f.Phases)
		} else {
			w.positions[f.edge] &^= f.Phases
		}
	}
	e := event(at, kind)
	e.Fault, e.Edge, e.Point = index, f.edge, f.point
	w.emit(e)
}

// fed is the node at which a fault is supplied, and its phases that have
// voltage.
func (w *World) fed(f *fault) (node int, phases grid.Phases) {
	switch {
	case f.node != grid.None:
		return f.node, f.Phases & w.levels[f.node].Live()
	case f.point != grid.None:
		node = w.snapshot.Point(f.point).Node
		return node, f.Phases & w.levels[node].Live() &^ w.service[int32(f.point)]
	}
	e := w.snapshot.Edge(f.edge)
	sides := []int{e.A, e.B}
	if below := w.op.Below(f.edge); below != grid.None {
		sides = []int{w.op.Upstream(below), below}
	}
	if e.Kind == grid.KindTransformer {
		sides = sides[:1] // the phases of the other side are others
	}
	closed := f.Phases & e.Phases &^ w.positions[f.edge]
	for _, node := range sides {
		if phases := closed & w.levels[node].Live(); phases != 0 {
			return node, phases
		}
	}
	return sides[0], 0
}

// watch lets protection act at the faults that have voltage, and those clear
// that have none.
func (w *World) watch(at int64) {
	for i := range w.faults {
		f := &w.faults[i]
		if !f.active || f.Broken {
			continue
		}
		_, phases := w.fed(f)
		if live := phases != 0; live != f.live || f.timer == 0 {
			f.live, f.timer = live, 0
			switch {
			case live:
				if after, ok := w.clearing(f); ok {
					f.timer = w.at(at+after.Microseconds(), timer{kind: clears, index: i})
				}
			case f.Clears > 0:
				f.timer = w.at(at+f.Clears.Microseconds(), timer{kind: goes, index: i})
			}
		}
	}
}

// clearing is how long it takes until a fault's current is interrupted; false if
// nothing does, since it is where the source is.
func (w *World) clearing(f *fault) (time.Duration, bool) {
	if f.point != grid.None {
		return w.protection.FuseMelts, true // its own, in the house
	}
	g := w.guardOf(w.fed(f))
	return g.after, g.edge != grid.None
}

// clear interrupts a fault's current.
func (w *World) clear(at int64, index int) {
	f := &w.faults[index]
	f.timer = 0
	node, phases := w.fed(f)
	if phases == 0 {
		return
	}
	if f.point != grid.None {
		w.connection(f.point, phases, 0)
		e := event(at, Blown)
		e.Fault, e.Point, e.Phases = index, f.point, phases
		w.emit(e)
		w.order(at, job{edge: grid.None, point: f.point, fault: index})
		return
	}
	if g := w.guardOf(node, phases); g.edge != grid.None {
		w.trip(at, g, index)
	}
}
