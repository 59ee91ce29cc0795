package alarm

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// Sags and swells are kept once each, set aside if they can't be, and are neither an alarm nor
// evidence of an outage.
func TestDisturbancesAreKept(t *testing.T) {
	w := newWorld(t)
	good := telemetry.Disturbance{Device: "m", Asset: "p", Phase: "A", Count: 2, Since: 5}
	send := func(kind telemetry.EventKind, change func(d *telemetry.Disturbance)) telemetry.Event {
		d := good
		change(&d)
		e := telemetry.Event{Kind: kind, Time: 9, Decided: 9, Disturbance: &d}
		w.send("gw", e)
		return e
	}
	for _, kind := range []telemetry.EventKind{telemetry.VoltageSag, telemetry.VoltageSwell} {
		for range 2 {
			if list := evidenceOf(send(kind, func(*telemetry.Disturbance) {}), "gw", 230); len(list) != 0 {
				t.Errorf("%s is evidence: %+v", kind, list)
			}
		}
	}
	for _, change := range []func(d *telemetry.Disturbance){
		func(d *telemetry.Disturbance) { d.Device = "" },
		func(d *telemetry.Disturbance) { d.Asset = "" },
		func(d *telemetry.Disturbance) { d.Asset = strings.Repeat("x", 1001) },
		func(d *telemetry.Disturbance) { d.Phase = "D" },
		func(d *telemetry.Disturbance) { d.Count = 0 },
		func(d *telemetry.Disturbance) { d.Count = 1 << 63 },
		func(d *telemetry.Disturbance) { d.Since = 0 },
	} {
		send(telemetry.VoltageSag, change)
	}
	w.send("gw", telemetry.Event{Kind: telemetry.VoltageSag, Time: 9})
	w.send("gw", telemetry.Event{Kind: telemetry.VoltageSwell, Disturbance: &good})
	r, _ := w.start()
	await.True(w, "thirteen events", func() bool { return r.Stats().Events == 13 })
	if st := r.Stats(); st.Quarantined[store.CorruptEvent] != 9 {
		t.Errorf("%+v", st)
	}
	var kept int
	if err := w.store.Ask(t.Context(), func(t *store.Tx) error {
		return t.QueryRow(`SELECT COUNT(*) FROM disturbance WHERE asset = 'p' AND number = 2 AND since = 5 AND at = 9`, nil, &kept)
	}); err != nil || kept != 2 {
		t.Errorf("%d kept: %v", kept, err)
	}
	if _, alarms := w.list(false); len(alarms) != 0 {
		t.Errorf("%+v", alarms)
	}
}
