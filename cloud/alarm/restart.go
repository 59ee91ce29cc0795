package alarm

import (
	"database/sql"
	"slices"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// What the history says of an alarm that a restart of its gateway ended, or made
// active again.
const (
	forgottenRaise = "The gateway has started without this alarm: a kill, or the loss of its buffer, made it forget that it was active"
	forgottenClear = "The gateway has started with this alarm active: a kill made it forget that it had cleared"
)

// reconcile makes the alarms of a gateway that starts what the gateway knows of
// them. It sends events before they are on its disk, so that a process that is killed
// in between has told of transitions that the next one doesn't know, and will never
// take back. What of them comes after the start is of no effect, see apply; and no
// alarm of this process has come yet.
func reconcile(t *store.Tx, e event) error {
	var active []string
	err := t.Each(func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		if !ofFleet(id) {
			active = append(active, id)
		}
		return err
	}, `SELECT id FROM alarm WHERE (active OR NOT acknowledged) AND active AND gateway = ? AND rule <> ? ORDER BY id`, e.record.Gateway, RefusedRule)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, id := range e.Lifecycle.ActiveAlarms {
		known[id] = true
	}
	for _, id := range active {
		if known[id] {
			continue
		}
		a, err := find(t, id)
		if err != nil {
			return err
		}
		c := Change{Action: Cleared, At: max(e.Time, a.Raised), Gateway: e.record.Gateway, By: "cloud", Comment: forgottenRaise}
		if _, err := change(t, id, c); err != nil {
			return err
		}
	}
	for _, id := range e.Lifecycle.ActiveAlarms {
		if slices.Contains(active, id) || !alarmID.MatchString(id) {
			continue
		}
		a, err := find(t, id)
		if err != nil {
			return err
		}
		if a.Gateway != e.record.Gateway || a.Decided == 0 || a.Active || !a.OfItsGateway() || staysOpen(a.Rule) {
			continue // nothing is known of its raise, or it isn't of the gateway's rules
		}
		c := Change{Action: Raised, At: max(e.Time, *a.Cleared), Decided: max(e.Decided, 1), Gateway: e.record.Gateway, By: "cloud", Comment: forgottenClear,
			Alarm: telemetry.AlarmChange{ID: id}}
		if _, err := change(t, id, c); err != nil {
			return err
		}
	}
	return nil
}
