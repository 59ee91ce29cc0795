package world

import (
	"math"
	"strings"

	"github.com/busbar/busbar/grid"
)

// Levels is the voltage of the phases A, B and C against neutral, in percent of
// the nominal one.
type Levels [3]uint8

// dead is the level below which a phase counts as interrupted (EN 50160).
const dead = 5

// Whole is all phases at their nominal voltage.
var Whole = Levels{100, 100, 100}

// Of is the levels of some phases, and 0 for the others.
func (l Levels) Of(phases grid.Phases) Levels {
	for i := range l {
		if phases&(1<<i) == 0 {
			l[i] = 0
		}
	}
	return l
}

// Live is the phases that aren't interrupted.
func (l Levels) Live() (live grid.Phases) {
	for i, level := range l {
		if level >= dead {
			live |= 1 << i
		}
	}
	return live
}

// winding is how a transformer connects its windings, as far as it matters for a
// lost phase.
type winding uint8

const (
	straight  winding = iota // phase by phase: Yy, YNd, Dd, and what isn't known
	deltaNext                // Dyn5 and Dyn11: a winding of the low side sees A and B, B and C, C and A
	deltaLast                // Dyn1 and Dyn7: A and C, B and A, C and B
)

func windingOf(t *grid.Transformer) winding {
	group := strings.ToLower(t.VectorGroup)
	if !strings.HasPrefix(group, "d") || !strings.Contains(group, "y") || t.Phases&grid.ABC != grid.ABC && t.Phases != 0 {
		return straight
	}
	if strings.HasSuffix(group, "yn1") || strings.HasSuffix(group, "yn7") || strings.HasSuffix(group, "y1") || strings.HasSuffix(group, "y7") {
		return deltaLast
	}
	return deltaNext
}

// partner is the other phase of the high side that the winding of phase i is
// connected to.
func (w winding) partner(i int) int {
	if w == deltaNext {
		return (i + 1) % 3
	}
	return (i + 2) % 3
}

// through is the levels on the low side. With one phase of the high side lost,
// its terminal floats between the other two: a third of the windings keeps its
// whole voltage and the others have half of it.
func (w winding) through(high Levels) (low Levels) {
	if w == straight {
		return high
	}
	lost := -1
	for i, level := range high {
		switch {
		case level >= dead:
		case lost >= 0:
			return Levels{}
		default:
			lost = i
		}
	}
	for i := range low {
		j := w.partner(i)
		if lost < 0 || i != lost && j != lost {
			low[i] = between(high[i], high[j])
		} else {
			low[i] = between(high[(lost+1)%3], high[(lost+2)%3]) / 2
		}
	}
	return low
}

// between is the voltage between two phases, 120° apart, in percent of its own
// nominal value.
func between(a, b uint8) uint8 {
	x, y := float64(a), float64(b)
	return uint8(math.Round(math.Sqrt((x*x + x*y + y*y) / 3)))
}

// seen is the phases of the high side that carry the current of phases of the
// low side.
func (w winding) seen(low grid.Phases) (high grid.Phases) {
	if w == straight {
		return low
	}
	for i := range 3 {
		if low&(1<<i) != 0 {
			high |= 1<<i | 1<<w.partner(i)
		}
	}
	return high
}
