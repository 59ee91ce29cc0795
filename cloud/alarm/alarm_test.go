package alarm

import (
	"errors"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"pgregory.net/rapid"
)

func about(action Action, at telemetry.Micros) Change {
	c := Change{Action: action, At: at}
	if action == Acknowledged {
		c.By, c.Comment = "Ana", "crew called"
		return c
	}
	c.Gateway, c.Decided = "gw", at+5
	c.Alarm = telemetry.AlarmChange{ID: "a1", Rule: "interruption", Asset: "feeder-1", Device: "m1", Priority: telemetry.High, Summary: string(action),
		Inputs: []telemetry.Input{{Signal: 4, Name: "PhV.phsA", Device: "m1", Unit: "V", Quality: "good", Time: at}}}
	return c
}

func TestApply(t *testing.T) {
	const raise, clear, ack = Raised, Cleared, Acknowledged
	cases := []struct {
		name         string
		changes      []Action
		transitions  []bool
		err          error
		active, open bool
	}{
		{"raised", []Action{raise}, []bool{true}, nil, true, true},
		{"raised twice", []Action{raise, raise}, []bool{true, false}, nil, true, true},
		{"cleared, unacknowledged", []Action{raise, clear}, []bool{true, true}, nil, false, true},
		{"cleared twice", []Action{raise, clear, clear}, []bool{true, true, false}, nil, false, true},
		{"raised again after clearing", []Action{raise, clear, raise}, []bool{true, true, true}, nil, true, true},
		{"raised again after clearing and acknowledgement", []Action{raise, clear, ack, raise}, []bool{true, true, true, true}, nil, true, true},
		{"raised again, and cleared", []Action{raise, clear, raise, clear, ack}, []bool{true, true, true, true, true}, nil, false, false},
		{"acknowledged, active", []Action{raise, ack}, []bool{true, true}, nil, true, true},
		{"acknowledged, then cleared", []Action{raise, ack, clear}, []bool{true, true, true}, nil, false, false},
		{"cleared, then acknowledged", []Action{raise, clear, ack}, []bool{true, true, true}, nil, false, false},
		{"acknowledged twice", []Action{raise, ack, ack}, []bool{true, true, false}, ErrAlreadyAcknowledged, true, true},
		{"acknowledged before anything", []Action{ack}, []bool{false}, ErrNotFound, false, true},
		{"cleared before raised", []Action{clear}, []bool{true}, nil, false, true},
		{"cleared, then raised", []Action{clear, raise}, []bool{true, true}, nil, false, true},
		{"cleared, acknowledged, then raised", []Action{clear, ack, raise}, []bool{true, true, true}, nil, false, false},
		{"cleared, raised, raised", []Action{clear, raise, raise}, []bool{true, true, true}, nil, true, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var a Alarm
			var err error
			for i, action := range c.changes {
				var changed bool
				before := a
				a, changed, err = a.Apply(about(action, telemetry.Micros(100*(i+1))))
				if changed != c.transitions[i] {
					t.Errorf("change %d is a transition: %v", i, changed)
				}
				if !changed && (a.Active != before.Active || a.Acknowledged != before.Acknowledged || a.Raised != before.Raised || a.Cleared != before.Cleared) {
					t.Errorf("change %d is none and altered %+v to %+v", i, before, a)
				}
			}
			if !errors.Is(err, c.err) || a.Active != c.active || a.Open() != c.open {
				t.Errorf("active %v, open %v, %v; want %v, %v, %v", a.Active, a.Open(), err, c.active, c.open, c.err)
			}
		})
	}
}

func TestApplyKeepsWhoAndWhen(t *testing.T) {
	var a Alarm
	for i, action := range []Action{Raised, Acknowledged, Cleared} {
		a, _, _ = a.Apply(about(action, telemetry.Micros(100*(i+1))))
	}
	if a.Raised != 100 || a.Decided != 105 || *a.AcknowledgedAt != 200 || a.AcknowledgedBy != "Ana" || a.Comment != "crew called" || *a.Cleared != 300 ||
		a.Summary != "raised" || len(a.Inputs) != 1 || a.Inputs[0].Time != 100 || a.Gateway != "gw" {
		t.Errorf("%+v", a)
	}
	other := about(Cleared, 400)
	other.Gateway = "other"
	if _, changed, err := a.Apply(other); changed || !errors.Is(err, ErrOtherGateway) {
		t.Errorf("another gateway clears it: %v, %v", changed, err)
	}
}

// In whatever order and however often the changes come, the end is the same.
func TestApplyDoesNotDependOnOrder(t *testing.T) {
	at := map[Action]telemetry.Micros{Raised: 100, Cleared: 200, Acknowledged: 300}
	rapid.Check(t, func(t *rapid.T) {
		var a Alarm
		done := map[Action]bool{}
		transitions := map[Action]int{}
		for _, action := range rapid.SliceOfN(rapid.SampledFrom([]Action{Raised, Cleared, Acknowledged}), 1, 9).Draw(t, "changes") {
			after, changed, _ := a.Apply(about(action, at[action]))
			a = after
			if changed {
				transitions[action]++
				done[action] = true
			}
		}
		for action, n := range transitions {
			if n != 1 {
				t.Fatalf("%d transitions %s", n, action)
			}
		}
		if a.ID == "" {
			return
		}
		if a.Active != (done[Raised] && !done[Cleared]) || a.Acknowledged != done[Acknowledged] || (a.Cleared != nil) != done[Cleared] || (a.Decided == 105) != done[Raised] {
			t.Fatalf("after %v: %+v", done, a)
		}
	})
}

func TestKinds(t *testing.T) {
	for want, list := range map[Kind][]Alarm{
		OfCloud:    {{ID: FleetID + "1", Rule: "gateway-silent"}, {ID: "refused-1", Rule: RefusedRule}},
		OfGateway:  {{ID: "a1", Rule: "gateway-silent"}, {ID: "a1", Rule: DamagedRule}},
		OfExternal: {{ID: externalID + "1", Rule: "gateway-silent"}, {ID: externalID + "1", Rule: RefusedRule}},
	} {
		for _, a := range list {
			if kind := kindOf(a.ID, a.Rule); kind != want || a.OfItsGateway() != (want == OfGateway) {
				t.Errorf("%+v: %s", a, kind)
			}
		}
	}
}
