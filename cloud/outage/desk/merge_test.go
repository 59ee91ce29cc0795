package desk

import (
	"testing"

	"github.com/busbar/busbar/cloud/outage/lifecycle"
)

// What goes on isn't hidden in an outage that is over, by people or by evidence, or planned.
func TestWhatAnOutageCanBeMergedInto(t *testing.T) {
	goesOn := Outage{State: lifecycle.Confirmed, Evidence: "confirmed", Class: "sustained", DeviceKind: "switch"}
	with := func(change func(*Outage)) Outage {
		o := goesOn
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		o, into Outage
		can     bool
	}{
		"another one that goes on": {goesOn, goesOn, true},
		"verified":                 {goesOn, with(func(o *Outage) { o.State = lifecycle.Verified }), false},
		"closed by evidence":       {goesOn, with(func(o *Outage) { o.Evidence = "closed" }), false},
		"restored by evidence":     {goesOn, with(func(o *Outage) { o.Evidence = "restored" }), false},
		"planned":                  {goesOn, with(func(o *Outage) { o.Class = "planned" }), false},
		"both planned":             {with(func(o *Outage) { o.Class = "planned" }), with(func(o *Outage) { o.Class = "planned" }), true},
		"of one service point":     {with(func(o *Outage) { o.DeviceKind = "service_point" }), goesOn, false},
	} {
		if why := c.o.cantBeOf(c.into); (why == "") != c.can {
			t.Errorf("%s: %q", name, why)
		}
	}
}
