package ingest

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

// What is stored is counted by device and quarter-hour: once, in the transaction
// that stores it, and as late if its time lies far back then.
func TestCountsWhatIsReceived(t *testing.T) {
	w := newWorld(t)
	now := telemetry.MicrosOf(time.Now())
	quarter := telemetry.QuarterOf(now)
	old := quarter - 4*telemetry.Quarter
	next := uint64(0)
	send := func(times ...telemetry.Micros) {
		var samples []telemetry.Sample
		for n := range 6 { // signals 0 to 2 belong to meter-0, 3 to 5 to meter-1
			for _, at := range times {
				samples = append(samples, telemetry.Sample{Signal: telemetry.SignalID(n), Time: at, Value: telemetry.FloatValue(1)})
			}
		}
		r := logRecord(record.Record{Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry, First: next, Last: next + uint64(len(samples)) - 1},
			Format: record.FormatBlock, Payload: block(t, samples)})
		next += uint64(len(samples))
		again := *r // the client fills in where each of them goes
		w.send(r, &again)
	}
	send(old, old+telemetry.Quarter-1, old+telemetry.Quarter) // comes before its birth
	r, _ := w.start(w.config())
	await.True(w, "parking", func() bool { return r.Stats().Parked == 1 && r.Stats().Records == 2 })
	counts := func() map[string]string {
		got := map[string]string{}
		var devices []store.Device
		err := w.store.Quarters(t.Context(), "gw", store.QuarterNumber(old), store.QuarterNumber(quarter)+2,
			func(s store.Scope) { devices = s.Devices },
			func(q store.Quarter) {
				for _, d := range q.Received {
					got[fmt.Sprint(devices[d.Device].Name, " ", q.Number-store.QuarterNumber(old))] = fmt.Sprint(d.Samples, " ", d.Late)
				}
			})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := counts(); len(got) != 0 {
		t.Errorf("parked samples are counted: %v", got)
	}
	w.send(birthRecord(t, "gw", signals(6)...))
	await.True(w, "unparking", func() bool { return r.Stats().Unparked == 1 })
	send(quarter+telemetry.Quarter, quarter+telemetry.Quarter+1) // from a clock that is ahead
	await.True(w, "all", func() bool { return r.Stats().Records == 4 && w.caughtUp() })
	want := map[string]string{"meter-0 0": "6 6", "meter-1 0": "6 6", "meter-0 1": "3 3", "meter-1 1": "3 3", "meter-0 5": "6 0", "meter-1 5": "6 0"}
	if got := counts(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLateIsByTheInstantOfStoring(t *testing.T) {
	b := newBatch()
	const now = 1_700_000_000_000_000
	key := chunkKey{1, store.MinuteOf(now - LateAfter)}
	*b.chunk(key) = []telemetry.Sample{{Time: now - LateAfter - 1}, {Time: now - LateAfter}, {Time: now - LateAfter + 1}}
	var enc telemetry.Encoder
	data, err := b.encode(&enc, nil, now)
	if err != nil || len(data.received) != 1 || data.received[0] != (store.Received{Quarter: store.QuarterNumber(now - LateAfter), Bundle: 1, Samples: 3, Late: 1}) {
		t.Errorf("%+v, %v", data.received, err)
	}
}
