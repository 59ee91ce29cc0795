package powerflow

import (
	"math"
	"math/cmplx"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/network"
)

func TestStandardValues(t *testing.T) {
	for _, c := range []struct {
		line    grid.Line
		voltage float64
		r       float64
	}{
		{grid.Line{Type: grid.Cable, RatedCurrent: 270}, 400, 0.208},
		{grid.Line{Type: grid.Cable, RatedCurrent: 143}, 400, 0.225},
		{grid.Line{Type: grid.Cable, RatedCurrent: 5000}, 1000, 0.208},
		{grid.Line{RatedCurrent: 100}, 20e3, 0.443},
		{grid.Line{}, 20e3, 0.206},
		{grid.Line{Type: grid.Overhead}, 10e3, 0.3060},
		{grid.Line{Type: grid.Overhead, RatedCurrent: 210}, 20e3, 0.5939},
		{grid.Line{Type: grid.Overhead, RatedCurrent: 600}, 110e3, 0.1188},
		{grid.Line{Type: grid.Cable, RatedCurrent: 400}, 110e3, 0.060},
	} {
		if got := standardLine(&c.line, c.voltage); got.r != c.r {
			t.Errorf("%+v at %g V: %+v, expected %g ohm/km", c.line, c.voltage, got, c.r)
		}
	}
	if got, want := standardTransformer(800e3), (transformerType{800e3, 4, 6800 * 800. / 630, 1180 * 800. / 630, 0.1873}); math.Abs(got.loadLoss-want.loadLoss) > 1e-6 ||
		math.Abs(got.noLoadLoss-want.noLoadLoss) > 1e-6 || got.shortCircuit != want.shortCircuit || got.noLoadCurrent != want.noLoadCurrent {
		t.Errorf("%+v, expected %+v", got, want)
	}
	if got := standardTransformer(31.5e6); got.shortCircuit != 12 && got.shortCircuit != 16.2 {
		t.Errorf("%+v", got)
	}
}

// What a model says stands above what is standard.
func TestOwnValues(t *testing.T) {
	b := lineBranch(&grid.Line{Length: 500, Resistance: 0.4, RatedCurrent: 270}, 400, 50)
	if b.series != complex(0.2, 0) || b.neutral != b.series || b.half != 0 {
		t.Errorf("%+v", b)
	}
	if b := lineBranch(&grid.Line{Length: 500, Resistance: 0.4, Reactance: 0.1}, 20e3, 50); b.series != complex(0.2, 0.05) || b.neutral != 0 {
		t.Errorf("%+v", b)
	}
	if b := lineBranch(&grid.Line{RatedCurrent: 270}, 400, 50); b.series != 0 {
		t.Errorf("without a length: %+v", b)
	}
	transformer, err := transformerBranch(&grid.Transformer{RatedPower: 400e3, LowVoltage: 400, HighVoltage: 20e3, ShortCircuitVoltage: 5, LoadLoss: 4e3, Tap: -5, VectorGroup: "Yzn11"}, 1, 1)
	if err != nil || math.Abs(real(transformer.series)-0.004) > 1e-12 || math.Abs(math.Hypot(real(transformer.series), imag(transformer.series))-0.02) > 1e-12 ||
		transformer.shunt != 0 || transformer.ratio != 47.5 || transformer.clock != 11 {
		t.Errorf("%+v, %v", transformer, err)
	}
}

func TestClock(t *testing.T) {
	for group, want := range map[string]int{"Dyn5": 5, "YNd11": 11, "Yy0": 0, "Dyn": 5, "Yzn": 5, "YNyn": 0, "": 5, "12": 0, "Dd6": 6} {
		if got := clock(group, 400); got != want {
			t.Errorf("%q: %d, expected %d", group, got, want)
		}
	}
	if got := clock("", 20e3); got != 0 {
		t.Errorf("above 1 kV: %d", got)
	}
}

// What networks are made of is in the tables.
func TestMadeNetworksAreStandard(t *testing.T) {
	m := network.Generate(network.Parameters{ServicePoints: 2000})
	for i := range m.Lines {
		l := &m.Lines[i]
		voltage := float64(l.Voltage)
		if voltage == 0 {
			voltage = 400
		}
		if got := standardLine(l, voltage); got.amp != float64(l.RatedCurrent) || got.kind != l.Type {
			t.Fatalf("%s: %+v for %s", l.ID, got, l.RatedCurrent)
		}
	}
}

// Voltages and currents behind any vector group have the same power, and the
// lower voltage lags by the clock.
func TestShapes(t *testing.T) {
	turn := func(degrees float64) complex128 {
		return complex(math.Cos(degrees*math.Pi/180), math.Sin(degrees*math.Pi/180))
	}
	u := phases{turn(0), turn(-120), turn(120)}
	i := phases{turn(10) * 3, turn(-140), turn(77) * 2}
	for clock, s := range shapes {
		behind := s.voltages(u)
		if d := behind[0] - turn(-30*float64(clock)); math.Hypot(real(d), imag(d)) > 1e-12 {
			t.Errorf("clock %d: %v", clock, behind)
		}
		before := s.currents(i)
		var one, other complex128
		for p := range 3 {
			one += behind[p] * cmplx.Conj(i[p])
			other += u[p] * cmplx.Conj(before[p])
		}
		if d := one - other; math.Hypot(real(d), imag(d)) > 1e-12 {
			t.Errorf("clock %d: %v behind, %v before", clock, one, other)
		}
	}
}
