package alarm

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Transition is one transition of any alarm.
type Transition struct {
	Entry
	Alarm    string             `json:"alarm"`
	Gateway  string             `json:"gateway"`
	Rule     string             `json:"rule"`
	Asset    string             `json:"asset"`
	Device   string             `json:"device"`
	Priority telemetry.Priority `json:"priority" enum:"low,medium,high,critical"`
	Summary  string             `json:"summary"`
}

// Journal is the transitions of the alarms of a gateway, or of all if it is empty,
// newest first. The place of one is its Seq.
func Journal(ctx context.Context, s *store.Store, gateway string, page store.Page[int64]) (list []Transition, err error) {
	var of store.Conditions
	if gateway != "" {
		of.And(`a.gateway = ?`, gateway)
	}
	if page.After != nil {
		of.And(`e.fact < ?`, *page.After)
	}
	err = s.Ask(ctx, func(t *store.Tx) error {
		of.And(Seen(t))
		list, err = transitions(t, of.Where(), append(of.Args, page.Limit)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: journal: %w", err)
	}
	return list, nil
}

func transitions(t *store.Tx, where string, args ...any) ([]Transition, error) {
	list := []Transition{}
	err := t.Each(func(r *sql.Rows) error {
		var e Transition
		err := r.Scan(&e.Seq, &e.At, &e.Action, &e.By, &e.Comment, &e.Alarm, &e.Gateway, &e.Rule, &e.Asset, &e.Device, &e.Priority, &e.Summary)
		list = append(list, e)
		return err
	}, `SELECT e.fact, e.at, e.action, e.actor, e.comment, e.alarm, a.gateway, a.rule, a.asset, a.device, a.priority, a.summary
		FROM alarm_event e JOIN alarm a ON a.id = e.alarm `+where+` ORDER BY e.fact DESC LIMIT ?`, args...)
	return list, err
}
