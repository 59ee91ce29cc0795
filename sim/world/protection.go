package world

import (
	"time"

	"github.com/busbar/busbar/grid"
)

// Protection is how devices act at faults.
type Protection struct {
	// How long a fuse takes to interrupt a fault.
	FuseMelts time.Duration
	Breaker   Sequence
	Recloser  Sequence
	// Devices that differ from others of their type, by id.
	Devices map[string]Sequence
}

// Sequence is how a breaker or recloser trips and closes again (ANSI 79). It
// trips once more than it closes, and is locked out then.
type Sequence struct {
	// How long it takes to trip by its slow curve, which leaves faults behind a
	// fuse to the fuse.
	Slow time.Duration
	// How long it takes by its fast curve, which saves the fuse.
	Fast time.Duration
	// How many trips of a sequence are by the fast curve; 0 blows the fuse.
	FastTrips int
	// The times between a trip and closing again: as many as there are shots.
	Dead []time.Duration
	// How long it must stay closed for the sequence to begin anew.
	Reset time.Duration
}

// DefaultProtection is common practice on overhead networks: breakers with one
// shot, reclosers with three of which the first trip saves fuses.
func DefaultProtection() Protection {
	return Protection{
		FuseMelts: 100 * time.Millisecond,
		Breaker: Sequence{Slow: 300 * time.Millisecond, Fast: 60 * time.Millisecond,
			Dead: []time.Duration{time.Second}, Reset: 180 * time.Second},
		Recloser: Sequence{Slow: 200 * time.Millisecond, Fast: 50 * time.Millisecond, FastTrips: 1,
			Dead: []time.Duration{500 * time.Millisecond, 5 * time.Second, 15 * time.Second}, Reset: 180 * time.Second},
	}
}

// device is the state of a breaker or recloser.
type device struct {
	Sequence
	trips   int   // of this sequence
	held    bool  // closed by somebody: the next trip is the last
	closing int64 // the timer that closes it, 0 for none
	reset   int64 // the timer that begins the sequence anew, 0 for none
}

// guard is what clears a fault: the device that is fastest, and when.
type guard struct {
	edge   int32
	phases grid.Phases // that carry the fault's current there
	after  time.Duration
}

// guardOf is the device that clears a fault with these phases below a node, as
// switched now; edge is grid.None if there is none. The nearest one upstream does,
// except that a breaker or recloser whose next trip is by the fast curve comes
// before a fuse that takes longer. It doesn't see through a transformer that fast.
func (w *World) guardOf(node int, phases grid.Phases) guard {
	found := guard{edge: grid.None}
	last := guard{edge: grid.None} // the edge next to the source
	for n := node; n != grid.None && w.op.Supply(n) != grid.None; n = w.op.Upstream(n) {
		edge := w.op.Supply(n)
		e := w.snapshot.Edge(edge)
		last = guard{int32(edge), grid.ABC, w.protection.Breaker.Slow}
		if e.Kind == grid.KindTransformer {
			phases = w.windings[edge].seen(phases)
			if found.edge != grid.None {
				return found
			}
			continue
		}
		if e.Kind != grid.KindSwitch || w.jammed[int32(edge)] {
			continue
		}
		switch s := w.devices[edge]; w.snapshot.Model().Switches[e.Index].Type {
		case grid.Fuse:
			if phases&e.Phases&^w.positions[edge] != 0 && found.edge == grid.None {
				found = guard{int32(edge), phases & e.Phases, w.protection.FuseMelts}
			}
		case grid.Breaker, grid.Recloser:
			switch fast := s.trips < s.FastTrips && !s.held; {
			case fast && (found.edge == grid.None || s.Fast < found.after):
				return guard{int32(edge), grid.ABC, s.Fast}
			case found.edge == grid.None:
				return guard{int32(edge), grid.ABC, s.Slow}
			}
			return found
		}
	}
	if found.edge == grid.None {
		return last // the protection of the source itself
	}
	return found
}
