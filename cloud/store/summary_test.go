package store

import (
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// A device that falls silent within an hour leaves nothing to be packed at the hour's end:
// what it sent is summed up all the same, until more comes.
func TestAnHourThatEndsEarlyIsSummedUp(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		d := newTwoDevices(t, opened, 1)
		bundle, hour := d.bundle(), int64(aroundMidnight)
		id := d.bundles[bundle][0]
		send := func(m int64) {
			at := telemetry.Micros((hour*minutesPerHour + m) * minute)
			write(t, d.Store, func(tx *Tx) error {
				return tx.AddChunk(Chunk{Bundle: bundle, Minute: MinuteOf(at), First: at, Last: at, Samples: 1, Block: block(t, telemetry.Sample{Signal: id, Time: at, Value: telemetry.FloatValue(230)})})
			})
		}
		summaries := func() int {
			t.Helper()
			of, err := d.SummedUp(t.Context(), bundle, hour, []telemetry.SignalID{id})
			if err != nil {
				t.Fatal(err)
			}
			if of == nil {
				return -1
			}
			return len(of[id])
		}
		if n := summaries(); n != -1 {
			t.Errorf("%d summaries of nothing", n)
		}
		send(3)
		if n := summaries(); n != -1 {
			t.Errorf("%d summaries before it was packed", n)
		}
		d.pack(bundle, hour, hour*minutesPerHour+15)
		d.pack(bundle, hour, (hour+1)*minutesPerHour)
		if n := summaries(); n != 3 {
			t.Errorf("%d summaries, want the minute, the quarter-hour and the hour", n)
		}
		send(40)
		if n := summaries(); n != -1 {
			t.Errorf("%d summaries while a sample waits", n)
		}
		d.pack(bundle, hour, (hour+1)*minutesPerHour)
		if n := summaries(); n != 5 {
			t.Errorf("%d summaries, want two minutes, two quarter-hours and the hour", n)
		}
	})
}
