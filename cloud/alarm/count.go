package alarm

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// OpenState is one of the states that an open alarm can be in (ISA-18.2).
type OpenState string

const (
	Unacknowledged         OpenState = "unacknowledged"
	ActiveAcknowledged     OpenState = "acknowledged"
	ReturnedUnacknowledged OpenState = "returned" // to normal, and nobody has taken note of it
)

// OpenCount is how many alarms of one priority are in one state.
type OpenCount struct {
	Priority telemetry.Priority
	State    OpenState
	Alarms   int
}

// CountOpen counts the open alarms, for each priority and state.
func CountOpen(ctx context.Context, s *store.Store) ([]OpenCount, error) {
	type key struct {
		priority             telemetry.Priority
		active, acknowledged bool
	}
	counts := map[key]int{}
	err := s.Ask(ctx, func(t *store.Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var k key
			var n int
			err := r.Scan(&k.priority, &k.active, &k.acknowledged, &n)
			counts[k] = n
			return err
		}, `SELECT priority, active, acknowledged, COUNT(*) FROM alarm WHERE active OR NOT acknowledged GROUP BY priority, active, acknowledged`)
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: count the open ones: %w", err)
	}
	var list []OpenCount
	for _, p := range []telemetry.Priority{telemetry.Critical, telemetry.High, telemetry.Medium, telemetry.Low} {
		list = append(list,
			OpenCount{p, Unacknowledged, counts[key{p, true, false}]},
			OpenCount{p, ActiveAcknowledged, counts[key{p, true, true}]},
			OpenCount{p, ReturnedUnacknowledged, counts[key{p, false, false}]})
	}
	return list, nil
}
