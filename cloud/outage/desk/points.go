package desk

import (
	"cmp"
	"database/sql"
	"slices"
	"strings"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// rowsAtOnce bounds the rows of one statement.
const rowsAtOnce = 100

// rows gathers those of a statement, and sends so many at once.
type rows struct {
	t             *store.Tx
	insert, after string
	columns       int
	args          []any
}

func (r *rows) add(values ...any) error {
	if r.columns, r.args = len(values), append(r.args, values...); len(r.args) < rowsAtOnce*len(values) {
		return nil
	}
	return r.flush()
}

func (r *rows) flush() error {
	if len(r.args) == 0 {
		return nil
	}
	one := `(?` + strings.Repeat(`, ?`, r.columns-1) + `)`
	_, err := r.t.Exec(r.insert+` VALUES `+one+strings.Repeat(`, `+one, len(r.args)/r.columns-1)+r.after, r.args...)
	r.args = r.args[:0]
	return err
}

// span is a time without supply; until is 0 while it lasts.
type span struct{ since, until int64 }

// keepPoints makes the service points of the outage those of the engine. interruptions are
// how many of its earlier ones are kept already.
func keepPoints(t *store.Tx, n *network.Network, i *outage.Incident, interruptions int, at telemetry.Micros) error {
	have := map[string]span{}
	err := t.Each(func(r *sql.Rows) error {
		var id string
		var of span
		err := r.Scan(&id, &of.since, &of.until)
		have[id] = of
		return err
	}, `SELECT point, since, until FROM outage_point WHERE outage = ?`, i.ID)
	if err != nil {
		return err
	}
	again := len(i.Interruptions) > interruptions
	if again {
		if err := keepEarlier(t, n, i, interruptions, have); err != nil {
			return err
		}
	}
	back := map[string]int64{} // when it had supply again, by the last step that says so
	for _, s := range i.Steps {
		for _, p := range s.Points {
			back[p] = s.At
		}
	}
	kept := rows{t: t, insert: `INSERT INTO outage_point (outage, point, customers, since, until)`,
		after: ` ON CONFLICT (outage, point) DO UPDATE SET since = excluded.since, until = excluded.until`}
	for _, id := range i.Ever {
		until := int64(0)
		if !has(i.Out, id) {
			until = cmp.Or(back[id], i.RestoredAt, int64(at))
		}
		was, known := have[id]
		since := i.Start
		if known && !(again && until == 0) {
			if was.until == until || was.until != 0 && until != 0 && back[id] == 0 {
				continue
			}
			since = was.since
		}
		if err := kept.add(i.ID, id, customersOf(n, id), since, until); err != nil {
			return err
		}
	}
	if err := kept.flush(); err != nil {
		return err
	}
	for id := range have {
		if !has(i.Ever, id) {
			if _, err := t.Exec(`DELETE FROM outage_point WHERE outage = ? AND point = ?`, i.ID, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepEarlier keeps the interruptions that were before the last one, of the points that are
// without supply again: by what is kept of them, or else by what the engine says. What had
// supply from an earlier one on keeps its row in outage_point.
func keepEarlier(t *store.Tx, n *network.Network, i *outage.Incident, from int, have map[string]span) error {
	kept := rows{t: t, insert: `INSERT INTO outage_earlier (outage, number, point, customers, since, until)`, after: ` ON CONFLICT (outage, number, point) DO NOTHING`}
	for number := from; number < len(i.Interruptions); number++ {
		of := i.Interruptions[number]
		for _, id := range i.Ever {
			was, known := have[id]
			switch {
			case known && number == from && has(i.Out, id):
				was.until = cmp.Or(was.until, of.End)
			case has(of.Points, id) && (!known || number > from):
				was = span{of.Start, of.End}
			default:
				continue
			}
			if err := kept.add(i.ID, number, id, customersOf(n, id), was.since, max(was.since, was.until)); err != nil {
				return err
			}
		}
	}
	return kept.flush()
}

func has(sorted []string, id string) bool {
	_, found := slices.BinarySearch(sorted, id)
	return found
}

func customersOf(n *network.Network, id string) int64 {
	if n != nil {
		if p := n.PointOf(id); p != grid.None {
			return int64(n.Point(p).Customers)
		}
	}
	return 0
}
