package world

import "github.com/busbar/busbar/grid"

// trip opens a device by its protection.
func (w *World) trip(at int64, g guard, index int) {
	edge := int(g.edge)
	opens := g.phases & w.snapshot.Edge(edge).Phases &^ w.positions[edge]
	if opens == 0 {
		return
	}
	w.positions[edge] |= opens
	e := event(at, Tripped)
	e.Fault, e.Edge, e.Phases = index, edge, opens
	d := w.devices[edge]
	if jammed := w.jammed[g.edge]; d == nil || jammed { // a fuse, or the source's own protection
		if e.Kind = Blown; jammed || !w.isSwitch(edge, grid.Fuse) {
			e.Kind = LockedOut
		}
		if jammed {
			e.Edge = grid.None // which is where it was
		}
		w.emit(e)
		w.order(at, job{edge: edge, point: grid.None, fault: index})
		return
	}
	d.trips++
	d.closing, d.reset = 0, 0
	e.Trips = d.trips
	w.emit(e)
	if d.held || d.trips > len(d.Dead) {
		e.Kind = LockedOut
		w.emit(e)
		w.order(at, job{edge: edge, point: grid.None, fault: index})
		return
	}
	d.closing = w.at(at+d.Dead[d.trips-1].Microseconds(), timer{kind: closes, index: edge})
}

func (w *World) isSwitch(edge int, kind grid.SwitchType) bool {
	e := w.snapshot.Edge(edge)
	return e.Kind == grid.KindSwitch && w.snapshot.Model().Switches[e.Index].Type == kind
}

// reclose closes a device at the end of its dead time.
func (w *World) reclose(at int64, edge int) {
	d := w.devices[edge]
	w.positions[edge] = 0
	d.closing = 0
	d.reset = w.at(at+d.Reset.Microseconds(), timer{kind: resets, index: edge})
	e := event(at, Reclosed)
	e.Edge, e.Phases, e.Trips = edge, w.snapshot.Edge(edge).Phases, d.trips
	w.emit(e)
}

// open is by somebody.
func (w *World) open(at int64, edge int, phases grid.Phases) {
	opens := phases & w.snapshot.Edge(edge).Phases &^ w.positions[edge]
	if d := w.devices[edge]; d != nil {
		d.closing, d.reset = 0, 0 // also one that waits to reclose stays open
	}
	if opens == 0 {
		return
	}
	w.positions[edge] |= opens
	e := event(at, Opened)
	e.Edge, e.Phases = edge, opens
	w.emit(e)
}

// close is by somebody. A breaker or recloser that trips soon after that stays
// open.
func (w *World) close(at int64, edge int, phases grid.Phases) {
	closes := phases & w.positions[edge] & w.snapshot.Edge(edge).Phases
	if closes == 0 {
		return
	}
	w.positions[edge] &^= phases
	if d := w.devices[edge]; d != nil {
		d.trips, d.held, d.closing = 0, true, 0
		d.reset = w.at(at+d.Reset.Microseconds(), timer{kind: resets, index: edge})
	}
	e := event(at, Closed)
	e.Edge, e.Phases = edge, closes
	w.emit(e)
}

// disconnect takes a service point's supply, reconnect gives it back or replaces
// its fuses.
func (w *World) disconnect(at int64, point int) {
	e := event(at, Opened)
	e.Point, e.Phases = point, w.snapshot.Point(point).Phases&^w.service[int32(point)]
	if e.Phases == 0 {
		return
	}
	w.connection(point, grid.ABC, 0)
	w.emit(e)
}

func (w *World) reconnect(at int64, point int) {
	e := event(at, Closed)
	e.Point, e.Phases = point, w.snapshot.Point(point).Phases&w.service[int32(point)]
	if e.Phases == 0 {
		return
	}
	w.connection(point, 0, grid.ABC)
	w.emit(e)
}
