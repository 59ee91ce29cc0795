package cloud

import (
	"reflect"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// A process that begins to follow the newest samples shows them all, and passes on those
// that others can't have passed on long ago.
func TestOldSamplesAreNoNewsToOtherSystems(t *testing.T) {
	const now = 1e15
	known := map[telemetry.SignalID]telemetry.Sample{}
	at := func(signal telemetry.SignalID, age telemetry.Micros) telemetry.Sample {
		return telemetry.Sample{Signal: signal, Time: now - age, Value: telemetry.FloatValue(230)}
	}
	for i, c := range []struct{ samples, changed, fresh []telemetry.Sample }{
		{[]telemetry.Sample{at(1, 5), at(2, 3*lateStart)}, []telemetry.Sample{at(1, 5), at(2, 3*lateStart)}, []telemetry.Sample{at(1, 5)}},
		{[]telemetry.Sample{at(1, 5), at(2, 3*lateStart)}, nil, nil},
		// It was out of reach, and brings what it has kept.
		{[]telemetry.Sample{at(1, 4), at(2, 2*lateStart)}, []telemetry.Sample{at(1, 4), at(2, 2*lateStart)}, []telemetry.Sample{at(1, 4), at(2, 2*lateStart)}},
	} {
		if changed, fresh := pick(c.samples, known, now); !reflect.DeepEqual(changed, c.changed) || !reflect.DeepEqual(fresh, c.fresh) {
			t.Errorf("%d: %v, %v", i, changed, fresh)
		}
	}
}
