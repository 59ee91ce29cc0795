package alarm

import (
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// Each open alarm is counted once, in its state; those that nobody has to look at aren't.
func TestCountOpen(t *testing.T) {
	w := newWorld(t)
	r, _ := w.start()
	for _, id := range []string{"a1", "a2", "a3", "a4", "a5"} {
		w.send("gw", raised(id, 1000))
	}
	w.send("gw", cleared("a1", 2000))
	w.send("gw", cleared("a2", 2000))
	await.True(w, "all events", func() bool { return r.Stats().Events == 7 })
	for _, id := range []string{"a2", "a3"} {
		if _, err := Acknowledge(t.Context(), w.store, id, "Ana", "", 3000); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := CountOpen(t.Context(), w.store)
	if err != nil || len(counts) != 12 {
		t.Fatalf("%+v, %v", counts, err)
	}
	want := map[OpenState]int{Unacknowledged: 2, ActiveAcknowledged: 1, ReturnedUnacknowledged: 1}
	for _, c := range counts {
		if of := want[c.State]; c.Priority == telemetry.Critical && c.Alarms != of || c.Priority != telemetry.Critical && c.Alarms != 0 {
			t.Errorf("%+v", c)
		}
	}
}
