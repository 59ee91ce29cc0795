package alarm

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Annunciation is a transition by which an alarm asked for attention: it was raised, or
// what kept it quiet has ended.
type Annunciation struct {
	Told     telemetry.Micros // when the log had it
	Action   Action
	Alarm    string
	Gateway  string
	Zone     string
	Rule     string
	Asset    string
	Device   string
	Priority telemetry.Priority
	Summary  string
	Raised   telemetry.Micros
	Cleared  *telemetry.Micros // nil: it goes on
}

// zone is that of an alarm, in SQL: its gateway's, or its own if it has none.
const zone = `CASE WHEN a.gateway = '' THEN a.zone ELSE g.zone END`

// Annunciations lists those of a span of time, the newest most of them, oldest first.
func Annunciations(ctx context.Context, s *store.Store, from, to telemetry.Micros, most int) (list []Annunciation, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var a Annunciation
			err := r.Scan(&a.Told, &a.Action, &a.Alarm, &a.Gateway, &a.Zone, &a.Rule, &a.Asset, &a.Device, &a.Priority, &a.Summary, &a.Raised, &a.Cleared)
			list = append(list, a)
			return err
		}, `SELECT e.told, e.action, a.id, a.gateway, `+zone+`, a.rule, a.asset, a.device, a.priority, a.summary, a.raised, a.cleared
			FROM alarm_event e JOIN alarm a ON a.id = e.alarm JOIN gateway g ON g.id = a.gateway
			WHERE e.announced AND e.told >= ? AND e.told < ? AND `+Seen(t)+` ORDER BY e.told DESC, e.fact DESC LIMIT ?`, int64(from), int64(to), most)
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: list annunciations: %w", err)
	}
	slices.Reverse(list)
	return list, nil
}

// StandingAt lists alarms that were raised before an instant and are still active, or
// weren't over at another one, the oldest first, at most so many: an Annunciation of each
// without when it was told. What people or another alarm keep quiet isn't among them.
func StandingAt(ctx context.Context, s *store.Store, raised, at telemetry.Micros, most int) (list []Annunciation, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var a Annunciation
			err := r.Scan(&a.Alarm, &a.Gateway, &a.Zone, &a.Rule, &a.Asset, &a.Device, &a.Priority, &a.Summary, &a.Raised, &a.Cleared)
			list = append(list, a)
			return err
		}, `SELECT a.id, a.gateway, `+zone+`, a.rule, a.asset, a.device, a.priority, a.summary, a.raised, a.cleared
			FROM alarm a JOIN gateway g ON g.id = a.gateway
			WHERE a.raised < ? AND (a.active OR a.cleared > ?) AND a.handling = '' AND a.suppressed_by = '' AND `+Seen(t)+`
			ORDER BY a.raised, a.id LIMIT ?`, int64(raised), int64(at), most)
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: list what stands: %w", err)
	}
	return list, nil
}
