package deadband

import (
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// A signal whose limit stays is filtered as if nothing had happened; what a door
// holds of another one isn't lost.
func TestChange(t *testing.T) {
	limits := func(door float64) map[telemetry.SignalID]Limit {
		return map[telemetry.SignalID]Limit{1: {Absolute: 1}, 2: {Door: door}}
	}
	f := New(limits(0.5))
	put := func(signal telemetry.SignalID, at int, value float64) int {
		kept, _ := f.Keep([]telemetry.Sample{{Signal: signal, Time: telemetry.Micros(at) * second, Value: telemetry.FloatValue(value)}})
		return len(kept)
	}
	for at := range 3 {
		if first := at == 0; (put(1, at, 5) == 1) != first || (put(2, at, float64(at)) == 1) != first {
			t.Errorf("at %d s", at)
		}
	}
	if kept := f.Change(limits(0.5)); len(kept) > 0 {
		t.Errorf("the same limits let go of %+v", kept)
	}
	if put(1, 3, 5.5) != 0 || put(2, 3, 3) != 0 {
		t.Error("what was told last is forgotten")
	}
	if kept := f.Change(limits(0.1)); len(kept) != 1 || kept[0].Signal != 2 || kept[0].Time != 3*second {
		t.Errorf("another door lets go of %+v", kept)
	}
	if put(1, 4, 5) != 0 || put(2, 4, 4) != 1 {
		t.Error("a signal with another limit begins with its next value")
	}
	if f.Change(nil); !f.Idle() {
		t.Error("no limits, and not idle")
	}
}
