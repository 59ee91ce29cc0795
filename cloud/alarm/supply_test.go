package alarm

import (
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// What a gateway says of its own supply is taken if it is whole.
func TestSupplyEvents(t *testing.T) {
	for _, c := range []struct {
		event telemetry.Event
		ok    bool
	}{
		{telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}}, true},
		{telemetry.Event{Kind: telemetry.SupplyRestored, Time: 1, Restored: &telemetry.Restoration{Since: 1, Boot: "b"}}, true},
		{telemetry.Event{Kind: telemetry.SupplyInterrupted, Time: 1, Interruption: &telemetry.Interruption{Device: "d", Asset: "a", To: 1}}, true},
		{telemetry.Event{Kind: telemetry.SupplyInterrupted, Time: 2, Interruption: &telemetry.Interruption{Device: "d", Asset: "a", To: 1}}, false},
		{telemetry.Event{Kind: telemetry.SupplyInterrupted, Time: 1, Interruption: &telemetry.Interruption{Device: "d", To: 1}}, false},
		{telemetry.Event{Kind: telemetry.SupplyInterrupted, Interruption: &telemetry.Interruption{Device: "d", Asset: "a", To: 1}}, false},
		{telemetry.Event{Kind: telemetry.SupplyInterrupted, Time: 1}, false},
		{telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1}, false},
		{telemetry.Event{Kind: telemetry.SupplyFailed, LastGasp: &telemetry.LastGasp{Boot: "b"}}, false},
		{telemetry.Event{Kind: telemetry.SupplyRestored, Time: 1}, false},
	} {
		if err := check(c.event); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.event, err)
		}
	}
}
