package replay

import (
	"bytes"
	"cmp"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// kept is one of the things that follow from events, as rows that both stores give in the
// same order: first the columns that it is known by, then its values.
type kept struct {
	what  string
	many  string
	keys  int // how many columns of query
	query string
	time  int // the column that says when it was told of, -1: none does
	unit  telemetry.Micros
	about func(key []string) string // what an event elsewhere in the log that concerns it is about
	adds  bool                      // events elsewhere may also take it away
}

// ofGateways leaves out the alarms that the cloud has raised by itself, by its own clock,
// and those that other systems have told it of, which aren't in the log.
const ofGateways = ` gateway <> '' AND rule <> '` + alarm.RefusedRule + `' AND substr(id, 1, 6) <> '` + alarm.FleetID + `' `

const quarter = telemetry.Quarter

// keptOfEvents is all that is compared. What people have done with an alarm isn't in the log,
// and when the cloud has read something isn't either.
var keptOfEvents = []kept{
	{what: "alarm", many: "alarms", keys: 1, time: 10, unit: 1, about: aboutAlarm,
		query: `SELECT id, gateway, rule, asset, device, priority, summary, CASE WHEN active THEN 'true' ELSE 'false' END AS active, raised, confirmed, decided, cleared, rule_version, method, alarm_group, first_up
			FROM alarm WHERE` + ofGateways + `ORDER BY id`},
	{what: "alarm input", many: "alarm inputs", keys: 2, time: -1, about: aboutAlarm,
		query: `SELECT i.alarm, i.position, i.device, i.name, i.unit, i.value, i.state, i.quality, i.time
			FROM alarm_input i JOIN (SELECT id FROM alarm WHERE` + ofGateways + `) a ON a.id = i.alarm ORDER BY i.alarm, i.position`},
	{what: "alarm transition", many: "alarm transitions", keys: 4, time: -1, about: aboutAlarm,
		query: `SELECT e.alarm, e.action, e.at, e.actor, COUNT(*) AS count
			FROM alarm_event e JOIN (SELECT id FROM alarm WHERE` + ofGateways + `) a ON a.id = e.alarm WHERE e.action IN ('raised', 'cleared')
			GROUP BY e.alarm, e.action, e.at, e.actor ORDER BY e.alarm, e.action, e.at, e.actor`},
	{what: "capture", many: "captures", keys: 2, time: 2, unit: 1, about: func(key []string) string { return "alarm " + key[1] },
		query: `SELECT gateway, alarm, decided, from_time, to_time, signals FROM alarm_capture ORDER BY gateway, alarm`},
	{what: "account", many: "accounts", keys: 5, time: 3, unit: quarter, about: func(key []string) string { return strings.Join([]string{"account", key[0], key[2], key[3]}, " ") },
		query: `SELECT d.gateway, d.name AS device, q.epoch, a.quarter, a.quarters, a.revision, a.scheduled, a.had_value, a.suppressed, a.bad, a.missed, a.down, a.delivered
			FROM account a JOIN device d ON d.id = a.device JOIN sequence q ON q.id = a.sequence ORDER BY d.gateway, d.name, q.epoch, a.quarter, a.quarters`},
	{what: "loss", many: "losses", keys: 6, time: 7, unit: 1, about: func(key []string) string { return "loss " + key[0] + " " + key[1] },
		query: `SELECT q.gateway, q.epoch, q.stream, l.seq_first, l.seq_last, l.reason, CASE WHEN l.counted THEN 'true' ELSE 'false' END AS counted, l.at
			FROM declared_loss l JOIN sequence q ON q.id = l.sequence ORDER BY q.gateway, q.epoch, q.stream, l.seq_first, l.seq_last, l.reason`},
	{what: "device's loss", many: "devices' losses", keys: 8, time: 3, unit: quarter, adds: true, about: func(key []string) string { return "loss " + key[0] + " " + key[2] },
		query: `SELECT d.gateway, d.name AS device, q.epoch, l.quarter, l.reason, l.seq_first, l.seq_last, l.step, CAST(SUM(l.samples) AS BIGINT) AS samples
			FROM device_loss l JOIN device d ON d.id = l.device JOIN sequence q ON q.id = l.sequence
			GROUP BY d.gateway, d.name, q.epoch, l.quarter, l.reason, l.seq_first, l.seq_last, l.step
			ORDER BY d.gateway, d.name, q.epoch, l.quarter, l.reason, l.seq_first, l.seq_last, l.step`},
	{what: "expected", many: "expected counts", keys: 3, time: -1, about: func(key []string) string { return "start " + key[0] },
		query: `SELECT gateway, epoch, stream, expected FROM sequence WHERE expected IS NOT NULL ORDER BY gateway, epoch, stream`},
	{what: "link", many: "links", keys: 4, time: 2, unit: 1, about: func(key []string) string { return strings.Join([]string{"link", key[0], key[1], key[2]}, " ") },
		query: `SELECT gateway, stream, at, state, was, cause, lasted FROM link_change ORDER BY gateway, stream, at, state`},
	{what: "counter", many: "counter changes", keys: 6, time: 4, unit: 1, about: func(key []string) string { return "counter " + key[0] + " " + key[1] + " " + key[4] },
		query: `SELECT gateway, device, name, unit, at, kind, asset, value_after, before_at, value_before, modulus
			FROM counter_change ORDER BY gateway, device, name, unit, at, kind`},
	{what: "disturbance", many: "disturbances", keys: 5, time: 2, unit: 1, about: func(key []string) string { return "disturbance " + key[0] + " " + key[1] + " " + key[2] },
		query: `SELECT gateway, device, at, kind, phase, asset, since, number FROM disturbance ORDER BY gateway, device, at, kind, phase`},
	{what: "update", many: "updates", keys: 3, time: 2, unit: 1, about: func(key []string) string { return "update " + key[0] + " " + key[1] },
		query: `SELECT gateway, version, at, origin, epoch, CASE WHEN confirmed THEN 'true' ELSE 'false' END AS confirmed, cause FROM gateway_update ORDER BY gateway, version, at`},
	{what: "control", many: "control steps", keys: 3, time: 3, unit: 1, about: func(key []string) string { return "control " + key[0] + " " + key[1] + " " + key[2] },
		query: `SELECT gateway, epoch, seq, at, attempt, action, device, signal, asset, unit, origin, actor, requested, old, read_back, outcome, cause, detail
			FROM control_step ORDER BY gateway, epoch, seq`},
}

func aboutAlarm(key []string) string { return "alarm " + key[0] }

// row is one row of a query. Its columns are int64, string and what shows as text.
type row []any

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

func (r row) texts() []string {
	out := make([]string, len(r))
	for i, v := range r {
		out[i] = text(v)
	}
	return out
}

// compareKeys orders rows as both engines do: numbers by value, texts by their bytes.
func compareKeys(a, b row) int {
	for i := range a {
		x, numeric := a[i].(int64)
		y, too := b[i].(int64)
		c := cmp.Compare(x, y)
		if !numeric || !too {
			c = cmp.Compare(text(a[i]), text(b[i]))
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// cursor reads the rows of a query one after the other.
type cursor struct {
	rows  *sql.Rows
	names []string
	row   row // nil at the end
}

func openCursor(t *store.Tx, query string) (*cursor, error) {
	rows, err := t.Query(query)
	if err != nil {
		return nil, err
	}
	c := &cursor{rows: rows}
	if c.names, err = rows.Columns(); err == nil {
		err = c.next()
	}
	if err != nil {
		rows.Close()
		return nil, err
	}
	return c, nil
}

func (c *cursor) next() error {
	if !c.rows.Next() {
		c.row = nil
		return c.rows.Err()
	}
	values := make(row, len(c.names))
	dest := make([]any, len(values))
	for i := range values {
		dest[i] = &values[i]
	}
	if err := c.rows.Scan(dest...); err != nil {
		return err
	}
	for i, v := range values {
		if b, ok := v.([]byte); ok {
			values[i] = bytes.Clone(b)
		}
	}
	c.row = values
	return nil
}

// merge calls each with the rows of both stores that have the same key, in order; one of
// them is nil if the other store alone has it.
func merge(live, shadow *store.Tx, k kept, each func(names []string, live, shadow row) error) error {
	a, err := openCursor(live, k.query)
	if err != nil {
		return err
	}
	defer a.rows.Close()
	b, err := openCursor(shadow, k.query)
	if err != nil {
		return err
	}
	defer b.rows.Close()
	for a.row != nil || b.row != nil {
		c := 0
		switch {
		case a.row == nil:
			c = 1
		case b.row == nil:
			c = -1
		default:
			c = compareKeys(a.row[:k.keys], b.row[:k.keys])
		}
		var x, y row
		if c <= 0 {
			x = a.row
		}
		if c >= 0 {
			y = b.row
		}
		if err := each(a.names, x, y); err != nil {
			return err
		}
		if c <= 0 {
			err = a.next()
		}
		if c >= 0 && err == nil {
			err = b.next()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
