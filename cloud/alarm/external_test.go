package alarm

import (
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func (w *watch) alert(seconds int, a Alert) {
	w.Helper()
	if err := TakeAlerts(w.Context(), w.store, "alertmanager", []Alert{a}, telemetry.MicrosOf(at(seconds))); err != nil {
		w.Fatal(err)
	}
}

func TestAnAlertFromElsewhereHasOneAlarm(t *testing.T) {
	w := newWatch(t)
	began := telemetry.MicrosOf(at(0))
	disk := Alert{Fingerprint: "f1", Rule: "DiskFull", Asset: "db", Priority: telemetry.High, Summary: "The disk is full", Began: began}
	later := disk
	later.Began += 5_000_000 // another Alertmanager has noticed it later
	for _, a := range []Alert{disk, disk, later} {
		w.alert(10, a)
	}
	_, list := w.list(true)
	if len(list) != 1 {
		t.Fatalf("%d alarms", len(list))
	}
	a := list[0]
	if !a.Active || a.Kind != OfExternal || a.Gateway != "" || a.Rule != "DiskFull" || a.Raised != began || a.Summary != "The disk is full" || a.OfItsGateway() {
		t.Errorf("%+v", a)
	}
	before := disk
	before.Began, before.Ended = began-9, began-1
	w.alert(20, before)
	if _, list := w.list(true); len(list) != 1 || !list[0].Active {
		t.Fatalf("what is over ends what began later: %+v", list)
	}
	over := disk
	over.Ended = began + 60_000_000
	w.alert(70, over)
	w.alert(71, over)
	if _, list := w.list(true); len(list) != 1 || list[0].Active || list[0].Cleared == nil || *list[0].Cleared != over.Ended {
		t.Fatalf("%+v", list)
	}
	if _, err := Acknowledge(w.Context(), w.store, a.ID, "Ana", "", over.Ended); err != nil {
		t.Fatal(err)
	}
	// Prometheus was away from its Alertmanager, which took the alert for resolved.
	w.alert(90, disk)
	if _, list := w.list(true); len(list) != 1 || !list[0].Active || list[0].Acknowledged || list[0].ID != a.ID {
		t.Fatalf("%+v", list)
	}
	_, history, err := Get(w.Context(), w.store, a.ID)
	if err != nil || len(history) != 4 || history[0].By != "alertmanager" || history[1].Action != Cleared {
		t.Errorf("%+v, %v", history, err)
	}
	told, err := Changes(w.Context(), w.store, 0, 100)
	if err != nil || len(told) != 4 {
		t.Fatalf("%d changes, %v", len(told), err)
	}
	for i, want := range []Action{Raised, Cleared, Acknowledged, Raised} {
		if c := told[i]; c.Action != want || c.Seq != history[i].Seq || c.Alarm.ID != a.ID || c.Alarm.Kind != OfExternal {
			t.Errorf("%+v, want %s", c, want)
		}
	}
	if told[2].By != "Ana" || told[2].At != over.Ended {
		t.Errorf("%+v", told[2])
	}
	if rest, err := Changes(w.Context(), w.store, told[1].Seq, 1); err != nil || len(rest) != 1 || rest[0].Seq != told[2].Seq {
		t.Errorf("%+v, %v", rest, err)
	}
}

func TestWhatWasOverBeforeItWasKnownIsKept(t *testing.T) {
	w := newWatch(t)
	began := telemetry.MicrosOf(at(0))
	short := Alert{Fingerprint: "f2", Rule: "Flap", Priority: telemetry.Low, Began: began, Ended: began + 1}
	other := Alert{Fingerprint: "f3", Rule: "Flap", Priority: telemetry.Low, Began: began}
	for range 2 {
		w.alert(10, short)
		w.alert(10, other)
	}
	_, list := w.list(true)
	if len(list) != 2 || list[0].Active == list[1].Active {
		t.Fatalf("%+v", list)
	}
	if firing, err := Firing(t.Context(), w.store); err != nil || len(firing) != 1 || !firing[0].Active {
		t.Errorf("%+v, %v", firing, err)
	}
	gateways, err := w.store.Gateways(t.Context())
	if err != nil || len(gateways) != 0 {
		t.Errorf("gateways %+v, %v", gateways, err)
	}
}

func TestAGatewayMayNotNameAnAlarmOfElsewhere(t *testing.T) {
	for _, id := range []string{externalID + "1", FleetID + "1"} {
		for _, e := range []telemetry.Event{
			{Kind: telemetry.AlarmRaised, Decided: 1, Alarm: &telemetry.AlarmChange{ID: id}},
			{Kind: telemetry.AlarmCaptured, Decided: 1, Capture: &telemetry.Capture{Alarm: id}},
		} {
			if err := check(e); err == nil {
				t.Errorf("%s of %s is taken", e.Kind, id)
			}
		}
	}
}
