package alarm

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Alert is what another system says of one of its conditions.
type Alert struct {
	Fingerprint string // of the condition, the same each time
	Rule        string
	Asset       string
	Device      string
	Priority    telemetry.Priority
	Summary     string
	Began       telemetry.Micros
	Ended       telemetry.Micros // 0: it goes on
}

// TakeAlerts makes alerts of the system called by what they are among the alarms, in one
// transaction. Of a condition there is one active alarm at most, whoever tells of it, and
// however often. One that goes on after its alarm has cleared is active again; one that
// is over before anything was known of it is kept as cleared.
func TakeAlerts(ctx context.Context, s *store.Store, by string, alerts []Alert, now telemetry.Micros) error {
	err := s.Write(ctx, func(t *store.Tx) error {
		if err := t.AddNoGateway(); err != nil {
			return err
		}
		for _, a := range alerts {
			if err := takeAlert(t, by, a, now); err != nil {
				return fmt.Errorf("%s: %w", a.Rule, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("alarm: take alerts of %s: %w", by, err)
	}
	return nil
}

func takeAlert(t *store.Tx, by string, a Alert, now telemetry.Micros) error {
	sum := sha256.Sum256([]byte(by + "\x00" + a.Fingerprint))
	of := fmt.Sprintf("%s%x-", externalID, sum[:8])
	var active string
	var raised telemetry.Micros
	// By the ids that begin so: many alarms may be open.
	err := t.QueryRow(`SELECT id, raised FROM alarm WHERE id >= ? AND id < ? AND active LIMIT 1`, []any{of + "0", of + "g"}, &active, &raised)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	id := fmt.Sprintf("%s%x", of, uint64(a.Began))
	c := Change{Action: Raised, At: a.Began, Decided: max(now, 1), By: by, Alarm: telemetry.AlarmChange{
		ID: id, Rule: a.Rule, Asset: a.Asset, Device: a.Device, Priority: a.Priority, Summary: a.Summary}}
	if a.Ended == 0 {
		if active != "" {
			return nil
		}
		_, err := change(t, id, c)
		return err
	}
	if active != "" && a.Ended >= raised {
		id = active
	} else if active != "" {
		return nil // an earlier one is over
	} else if known, err := find(t, id); err != nil || known.ID != "" {
		return err
	} else if _, err := change(t, id, c); err != nil {
		return err
	}
	c.Action, c.At, c.Alarm.ID = Cleared, max(a.Ended, a.Began), id
	_, err = change(t, id, c)
	return err
}
