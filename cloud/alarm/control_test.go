package alarm

import (
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// What was operated is kept as it was told, whoever's it was; what doesn't say
// anything is set aside.
func TestWhatWasOperatedIsKept(t *testing.T) {
	w := newWorld(t)
	e := telemetry.Event{Kind: telemetry.ControlAttempted, Time: 5, Decided: 6, Control: &telemetry.Control{
		ID: "a", Action: telemetry.ControlOperate, Device: "bay-1", Signal: "Pos", Origin: telemetry.ControlLocal, By: "Ana", Requested: "1", Outcome: telemetry.ControlUnknown,
		Cause: "no-answer", Detail: "it may have been executed",
	}}
	empty := e
	empty.Control = nil
	w.send("gw", e)
	w.send("gw", empty)
	r, _ := w.start()
	await.True(w, "both", func() bool { return r.Stats().Events == 2 })
	list, err := w.store.ControlSteps(t.Context(), "gw", "", store.Page[store.ControlPlace]{Limit: 10})
	if err != nil || len(list) != 1 || list[0].Control != *e.Control || list[0].At != 6 {
		t.Errorf("%+v, %v", list, err)
	}
	if q := r.Stats().Quarantined; q[store.CorruptEvent] != 1 {
		t.Errorf("quarantined: %v", q)
	}
}
