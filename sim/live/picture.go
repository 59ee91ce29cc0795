package live

import (
	"slices"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/world"
)

// Picture is what of the grid isn't as in normal operation, by index.
type Picture struct {
	At        int64
	Next      uint64  // of Changes
	Out       []int32 // service points without supply
	Customers int     // of those
	Dead      []int32 // nodes without supply
	Partly    []int32 // nodes that lack a phase, or have one of less voltage
	Off       []int32 // edges that aren't in their normal position, lines that are cut or broken among them
}

// Picture is that of the present.
func (l *Live) Picture() Picture {
	l.read.RLock()
	defer l.read.RUnlock()
	s := &l.state
	p := Picture{At: s.at, Next: l.changes.first + uint64(len(l.changes.list))}
	for i := range s.points {
		if !s.points[i].Alive {
			p.Out = append(p.Out, int32(i))
			p.Customers += l.snapshot.Point(i).Customers
		}
	}
	for i, level := range s.levels {
		switch {
		case level.Live() == 0:
			p.Dead = append(p.Dead, int32(i))
		case level != world.Whole:
			p.Partly = append(p.Partly, int32(i))
		}
	}
	for i, open := range s.positions {
		if open != l.normal[i] {
			p.Off = append(p.Off, int32(i))
		}
	}
	return p
}

// Position is the phases of a line, switch or transformer that are open.
func (l *Live) Position(edge int) grid.Phases {
	l.read.RLock()
	defer l.read.RUnlock()
	return l.state.positions[edge]
}

// Node is the levels of a node: percent of its nominal voltage by phase, and 50 of one
// that floats.
func (l *Live) Node(node int) world.Levels {
	l.read.RLock()
	defer l.read.RUnlock()
	return l.state.levels[node]
}

// look takes what doesn't follow from the load flow.
func (s *state) look(w *world.World, edge *evidence.Edge) {
	for i := range s.switches {
		if x := &s.switches[i]; x.Telemetered {
			_, x.Runs, x.Connected = edge.Teller(s.switchEdges[i])
		}
	}
	s.positions = append(s.positions[:0], w.Positions()...)
	s.levels = slices.Grow(s.levels[:0], w.Snapshot().Nodes())[:w.Snapshot().Nodes()]
	for n := range s.levels {
		s.levels[n] = w.NodeLevel(n)
	}
}
