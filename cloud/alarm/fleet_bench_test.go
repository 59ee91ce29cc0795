package alarm

import (
	"fmt"
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// A look at gateways that are all heard, 50 of them on a feeder; and what a change of
// their number costs.
func BenchmarkFleet(b *testing.B) {
	const gateways = 10_000
	w := newWatch(b)
	if err := w.store.Write(b.Context(), func(tx *store.Tx) error {
		for n := range gateways {
			p := telemetry.Presence{Every: 1e12 / 100, Feeder: fmt.Sprint("feeder-", n/50), Uplink: fmt.Sprint("carrier-", n%3)}
			if err := tx.SavePresence(fmt.Sprintf("gw-%05d", n), p); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	w.judge(0, 1)
	b.Run("look", func(b *testing.B) {
		for s := 2; b.Loop(); s++ {
			if err := w.fleet.judge(b.Context(), at(s%10+2), at(s%10+2)); err != nil {
				w.restart()
			}
		}
	})
	b.Run("compile", func(b *testing.B) {
		for s := 20; b.Loop(); s++ {
			w.fleet.placed, w.fleet.took = nil, 0
			if err := w.fleet.judge(b.Context(), at(s), at(s)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
