package alarm

import (
	"errors"
	"fmt"
	"testing"
	"time"

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
			p := telemetry.Presence{Every: 24 * time.Hour.Microseconds(), Feeder: fmt.Sprint("feeder-", n/50), Uplink: fmt.Sprint("carrier-", n%3)}
			if err := tx.SavePresence(fmt.Sprintf("gw-%05d", n), p); err != nil {
				return err
			}
		}
		_, key := tx.Exec(`INSERT INTO gateway_key (key_id, gateway, public_key, added_at, added_by, introduced_by, revoked_by, reason) SELECT id, id, id, 1, '', '', '', '' FROM gateway`)
		_, heard := tx.Exec(`UPDATE gateway SET heard = ?`, int64(telemetry.MicrosOf(at(1))))
		return errors.Join(key, heard)
	}); err != nil {
		b.Fatal(err)
	}
	second := 1
	look := func() {
		if err := w.fleet.judge(b.Context(), at(second), at(second)); err != nil {
			b.Fatal(err)
		}
		second++
	}
	look()
	if told := w.fleet.told["gw-00000"]; len(w.fleet.told) != gateways || told[0] != telemetry.BoolValue(true) {
		b.Fatalf("of %d gateways, the first is %v", len(w.fleet.told), told)
	}
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			look()
		}
	})
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			w.fleet.placed, w.fleet.took = nil, 0
			look()
		}
	})
}
