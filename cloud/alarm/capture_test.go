package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// captured is what was measured from 1 to at, with a sample of one signal at each.
func captured(id string, at telemetry.Micros) telemetry.Event {
	v := 230.5
	return telemetry.Event{Kind: telemetry.AlarmCaptured, Time: at, Decided: at, Capture: &telemetry.Capture{Alarm: id, Rule: "interruption", From: 1, To: at,
		Signals: []telemetry.CapturedSignal{{Signal: 3, Name: "PhV.phsA", Device: "feeder-2-head", Unit: "V", Truncated: true,
			Samples: []telemetry.CapturedSample{{Time: 1, Value: &v}, {Time: at, Quality: "bad (timeout)"}}}}}}
}

// A capture belongs to its alarm whichever comes first, and the newer of two counts.
// Who follows alarms hears of it.
func TestCaptureIsKeptWithItsAlarm(t *testing.T) {
	for name, events := range map[string][]telemetry.Event{
		"after":  {raised("a1", 1000), captured("a1", 2000)},
		"before": {captured("a1", 2000), raised("a1", 1000)},
		"twice":  {captured("a1", 1500), raised("a1", 1000), captured("a1", 2000)},
		"older":  {captured("a1", 2000), raised("a1", 1000), captured("a1", 1500)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, e := range events {
				w.send("gw", e)
			}
			r, _ := w.start()
			await.True(w, "all", func() bool { return r.Stats().Events == uint64(len(events)) })
			c, err := Capture(context.Background(), w.store, "a1")
			if err != nil || c.From != 1 || c.To != 2000 || len(c.Signals) != 1 {
				t.Fatalf("%+v, %v", c, err)
			}
			if s := c.Signals[0]; s.Name != "PhV.phsA" || !s.Truncated || len(s.Samples) != 2 || *s.Samples[0].Value != 230.5 || s.Samples[1].Value != nil || s.Samples[1].Quality != "bad (timeout)" {
				t.Errorf("%+v", s)
			}
			if _, list := w.list(true); len(list) != 1 || !list[0].Captured {
				t.Errorf("%+v", list)
			}
			facts, err := w.store.Facts(t.Context(), 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			var last Alarm
			if err := json.Unmarshal(facts[len(facts)-1].Data, &last); err != nil || !last.Captured {
				t.Errorf("the last fact is %+v, %v", last, err)
			}
		})
	}
}

func TestCaptureOfAnotherGatewayIsntShown(t *testing.T) {
	w := newWorld(t)
	w.send("gx", captured("a1", 2000))
	w.send("gw", raised("a1", 1000))
	r, _ := w.start()
	await.True(w, "both", func() bool { return r.Stats().Events == 2 })
	if _, list := w.list(true); len(list) != 1 || list[0].Captured {
		t.Errorf("%+v", list)
	}
	if _, err := Capture(t.Context(), w.store, "a1"); !errors.Is(err, store.ErrNoCapture) {
		t.Errorf("%v", err)
	}
	if _, err := Capture(t.Context(), w.store, "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// What a gateway says of an alarm's rule is kept; one that doesn't say is taken as well.
func TestAlarmKeepsItsOrigin(t *testing.T) {
	w := newWorld(t)
	e := raised("a2", 2000)
	e.Alarm.Confirmed, e.Alarm.Version, e.Alarm.Method, e.Alarm.Group, e.Alarm.FirstUp = 2500, "3f2a", "sampled", "trips", "a1"
	end := cleared("a2", 3000)
	end.Alarm.Confirmed, end.Alarm.Version, end.Alarm.Method, end.Alarm.Group, end.Alarm.FirstUp = 3500, "3f2a", "sampled", "trips", "a1"
	w.send("gw", raised("a1", 1000))
	w.send("gw", e)
	w.send("gw", end)
	other := cleared("a3", 3000)
	other.Alarm.Version, other.Alarm.Group, other.Alarm.FirstUp = "3f2a", "trips", "a1"
	w.send("gx", other)
	r, _ := w.start()
	await.True(w, "all", func() bool { return r.Stats().Events == 4 })
	for id, want := range map[string]Alarm{
		"a1": {},
		"a2": {Confirmed: 2500, Version: "3f2a", Method: "sampled", Group: "trips", FirstUp: "a1"},
		"a3": {Version: "3f2a", Group: "trips", FirstUp: "a1"}, // its raise hasn't come
	} {
		a, _, err := Get(t.Context(), w.store, id)
		if err != nil || a.Confirmed != want.Confirmed || a.Version != want.Version || a.Method != want.Method || a.Group != want.Group || a.FirstUp != want.FirstUp {
			t.Errorf("%s: %+v, %v", id, a, err)
		}
	}
}
