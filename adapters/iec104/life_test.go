package iec104

import (
	"context"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlling"
	"github.com/busbar/busbar/telemetry"
)

// What a station replays before it has been interrogated is of the past, in its order, and
// the last of it the present, if nothing else is told. Afterwards a time before what was
// told means a clock that isn't right, and never hides what is told.
func TestReplay(t *testing.T) {
	d := device("127.0.0.1:1")
	w := &watch{Device: d, places: placesOf(d.Points), last: make([]telemetry.Micros, len(d.Points))}
	began := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	w.last[0], w.last[1] = telemetry.MicrosOf(began), telemetry.MicrosOf(began) // when the link was lost
	l := newLife(context.Background(), w, nil)
	l.received = began.Add(time.Minute)
	at := func(n int, s time.Duration, v float64) {
		p := d.Points[n]
		l.put(n, telemetry.Sample{
			Time: telemetry.MicrosOf(began.Add(s)), Signal: p.Signal, Value: telemetry.FloatValue(v),
			Quality: telemetry.MakeQuality(telemetry.Good, telemetry.DeviceTime, telemetry.NoReason),
		})
	}
	values := func(list []telemetry.Sample) (v []float64) {
		for _, s := range list {
			f, _ := s.Value.Float()
			v = append(v, f)
		}
		return v
	}
	is := func(what string, got []float64, want ...float64) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %v, expected %v", what, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: %v, expected %v", what, got, want)
			}
		}
	}
	at(0, -2*time.Second, 1)
	at(0, -time.Second, 2)
	at(1, -time.Second, 3)
	at(1, 61*time.Second, 4) // which is told in the answer
	is("past", values(l.past), 1, 2, 3)
	is("present", values(l.batch), 4)
	l.batch = nil
	for n := range d.Points {
		l.told[n] = true
	}
	l.session = nil
	l.past = nil
	l.Ended(asdu.CounterInterrogation, 1, controlling.Complete, 0)
	is("present", values(l.batch))
	l.whole[1] = true
	l.received = began.Add(2 * time.Minute)
	at(1, -time.Hour, 5) // by a clock that has been set back
	is("past", values(l.past))
	is("present", values(l.batch), 5)
	if s := l.batch[0]; s.Time != telemetry.MicrosOf(l.received) || s.Quality.TimeQuality() != telemetry.GatewayTime {
		t.Errorf("%+v", s)
	}
	if v, _ := l.shown(1); v != telemetry.FloatValue(5) {
		t.Errorf("it shows %v", v)
	}
	l.batch = nil
	delete(l.whole, 1)
	l.Ended(asdu.Interrogation, 1, controlling.Complete, 0)
	if v, _ := l.shown(0); v != telemetry.FloatValue(2) {
		t.Errorf("it shows %v, and was last told to be 2", v)
	}
}
