package store

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func aControl() telemetry.Control {
	return telemetry.Control{
		ID: "a", Action: telemetry.ControlOperate, Device: "bay-1", Signal: "Pos", Asset: "bay", Unit: "1", Origin: telemetry.ControlLocal, By: "Ana",
		Requested: "1", Old: "false", ReadBack: "true", Outcome: telemetry.ControlDone, Cause: "c", Detail: "d",
	}
}

func TestControlStepsAreListedNewestFirst(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		keep := func(gateway string, seq uint64, device string, at telemetry.Micros) {
			t.Helper()
			c := aControl()
			c.Device = device
			write(t, s, func(tx *Tx) error {
				return tx.SaveControl(record.Identity{Gateway: gateway, Epoch: 7, Stream: record.Events, First: seq, Last: seq}, c, at)
			})
		}
		keep("gw", 1, "bay-1", 10)
		keep("gw", 1, "bay-1", 10) // again
		keep("gw", 2, "bay-2", 20)
		keep("gx", 1, "bay-1", 15)
		for _, c := range []struct {
			gateway, device string
			limit           int
			at              []telemetry.Micros
		}{
			{"", "", 9, []telemetry.Micros{20, 15, 10}}, {"gw", "", 9, []telemetry.Micros{20, 10}}, {"gw", "", 1, []telemetry.Micros{20}},
			{"", "bay-1", 9, []telemetry.Micros{15, 10}}, {"gw", "bay-1", 9, []telemetry.Micros{10}}, {"gy", "", 9, nil},
		} {
			list, err := s.ControlSteps(t.Context(), c.gateway, c.device, Page[ControlPlace]{Limit: c.limit})
			if err != nil || len(list) != len(c.at) {
				t.Errorf("%+v: %+v, %v", c, list, err)
				continue
			}
			for i, at := range c.at {
				if list[i].At != at {
					t.Errorf("%+v: %+v", c, list)
				}
			}
		}
		list, err := s.ControlSteps(t.Context(), "gw", "bay-1", Page[ControlPlace]{Limit: 1})
		if err != nil || len(list) != 1 || list[0].Control != aControl() || list[0].Gateway != "gw" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestControlStepsThatCantBeKept(t *testing.T) {
	for name, change := range map[string]func(*telemetry.Control){
		"no action":       func(c *telemetry.Control) { c.Action = "" },
		"no outcome":      func(c *telemetry.Control) { c.Outcome = "" },
		"a long name":     func(c *telemetry.Control) { c.By = strings.Repeat("x", 301) },
		"a long value":    func(c *telemetry.Control) { c.Requested = strings.Repeat("x", 301) },
		"a long sentence": func(c *telemetry.Control) { c.Detail = strings.Repeat("x", 1001) },
	} {
		c := aControl()
		change(&c)
		if CheckControl(c) == nil {
			t.Errorf("%s: it passes", name)
		}
	}
	c := aControl()
	c.Action, c.Origin, c.Outcome = "reserve", "goose", "later"
	if err := CheckControl(c); err != nil {
		t.Errorf("of a newer gateway: %v", err)
	}
}
