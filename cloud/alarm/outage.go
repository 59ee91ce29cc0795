package alarm

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// OutageRule is the rule of the alarms about outages, of which each has one.
const OutageRule = "outage"

// outageID begins their ids, which no gateway may use.
const outageID = "outage-"

// OfOutage is what the alarm of an outage says.
type OfOutage struct {
	ID       string // of the outage
	Zone     string
	Asset    string
	Priority telemetry.Priority
	Summary  string
	Began    telemetry.Micros
	At       telemetry.Micros // when it is said
}

// IDOfOutage is the id of the alarm of an outage.
func IDOfOutage(outage string) string { return outageID + outage }

// RaiseOutage raises the alarm of an outage, again if it has cleared, or keeps what it says
// now, in the transaction of what the outage has become.
func RaiseOutage(t *store.Tx, o OfOutage) error {
	id := IDOfOutage(o.ID)
	a, err := find(t, id)
	if err != nil {
		return err
	}
	if a.ID == "" || !a.Active {
		if err := t.AddNoGateway(); err != nil {
			return err
		}
		_, err := change(t, id, Change{Action: Raised, At: o.Began, Decided: max(o.At, a.Decided+1), By: "cloud", Zone: o.Zone,
			Alarm: telemetry.AlarmChange{ID: id, Rule: OutageRule, Asset: o.Asset, Priority: o.Priority, Summary: o.Summary}})
		return err
	}
	if a.Summary == o.Summary && a.Priority == o.Priority && a.Asset == o.Asset && a.Zone == o.Zone {
		return nil
	}
	a.Summary, a.Priority, a.Asset, a.Zone = o.Summary, o.Priority, o.Asset, o.Zone
	if err := save(t, a, false); err != nil {
		return err
	}
	if a, err = find(t, id); err != nil {
		return err
	}
	_, err = t.AddFact(FactKind, o.At, a)
	return err
}

// ClearOutage clears the alarm of an outage. It changes nothing of one that is cleared.
func ClearOutage(t *store.Tx, o OfOutage) error {
	id := IDOfOutage(o.ID)
	a, err := find(t, id)
	if err == nil && a.Active {
		_, err = change(t, id, Change{Action: Cleared, At: max(o.At, a.Raised), By: "cloud"})
	}
	return err
}

// FreeOutage is that the alarm of an outage stands for nothing any more. What is active of
// that is announced, or waits first, as what was just raised does: supply is back and rules
// see that in a while, or another outage stands for it.
func FreeOutage(t *store.Tx, o OfOutage, wait bool) error {
	children, err := ids(t, `SELECT id FROM alarm WHERE suppressed_by = ? AND suppressed_by <> '' AND active ORDER BY id`, IDOfOutage(o.ID))
	switch {
	case err != nil:
		return err
	case wait:
		return Suppress(t, children, HeldBy, "It waits for another outage, or for its end", o.At)
	}
	return Unsuppress(t, children, "The outage that stood for it is over", o.At)
}

// HeldBy stands in SuppressedBy of an alarm until it is clear whether an outage stands for
// it. One that is held for longer than holdFor is announced, whatever becomes of outages.
const HeldBy = "outages"

const (
	holdFor = time.Minute
	// releasedAtOnce bounds the alarms of one transaction.
	releasedAtOnce = 1000
)

// Held is an alarm that is.
type Held struct{ ID, Gateway, Device, Asset string }

// HeldAlarms lists those that are, and those that were and that were announced for want of
// an outage: one may be found later.
func HeldAlarms(t *store.Tx) (list []Held, err error) {
	args := []any{HeldBy}
	for _, rule := range slices.Sorted(maps.Keys(ofSupply)) {
		args = append(args, rule)
	}
	err = t.Each(func(r *sql.Rows) error {
		var h Held
		err := r.Scan(&h.ID, &h.Gateway, &h.Device, &h.Asset)
		list = append(list, h)
		return err
	}, `SELECT id, gateway, device, asset FROM alarm WHERE suppressed_by = ? AND suppressed_by <> ''
		UNION ALL SELECT a.id, a.gateway, a.device, a.asset FROM alarm a JOIN grid_asset g ON g.id = a.asset WHERE (a.active OR NOT a.acknowledged) AND a.active
			AND a.suppressed_by = '' AND a.rule IN `+among(len(ofSupply))+` ORDER BY 1`, args...)
	return list, err
}

// ofSupply are the rules of which an outage may be the cause.
var ofSupply = map[string]bool{"voltage-interruption": true, "interruption": true, "sustained-interruption": true, "reliability-interruption": true,
	"reliability-sustained": true, "phase-loss": true, "phase-loss-upstream": true, "supply-suspect": true, "supply-unknown": true, "supply-lost": true,
	"gateway-mains-lost": true, "gateway-supply-lost": true, "gateway-supply-suspect": true, "gateway-silent": true,
	"breaker-tripped": true, "breaker-open": true, "breaker-lockout": true}

// hold is whether an alarm that is raised waits for whether an outage stands for it: one of
// a rule about supply, of an asset that the network has.
func hold(t *store.Tx, a Alarm) (bool, error) {
	if !ofSupply[a.Rule] || a.SuppressedBy != "" {
		return false, nil
	}
	var known int
	if err := t.QueryRow(`SELECT COUNT(*) FROM grid_asset WHERE id = ?`, []any{a.Asset}, &known); err != nil || known == 0 {
		return false, err
	}
	_, err := t.Exec(`UPDATE alarm SET suppressed_by = ? WHERE id = ?`, HeldBy, a.ID)
	return err == nil, err
}

// release announces what has been held for too long, and forgets that what has cleared
// meanwhile was. An alarm is held since an outage that stood for it doesn't any more, or
// else since it was raised first after it was last freed: one that comes and goes doesn't
// wait anew each time. What would be held since later than now isn't waited for: a clock has
// been put back.
func release(ctx context.Context, s *store.Store, now telemetry.Micros) error {
	const since = ` AND e.fact > COALESCE((SELECT MAX(f.fact) FROM alarm_event f WHERE f.alarm = a.id AND f.action = 'unsuppressed'), 0)`
	const due = ` FROM alarm a WHERE a.suppressed_by = ? AND a.suppressed_by <> '' AND
		COALESCE((SELECT MAX(e.told) FROM alarm_event e WHERE e.alarm = a.id AND e.action = 'suppressed'` + since + `),
			(SELECT MIN(e.told) FROM alarm_event e WHERE e.alarm = a.id AND e.action = 'raised'` + since + `), 0) NOT BETWEEN ? AND ?`
	args := []any{HeldBy, int64(now) - holdFor.Microseconds() + 1, int64(now)}
	for {
		var list []string
		err := s.Read(ctx, func(t *store.Tx) (err error) {
			list, err = ids(t, `SELECT a.id`+due+` ORDER BY a.id LIMIT ?`, append(args, releasedAtOnce)...)
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		err = s.Write(ctx, func(t *store.Tx) error {
			// An outage may have come to stand for some of them since.
			list, err := ids(t, `SELECT a.id`+due+` ORDER BY a.id LIMIT ?`, append(args, releasedAtOnce)...)
			if err != nil {
				return err
			}
			return Unsuppress(t, list, "No outage was found that stands for it", now)
		})
		if err != nil || len(list) < releasedAtOnce {
			return err
		}
	}
}

func ids(t *store.Tx, query string, args ...any) (list []string, err error) {
	err = t.Each(func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		list = append(list, id)
		return err
	}, query, args...)
	return list, err
}

// StoodFor lists the alarms that another one stands for, those raised last first, at most
// so many.
func StoodFor(ctx context.Context, s *store.Store, by string, most int) (list []Alarm, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		list, err = readBrief(t, selectAlarm+`WHERE a.suppressed_by = ? AND a.suppressed_by <> '' AND `+Seen(t)+` ORDER BY a.raised DESC, a.id DESC LIMIT ?`, by, most)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: list those that %s stands for: %w", by, err)
	}
	return list, nil
}

// Seen is the condition, in SQL, that the transaction's context shows an alarm a: by its
// gateway, or by its zone if it has none.
func Seen(t *store.Tx) string {
	return `(` + t.Seen("a.gateway") + ` OR a.gateway = '' AND a.zone <> '' AND ` + t.SeenAsset("a.zone") + `)`
}
