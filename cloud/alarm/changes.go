package alarm

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Updated is that an alarm has another summary, or a capture now. It is no transition.
const Updated Action = "updated"

// Actions are all that can happen to an alarm.
var Actions = []Action{Raised, Cleared, Acknowledged, Updated, Shelved, Unshelved, OutOfService, InService, Suppressed, Unsuppressed}

// Told is one change of an alarm, as it stands in the stream of facts.
type Told struct {
	Entry
	Alarm     Alarm            // after it
	Told      telemetry.Micros // when the log had it
	Announced bool             // it is one by which the alarm asks for attention
}

// Changes lists at most limit changes of alarms after the number after, oldest first.
func Changes(ctx context.Context, s *store.Store, after int64, limit int) ([]Told, error) {
	var list []Told
	err := s.Read(ctx, func(t *store.Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var told Told
			var data string
			if err := r.Scan(&told.Seq, &told.At, &data, &told.Action, &told.By, &told.Comment, &told.Told, &told.Announced); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(data), &told.Alarm); err != nil {
				return fmt.Errorf("fact %d: %w", told.Seq, err)
			}
			told.Alarm.Kind = kindOf(told.Alarm.ID, told.Alarm.Rule)
			list = append(list, told)
			return nil
		}, `SELECT f.seq, COALESCE(e.at, f.at), f.data, COALESCE(e.action, ?), COALESCE(e.actor, 'cloud'), COALESCE(e.comment, ''),
			COALESCE(e.told, f.at), COALESCE(e.announced, FALSE)
			FROM fact f LEFT JOIN alarm_event e ON e.fact = f.seq WHERE f.seq > ? AND f.kind = ? ORDER BY f.seq LIMIT ?`,
			string(Updated), after, FactKind, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: list changes after %d: %w", after, err)
	}
	return list, nil
}
