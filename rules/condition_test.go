package rules

import (
	"math"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

func conditionModel() Model {
	m := Model{Assets: []Asset{{ID: "f1", Kind: "feeder", NominalVoltage: 400, RatedCurrent: 160}}}
	meter(&m, Device{ID: "m1", Asset: "f1", PoweredBy: PoweredByMeasured, PollEvery: time.Second},
		"PhV.phsA", "PhV.phsB", "PhV.phsC", "A.phsA", "TopOilTmp", "Pos")
	return m
}

// value is what the condition comes to when a, b and c are read as the voltages
// and the rest as given.
func value(t *testing.T, source string, a, b, c any, rest ...any) truth {
	t.Helper()
	r := newRig(t, conditionModel(), Rule{Name: "x", On: Target{Device: "m1"}, When: source, With: map[string]configfile.Quantity{}})
	r.read(0, "m1", append([]any{"PhV.phsA", a, "PhV.phsB", b, "PhV.phsC", c}, rest...)...)
	r.engine.in.at = at(0)
	return r.engine.instances[0].when(&r.engine.in)
}

func TestConditions(t *testing.T) {
	nan := telemetry.FloatValue(math.NaN())
	for _, c := range []struct {
		source  string
		a, b, c any
		want    truth
	}{
		{"PhV.phsA < 10", 9, 0, 0, yes},
		{"PhV.phsA < 10", 10, 0, 0, no},
		{"PhV.phsA <= 10", 10, 0, 0, yes},
		{"PhV.phsA > 10", 10, 0, 0, no},
		{"PhV.phsA >= 10", 10, 0, 0, yes},
		{"PhV.phsA == 10", 10, 0, 0, yes},
		{"PhV.phsA != 10", 10, 0, 0, no},
		{"PhV.phsA != 10", 11, 0, 0, yes},
		{"5 < PhV.phsA < 10", 7, 0, 0, yes},
		{"5 < PhV.phsA < 10", 12, 0, 0, no},
		{"-PhV.phsA < -1e1", 11, 0, 0, yes},
		{"PhV.phsA + PhV.phsB * 2 - 1 == 6", 1, 3, 0, yes},
		{"(PhV.phsA + PhV.phsB) * 2 == 0x8", 1, 3, 0, yes},
		{"PhV.phsA / PhV.phsB == 0.5", 1, 2, 0, yes},
		{"max(PhV.phsA, PhV.phsB, PhV.phsC) == 3", 1, 3, 2, yes},
		{"min(PhV.phsA, PhV.phsB, PhV.phsC) == 1", 2, 3, 1, yes},
		{"abs(PhV.phsA - PhV.phsB) > 4", 1, 6, 0, yes},
		{"not (PhV.phsA < 10)", 9, 0, 0, no},
		{"!(PhV.phsA < 10) || PhV.phsB > 0 && PhV.phsC > 0", 9, 1, 1, yes},
		{"PhV.phsA < nominal_voltage", 399, 0, 0, yes},
		{"A.phsA / rated_current > 1 or PhV.phsA < 1", 0, 0, 0, yes},
		{"self_powered and PhV.phsA < 1", 0, 0, 0, yes},

		// A value that doesn't count makes its comparison unknown.
		{"PhV.phsA < 10", silent{}, 0, 0, unknown},
		{"PhV.phsA < 10", nan, 0, 0, unknown},
		{"PhV.phsA < 10", telemetry.FloatValue(math.Inf(-1)), 0, 0, unknown},
		{"PhV.phsA < 10", telemetry.TextValue("low"), 0, 0, unknown},
		{"PhV.phsA < 10", flagged{9, telemetry.MakeQuality(telemetry.Bad, 0, telemetry.SensorFailure)}, 0, 0, unknown},
		{"PhV.phsA < 10", flagged{9, telemetry.MakeQuality(telemetry.Uncertain, 0, 0) | telemetry.Stale}, 0, 0, unknown},
		{"PhV.phsA < 10", flagged{9, telemetry.Test}, 0, 0, unknown},
		{"PhV.phsA < 10", flagged{9, telemetry.MakeQuality(telemetry.Uncertain, 0, 0) | telemetry.Estimated}, 0, 0, yes},
		{"PhV.phsA != PhV.phsA", nan, 0, 0, unknown},
		{"not (PhV.phsA < 10)", silent{}, 0, 0, unknown},
		{"max(PhV.phsA, PhV.phsB) > 5", silent{}, 9, 0, unknown},
		{"min(PhV.phsA, PhV.phsB) < 5", 1, silent{}, 0, unknown},
		{"abs(PhV.phsA) * 0 == 0", silent{}, 0, 0, unknown},
		{"PhV.phsA / PhV.phsB > 1", 1, 0, 0, unknown},
		{"1 / (1 / PhV.phsB) == 0", 1, 0, 0, unknown},
		{"1 / (PhV.phsA * 1e308 * 10) == 0", 1, 0, 0, unknown},
		{"PhV.phsA * 1e308 + PhV.phsB * 1e308 > 0", 1, 1, 0, unknown},
		{"-PhV.phsA * 1e308 - PhV.phsB * 1e308 < 0", 1, 1, 0, unknown},

		// Kleene's and, or.
		{"PhV.phsA < 5 and PhV.phsB < 5", silent{}, 9, 0, no},
		{"PhV.phsB < 5 and PhV.phsA < 5", silent{}, 9, 0, no},
		{"PhV.phsA < 5 and PhV.phsB < 5", silent{}, 1, 0, unknown},
		{"PhV.phsA < 5 and PhV.phsB < 5", 1, silent{}, 0, unknown},
		{"PhV.phsA < 5 or PhV.phsB < 5", silent{}, 1, 0, yes},
		{"PhV.phsB < 5 or PhV.phsA < 5", silent{}, 1, 0, yes},
		{"PhV.phsA < 5 or PhV.phsB < 5", silent{}, 9, 0, unknown},
		{"PhV.phsB < 5 or PhV.phsA < 5", silent{}, 9, 0, unknown},
		{"unknown(PhV.phsA < 5)", silent{}, 0, 0, yes},
		{"unknown(PhV.phsA < 5)", 9, 0, 0, no},

		{"every_phase(PhV < 5)", 1, 2, 3, yes},
		{"every_phase(PhV < 5)", 1, 2, 9, no},
		{"every_phase(PhV < 5)", 1, silent{}, 3, unknown},
		{"every_phase(PhV < 5)", 9, silent{}, 3, no},
		{"any_phase(PhV >= 5)", 1, 2, 3, no},
		{"any_phase(PhV >= 5)", silent{}, 2, 9, yes},
		{"any_phase(PhV >= 5)", silent{}, 2, 3, unknown},
		{"every_phase(PhV < 5 and PhV.phsA < 2)", 1, 2, 3, yes},
		{"every_phase(abs(-PhV) < 5)", 1, 2, 9, no},
	} {
		if got := value(t, c.source, c.a, c.b, c.c, "A.phsA", 0); got != c.want {
			t.Errorf("%s of %v, %v, %v is %d, expected %d", c.source, c.a, c.b, c.c, got, c.want)
		}
	}
}

func TestStatesAreConditions(t *testing.T) {
	for _, c := range []struct {
		source    string
		live, pos any
		want      truth
	}{
		{"not ChLiv", false, 0, yes},
		{"not ChLiv", true, 0, no},
		{"ChLiv and Pos == 2", true, telemetry.IntValue(2), yes},
		{"Pos", true, telemetry.UintValue(0), no},
		{"not ChLiv", silent{}, 0, unknown},
	} {
		if got := value(t, c.source, 0, 0, 0, "ChLiv", c.live, "Pos", c.pos); got != c.want {
			t.Errorf("%s of ChLiv %v, Pos %v is %d, expected %d", c.source, c.live, c.pos, got, c.want)
		}
	}
}

func TestAValueGoesStaleAfterThreePolls(t *testing.T) {
	r := newRig(t, conditionModel(), Rule{Name: "x", On: Target{Device: "m1"}, When: "PhV.phsA < 5 and not ChLiv"})
	r.read(0, "m1", "PhV.phsA", 0, "ChLiv", false)
	for _, c := range []struct {
		at   float64
		want truth
	}{{0, yes}, {3, yes}, {3.000001, unknown}} {
		r.engine.in.at = at(c.at)
		if got := r.engine.instances[0].when(&r.engine.in); got != c.want {
			t.Errorf("after %g s the condition is %d, expected %d", c.at, got, c.want)
		}
	}
}
