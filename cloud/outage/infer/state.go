package infer

import (
	"math/bits"
	"strings"

	"github.com/busbar/busbar/grid"
)

// State is what of its supply a node has: up to 7 it is the phases with their whole
// voltage, the others having none; above that one phase is whole and the others have
// half, as behind a Dyn transformer that has lost a phase.
type State uint8

const (
	Dead   State = 0
	Whole  State = 7
	halfA  State = 8 // A is whole
	States       = 11
)

// Levels is the voltage of each phase in a state, in halves of the nominal one.
func (s State) Levels() (levels [3]uint8) {
	for i := range levels {
		switch {
		case s >= halfA && s == halfA+State(i), s < halfA && s&(1<<i) != 0:
			levels[i] = 2
		case s >= halfA:
			levels[i] = 1
		}
	}
	return levels
}

// Live is the phases that have voltage.
func (s State) Live() grid.Phases {
	if s >= halfA {
		return grid.ABC
	}
	return grid.Phases(s)
}

// without is the state behind something that has opened phases. Half voltages
// with a phase lost on top are taken for whole ones.
func (s State) without(open grid.Phases) State {
	if open == 0 {
		return s
	}
	return State(s.Live() &^ open)
}

// Winding is how a transformer connects its windings, as far as lost phases are
// concerned.
type Winding uint8

const (
	Straight  Winding = iota // phase by phase, and what isn't known
	DeltaNext                // a winding of the low side is between its phase and the next: Dyn5, Dyn11
	DeltaLast                // between its phase and the one before: Dyn1, Dyn7
)

// WindingOf is a transformer's, by its vector group.
func WindingOf(t *grid.Transformer) Winding {
	group := strings.ToLower(t.VectorGroup)
	if !strings.HasPrefix(group, "d") || !strings.Contains(group, "y") || t.Phases&grid.ABC != grid.ABC && t.Phases != 0 {
		return Straight
	}
	for _, last := range []string{"y1", "y7", "yn1", "yn7"} {
		if strings.HasSuffix(group, last) {
			return DeltaLast
		}
	}
	return DeltaNext
}

// through is the state of the low side for one of the high side: with one phase
// lost, the winding that is connected to the other two keeps its whole voltage.
func (w Winding) through(s State) State {
	if w == Straight || s >= halfA || s == Whole {
		return s
	}
	if bits.OnesCount8(uint8(s)) < 2 {
		return Dead
	}
	lost := bits.TrailingZeros8(uint8(Whole &^ s))
	if w == DeltaNext { // the winding between the two after the lost one
		return halfA + State((lost+1)%3)
	}
	return halfA + State((lost+2)%3)
}
