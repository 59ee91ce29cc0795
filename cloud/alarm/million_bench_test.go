package alarm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
)

// BenchmarkAMillionTransitions asks what the alarms page and its reports do, of a year with a
// third of a million alarms, each raised, acknowledged and cleared, 477 of which go on.
func BenchmarkAMillionTransitions(b *testing.B) {
	for name, config := range map[string]func(testing.TB) store.Config{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			s, err := store.Open(b.Context(), config(b))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			const alarms = 333_333
			now := telemetry.MicrosOf(time.Now())
			year := 365 * 24 * time.Hour
			err = s.Write(b.Context(), func(t *store.Tx) error {
				if err := t.AddNoGateway(); err != nil {
					return err
				}
				began, every := int64(now)-year.Microseconds(), year.Microseconds()/alarms
				for _, fill := range []string{
					`INSERT INTO alarm (id, gateway, rule, asset, device, priority, summary, active, acknowledged, raised, confirmed, decided, cleared, acknowledged_at, acknowledged_by, comment)
						NUMBERS SELECT 'a' || i, '', 'r' || (i % 50), 'x' || (i % 10000), '', 'low', '', i % 700 = 0, i % 700 <> 0, at, 0, 1, CASE WHEN i % 700 = 0 THEN NULL ELSE at + 60000000 END, NULL, '', ''
						FROM (SELECT i, BEGAN + i * EVERY AS at FROM n WHERE i < ALARMS) m`,
					`INSERT INTO fact (seq, kind, at, data) NUMBERS SELECT i + 1, 'alarm', 1, '{}' FROM n`,
					`INSERT INTO alarm_event (fact, alarm, at, action, actor, comment, told, announced)
						NUMBERS SELECT i + 1, 'a' || (i / 3), at, CASE i % 3 WHEN 0 THEN 'raised' WHEN 1 THEN 'acknowledged' ELSE 'cleared' END, '', '', at, i % 3 = 0
						FROM (SELECT i, BEGAN + i / 3 * EVERY AS at FROM n) m`,
				} {
					number := fmt.Sprint
					fill = strings.NewReplacer("NUMBERS", "WITH RECURSIVE n (i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < LAST)").Replace(fill)
					fill = strings.NewReplacer("ALARMS", number(alarms), "LAST", number(3*alarms-1), "BEGAN", number(began), "EVERY", number(every)).Replace(fill)
					if _, err := t.Exec(fill); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			span := func(d time.Duration) telemetry.Micros { return now - telemetry.Micros(d.Microseconds()) }
			for _, c := range []struct {
				name string
				ask  func() error
			}{
				{"flood", func() error {
					_, err := Annunciations(b.Context(), s, span(10*time.Minute), now, 1000)
					return err
				}},
				{"month", func() error {
					_, err := Annunciations(b.Context(), s, span(31*24*time.Hour), now, 100_000)
					return err
				}},
				{"standing", func() error { _, err := StandingAt(b.Context(), s, span(24*time.Hour), now, 1000); return err }},
				{"open", func() error { _, _, err := List(b.Context(), s, true, store.Page[Place]{Limit: 500}); return err }},
				{"all", func() error { _, _, err := List(b.Context(), s, false, store.Page[Place]{Limit: 500}); return err }},
				{"journal", func() error { _, err := Journal(b.Context(), s, "", store.Page[int64]{Limit: 500}); return err }},
			} {
				b.Run(c.name, func(b *testing.B) {
					for b.Loop() {
						if err := c.ask(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}
