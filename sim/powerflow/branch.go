package powerflow

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"github.com/busbar/busbar/grid"
)

// branch is what an edge is electrically, in ohm and siemens of a phase; that of
// a transformer is seen from the side of its lower voltage.
type branch struct {
	series  complex128
	neutral complex128 // what the sum of the phases' currents flows back through
	half    float64    // susceptance at each end of a line
	shunt   complex128 // in the middle of a transformer
	ratio   float64    // of the voltages from and to, 1 but for transformers
	clock   int        // the number of the vector group
}

func branchOf(s *grid.Snapshot, edge int, nominal []float64, frequency float64) (branch, error) {
	e := s.Edge(edge)
	switch e.Kind {
	case grid.KindLine:
		return lineBranch(&s.Model().Lines[e.Index], nominal[e.A], frequency), nil
	case grid.KindTransformer:
		return transformerBranch(&s.Model().Transformers[e.Index], nominal[e.A], nominal[e.B])
	}
	return branch{ratio: 1}, nil
}

func lineBranch(l *grid.Line, voltage, frequency float64) branch {
	r, x, c := float64(l.Resistance), float64(l.Reactance), float64(l.Capacitance)
	if r == 0 && x == 0 {
		t := standardLine(l, voltage)
		r, x, c = t.r, t.x, t.capacitance
	}
	km := float64(l.Length) / 1000
	b := branch{series: complex(r*km, x*km), half: 2 * math.Pi * frequency * c * 1e-9 * km / 2, ratio: 1}
	if voltage <= lowVoltage {
		b.neutral = b.series
	}
	return b
}

// lowVoltage is the highest nominal voltage, in V, with a neutral.
const lowVoltage = 1000

func transformerBranch(t *grid.Transformer, high, low float64) (branch, error) {
	if t.RatedPower == 0 {
		return branch{}, fmt.Errorf("powerflow: transformer %s: its rated_power isn't known", t.ID)
	}
	power := float64(t.RatedPower)
	high, low = cmp.Or(float64(t.HighVoltage), high), cmp.Or(float64(t.LowVoltage), low)
	v := transformerType{power, float64(t.ShortCircuitVoltage), float64(t.LoadLoss), float64(t.NoLoadLoss), float64(t.NoLoadCurrent)}
	if v.shortCircuit == 0 {
		v = standardTransformer(power)
	}
	base := low * low / power
	z, r := v.shortCircuit/100, v.loadLoss/power
	y, g := v.noLoadCurrent/100, v.noLoadLoss/power
	return branch{
		series: complex(r*base, side(z, r)*base),
		shunt:  complex(g/base, -side(y, g)/base),
		ratio:  high * (1 + float64(t.Tap)/100) / low,
		clock:  clock(t.VectorGroup, low),
	}, nil
}

// side is the other side of a right-angled triangle, 0 if there is none.
func side(hypotenuse, one float64) float64 {
	return math.Sqrt(math.Max(0, hypotenuse*hypotenuse-one*one))
}

// clock is a vector group's number, that of Dyn5 or Yy0 if nothing is said.
func clock(group string, low float64) int {
	letters := strings.TrimRight(group, "0123456789")
	if number := group[len(letters):]; number != "" {
		n := 0
		for _, digit := range number {
			n = (10*n + int(digit-'0')) % 12
		}
		return n
	}
	if group == "" && low <= lowVoltage || strings.ContainsRune(letters, 'D') != strings.ContainsRune(letters, 'd') || strings.ContainsRune(letters, 'z') {
		return 5
	}
	return 0
}
