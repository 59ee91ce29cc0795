package world

import (
	"cmp"
	"slices"

	"github.com/busbar/busbar/grid"
)

// operate finds what is supplied with the positions as they are.
func (w *World) operate() {
	if w.op != nil && slices.Equal(w.positions, w.operated) {
		return // a fault has begun or gone, and nothing has opened or closed
	}
	w.operated = append(w.operated[:0], w.positions...)
	for edge, open := range w.positions {
		w.topology[edge] = 0
		if w.has[edge]&^open == 0 {
			w.topology[edge] = grid.ABC
		}
	}
	w.op = w.snapshot.Operate(w.topology, w.op)
	for _, island := range w.op.Islands() {
		level := Levels{}
		if island.Source != grid.None {
			level = Whole
		}
		nodes := w.op.Downstream(island.Root)
		w.levels[nodes[0]] = level
		for _, n := range nodes[1:] {
			w.levels[n] = w.levelOf(int(n))
		}
	}
}

// levelOf is the level of a node that another one supplies.
func (w *World) levelOf(node int) Levels {
	edge := w.op.Supply(node)
	level := w.levels[w.op.Upstream(node)]
	if closed := w.has[edge] &^ w.positions[edge]; closed != grid.ABC {
		level = level.Of(closed)
	}
	if x := w.windings[edge]; x != straight && level != Whole && w.snapshot.Edge(edge).B == node {
		return x.through(level)
	}
	return level
}

// Level is what a service point has at its connection now.
func (w *World) Level(point int) Levels {
	p := w.snapshot.Point(point)
	return w.levels[p.Node].Of(p.Phases &^ w.service[int32(point)])
}

// NodeLevel is the voltage at a node.
func (w *World) NodeLevel(node int) Levels { return w.levels[node] }

// connection opens or closes phases at a service point's own fuses.
func (w *World) connection(point int, opens, closes grid.Phases) {
	p := int32(point)
	w.serviceChanges++
	if w.service[p] = w.service[p]&^closes | opens; w.service[p] == 0 {
		delete(w.service, p)
	}
	w.touched = append(w.touched, p)
}

// supply is what has changed for service points since it was told last.
func (w *World) supply() (changes []Change) {
	tell := func(p int32) {
		if now := w.Level(int(p)); now != w.told[p] {
			changes = append(changes, Change{p, w.told[p], now})
			w.told[p] = now
		}
	}
	for node, level := range w.levels {
		if level == w.before[node] {
			continue
		}
		for _, p := range w.snapshot.PointsAt(node) {
			tell(p)
		}
	}
	for _, p := range w.touched {
		tell(p)
	}
	w.touched = w.touched[:0]
	copy(w.before, w.levels)
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Point, b.Point) })
	return changes
}
