package alarm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Suppress says that another alarm stands for these, as that of an outage stands for those
// of its meters: they aren't announced while that lasts. It changes nothing of an alarm
// that the other one stands for already, and nothing at all if that one isn't active:
// nobody would be told of anything.
func Suppress(t *store.Tx, ids []string, by, reason string, at telemetry.Micros) error {
	if by != HeldBy {
		var stands int
		if err := t.QueryRow(`SELECT COUNT(*) FROM alarm WHERE id = ? AND active`, []any{by}, &stands); err != nil || stands == 0 {
			return err
		}
	}
	return setSuppressed(t, ids, by, Change{Action: Suppressed, At: at, By: "cloud", Comment: reason})
}

// Unsuppress ends Suppress. What is active then is announced.
func Unsuppress(t *store.Tx, ids []string, reason string, at telemetry.Micros) error {
	return setSuppressed(t, ids, "", Change{Action: Unsuppressed, At: at, By: "cloud", Comment: reason})
}

// rowsAtOnce bounds the rows of one statement: an outage stands for thousands of alarms.
const rowsAtOnce = 100

func setSuppressed(t *store.Tx, ids []string, by string, c Change) error {
	for some := range slices.Chunk(ids, rowsAtOnce) {
		if err := suppressSome(t, some, by, c); err != nil {
			return fmt.Errorf("alarms from %s to %s: %s: %w", some[0], some[len(some)-1], c.Action, err)
		}
	}
	return nil
}

func suppressSome(t *store.Tx, some []string, by string, c Change) error {
	changed, err := ids(t, `UPDATE alarm SET suppressed_by = ? WHERE suppressed_by <> ? AND id IN `+among(len(some))+` RETURNING id`, append([]any{by, by}, anyOf(some)...)...)
	if err != nil || len(changed) == 0 {
		return err
	}
	list, err := read(t, selectAlarm+`WHERE a.id IN `+among(len(changed))+` ORDER BY a.id`, anyOf(changed)...)
	if err != nil {
		return err
	}
	var told []string
	facts := make([]any, len(list))
	for i := range list {
		if a := &list[i]; a.announcedNow() {
			a.Unannounced = false
			told = append(told, a.ID)
		}
		facts[i] = list[i]
	}
	if len(told) > 0 {
		if _, err := t.Exec(`UPDATE alarm SET unannounced = FALSE WHERE id IN `+among(len(told)), anyOf(told)...); err != nil {
			return err
		}
	}
	seqs, err := t.AddFacts(FactKind, c.At, facts)
	if err != nil {
		return err
	}
	const row = `(?, ?, ?, ?, ?, ?, ?, ?)`
	args := make([]any, 0, 8*len(list))
	for i, a := range list {
		args = append(args, seqs[i], a.ID, int64(c.At), string(c.Action), c.By, c.Comment, int64(c.At), a.announcedNow())
	}
	_, err = t.Exec(`INSERT INTO alarm_event (fact, alarm, at, action, actor, comment, told, announced) VALUES `+row+strings.Repeat(`, `+row, len(list)-1), args...)
	return err
}

// announcedNow is whether an alarm whose handling or suppression has changed asks for
// attention by that.
func (a Alarm) announcedNow() bool { return a.Active && !a.Acknowledged && !a.Quiet() }

// among is the list of so many parameters, in SQL.
func among(n int) string { return `(?` + strings.Repeat(`, ?`, n-1) + `)` }

func anyOf(list []string) []any {
	args := make([]any, len(list))
	for i, v := range list {
		args[i] = v
	}
	return args
}
