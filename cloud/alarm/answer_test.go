package alarm

import (
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

// An answer is kept with its command; another gateway's is set aside.
func TestAnswersToCommandsAreKept(t *testing.T) {
	w := newWorld(t)
	if err := w.store.AddCommand(t.Context(), record.Command{ID: "c1", Gateway: "gw", Epoch: "0000000000000007", Kind: record.Ping, By: "Ana", Issued: 1, Expires: 9}); err != nil {
		t.Fatal(err)
	}
	answer := telemetry.Event{Kind: telemetry.CommandAnswered, Time: 5, Decided: 5,
		Answer: &telemetry.CommandAnswer{ID: "c1", Kind: "ping", By: "Ana", Result: telemetry.CommandRefused, Cause: "expired"}}
	w.send("gx", answer)
	malformed := answer
	malformed.Answer = nil
	w.send("gw", malformed)
	w.send("gw", answer)
	r, _ := w.start()
	await.True(w, "all three", func() bool { return r.Stats().Events == 3 })
	c, err := w.store.Command(t.Context(), "c1")
	if err != nil || c.Answered != 5 || c.Result != telemetry.CommandRefused || c.Cause != "expired" || c.By != "Ana" {
		t.Errorf("%+v, %v", c, err)
	}
	if q := r.Stats().Quarantined; q[store.IdentityConflict] != 1 || q[store.CorruptEvent] != 1 {
		t.Errorf("quarantined: %v", q)
	}
}
