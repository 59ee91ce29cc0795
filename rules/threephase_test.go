package rules

import (
	"math"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// 460, 467 and 450 V are the example of NEMA MG 1, whose unbalance is 1.96 %.
func TestUnbalance(t *testing.T) {
	for _, c := range []struct {
		ab, bc, ca  float64
		iec, spread float64 // %
	}{
		{460, 467, 450, 2.1465, 1.9608},
		{400, 392, 396, 1.1664, 1.0101},
		{400, 400, 400, 0, 0},
		{0, 0, 0, math.NaN(), math.NaN()},
	} {
		var m Model
		for i, phase := range []string{"AB", "BC", "CA"} {
			m.Signals = append(m.Signals, telemetry.Signal{ID: telemetry.SignalID(i + 1), Device: "m", Asset: "f", Name: "PPV.phs" + phase, Unit: "V", Kind: telemetry.Gauge})
		}
		for name, want := range map[string]float64{"unbalance": c.iec, "spread": c.spread} {
			s := &scope{network: newNetwork(m), target: target{asset: "f"}}
			tree, fault := parseExpression(name + "(PPV)")
			if fault != nil {
				t.Fatal(fault)
			}
			o, fault := s.number(tree)
			if fault != nil {
				t.Fatal(fault)
			}
			for i, v := range []float64{c.ab, c.bc, c.ca} {
				s.inputs.slots[i].set(telemetry.FloatValue(v), 0, 1)
			}
			if got := o.number(&s.inputs); math.Abs(got-want) > 5e-5 && !(math.IsNaN(got) && math.IsNaN(want)) || o.unit != "%" {
				t.Errorf("%s of %g, %g and %g is %g %s, expected %g", name, c.ab, c.bc, c.ca, got, o.unit, want)
			}
		}
	}
}

func TestUnbalanceNeedsThreePhases(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "m1", Asset: "f1", PollEvery: time.Second}, "PhV.phsA", "PhV.phsB", "PhV.phsC")
	_, problems := Compile([]Rule{{Name: "x", When: "unbalance(PhV) > 2"}}, m)
	if len(problems) != 1 || problems[0].Error() != "rules[0].when: character 1: it applies to no asset: asset f1 has no signal PhV.phsAB" {
		t.Error(problems)
	}
	if _, problems := Compile([]Rule{{Name: "x", When: "spread(PhV) > 2"}}, m); len(problems) > 0 {
		t.Error(problems)
	}
}
