package alarm

import (
	"testing"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// The events of a gateway that is enrolled late raise and clear its alarms, also if
// what came after the enrolment was taken first.
func TestEventsOfALateGatewayAreTaken(t *testing.T) {
	w := newWorld(t)
	r, stop := w.start()
	early := []telemetry.Event{
		{Kind: telemetry.GatewayStarted, Time: 5, Lifecycle: &telemetry.Lifecycle{Start: 1}},
		raised("a1", 1000), raised("a2", 1000), cleared("a2", 2000),
	}
	for i, e := range early {
		w.sendAs(logRecord("late", uint64(i), payloadOf(t, e)))
	}
	await.True(w, "the refusals", func() bool { return r.Stats().Quarantined[store.UnknownKey] == uint64(len(early)) })
	await.True(w, "the alarm about them", func() bool { _, alarms := w.list(true); return len(alarms) == 1 })
	stop()
	identitytest.Enrol(t, w.store, "late")
	w.sendAs(logRecord("late", uint64(len(early)), payloadOf(t, cleared("a1", 3000))))
	r, _ = w.start()
	await.True(w, "the retake", func() bool { return r.Stats().Retaken == uint64(len(early)) })
	await.True(w, "the last event", func() bool { return r.Stats().Events == 1 })
	_, alarms := w.list(false)
	if len(alarms) != 3 { // one of them about the refusals
		t.Errorf("%+v", alarms)
	}
	for _, a := range alarms {
		if a.Gateway == "late" && a.Rule != RefusedRule && (a.Active || a.Cleared == nil || a.Decided == 0) {
			t.Errorf("%+v", a)
		}
	}
	list, err := w.store.Gateways(t.Context())
	if err != nil || len(list) != 1 || len(list[0].Sequences) != 1 || list[0].Sequences[0].Received != 5 {
		t.Errorf("%+v, %v", list, err)
	}
	if counts, err := w.store.Refused(t.Context()); err != nil || len(counts) != 1 || counts[0].Records != int64(len(early)) {
		t.Errorf("%+v, %v", counts, err)
	}
}

// Whoever has no key fills neither the database with what no event is, nor goes
// unnoticed.
func TestWhatNobodySignedIsRefusedBeforeItIsRead(t *testing.T) {
	w := newWorld(t)
	identitytest.Enrol(t, w.store, "gw")
	junk := logRecord("gw", 0, make([]byte, 500<<10))
	w.sendAs(identitytest.SignWith(identitytest.Key("nobody"), junk))
	r, _ := w.start()
	await.True(w, "the refusal", func() bool { return r.Stats().Quarantined[store.UnknownKey] == 1 })
	list, err := w.store.Quarantined(t.Context(), 10)
	if err != nil || len(list) != 1 || len(list[0].Payload) > store.MaxRefusedBytes {
		t.Errorf("%d entries, %v", len(list), err)
	}
	if counts, err := w.store.Refused(t.Context()); err != nil || len(counts) != 1 {
		t.Errorf("counted: %+v, %v", counts, err)
	}
}

// A start that is taken again says where its gateway belongs, and not that it is there.
func TestStartOfALateGateway(t *testing.T) {
	w := newWorld(t)
	r, _ := w.start()
	said := telemetry.Presence{Every: 60_000_000, Feeder: "f1"}
	w.sendAs(logRecord("late", 0, payloadOf(t, telemetry.Event{Kind: telemetry.GatewayStarted, Time: 5, Lifecycle: &telemetry.Lifecycle{Presence: &said}})))
	w.sendAs(logRecord("late", 1, payloadOf(t, telemetry.Event{Kind: telemetry.SupplyFailed, Time: 6, LastGasp: &telemetry.LastGasp{Boot: "b"}})))
	await.True(w, "the refusals", func() bool { return r.Stats().Quarantined[store.UnknownKey] == 2 })
	identitytest.Enrol(t, w.store, "late")
	await.True(w, "the retake", func() bool { return r.Stats().Retaken == 2 })
	list, err := w.store.Presences(t.Context())
	if err != nil || len(list) != 1 || list[0].Presence != said || list[0].Heard != 0 || list[0].LastGasp != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
