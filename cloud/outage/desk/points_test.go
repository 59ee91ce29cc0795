package desk

import (
	"database/sql"
	"testing"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
)

// A breaker that closes onto the fault and opens again begins another interruption of the
// same outage: both are kept.
func TestEarlierInterruptionsAreKept(t *testing.T) {
	r := newRoom(t, 1)
	position := func(open bool) {
		r.note(outage.Evidence{Kind: outage.Position, Switch: "b0", Open: &open, Gateway: "gw"})
	}
	r.light(points(0, 0, 8)...)
	position(true)
	first := r.one("the feeder is out", func(o Outage) bool { return announced(o) && o.PointsOut == 8 })
	position(false)
	position(true)
	again := r.one("it is out again", func(o Outage) bool { return o.Interruptions == 1 })
	if again.ID != first.ID || again.PointsOut != 8 || again.Began <= first.Began {
		t.Errorf("%+v, was %+v", again, first)
	}
	var earlier, last []Point
	read := func(into *[]Point, table string) {
		t.Helper()
		err := r.store.Read(t.Context(), func(tx *store.Tx) error {
			return tx.Each(func(rows *sql.Rows) error {
				var p Point
				var until int64
				err := rows.Scan(&p.ID, &p.Customers, &p.Since, &until)
				p.Out = until == 0
				*into = append(*into, p)
				return err
			}, `SELECT point, customers, since, until FROM `+table+` WHERE outage = ? ORDER BY point`, first.ID)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	read(&earlier, "outage_earlier")
	read(&last, "outage_point")
	if len(earlier) != 8 || len(last) != 8 {
		t.Fatalf("%d rows of the earlier interruption, %d of the last one", len(earlier), len(last))
	}
	for i, p := range earlier {
		if p.ID != points(0, 0, 8)[i] || p.Customers != 10 || p.Since != first.Began || p.Out {
			t.Errorf("earlier: %+v", p)
		}
		if q := last[i]; q.ID != p.ID || q.Since != again.Began || !q.Out {
			t.Errorf("last: %+v, which began %d", q, again.Began)
		}
	}
	// Who starts again keeps them once.
	r.stop()
	r.start()
	r.light(points(0, 0, 8)...)
	position(false)
	r.one("supply is back", func(o Outage) bool { return o.State == lifecycle.Restored || o.State == lifecycle.Verified })
	earlier = nil
	if read(&earlier, "outage_earlier"); len(earlier) != 8 {
		t.Errorf("%+v", earlier)
	}
}
