package history

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/etr"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// By is what estimates are divided by.
type By string

const (
	ByNothing By = "nothing"
	ByAuthor  By = "author" // cloud, or people
	ByDevice  By = "device" // the kind of what opened
	ByCause   By = "cause"
)

// EstimateGroup is how right the estimates of a group were.
type EstimateGroup struct {
	Group string // "": all of them
	etr.Record
}

// EstimateRecord is how right those estimates were that were given from an instant on: of
// all, and of groups by name. Outages that were dismissed or are part of another one tell nothing.
func EstimateRecord(ctx context.Context, s *store.Store, from, now telemetry.Micros, by By) (list []EstimateGroup, err error) {
	groups := map[string][]etr.Said{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var data, author string
			var at, p50, p80 telemetry.Micros
			if err := r.Scan(&data, &at, &p50, &p80, &author); err != nil {
				return err
			}
			var o desk.Outage
			if err := json.Unmarshal([]byte(data), &o); err != nil {
				return err
			}
			said := etr.Said{Age: at.Sub(o.Began), P50: p50.Sub(o.Began), P80: p80.Sub(o.Began), Since: now.Sub(o.Began), Open: o.Restored == nil}
			end := now
			if o.Restored != nil {
				end = *o.Restored
			}
			said.Lasted = max(0, end.Sub(o.Began))
			groups[""] = append(groups[""], said)
			group := ""
			switch by {
			case ByAuthor:
				if group = "people"; author == "cloud" {
					group = author
				}
			case ByDevice:
				group = cmp.Or(o.DeviceKind, "unknown")
			case ByCause:
				group = cmp.Or(o.Cause, "unknown")
			}
			if group != "" {
				groups[group] = append(groups[group], said)
			}
			return nil
		}, `SELECT o.data, e.at, e.p50, e.p80, e.actor FROM outage_estimate e JOIN outage o ON o.id = e.outage
			WHERE e.at >= ? AND o.state NOT IN ('dismissed', 'merged') AND `+t.SeenAsset("o.zone"), int64(from))
	})
	if err != nil {
		return nil, fmt.Errorf("record of estimates: %w", err)
	}
	if len(groups) == 0 {
		groups[""] = nil
	}
	for group, said := range groups {
		list = append(list, EstimateGroup{group, etr.RecordOf(said)})
	}
	slices.SortFunc(list, func(a, b EstimateGroup) int { return cmp.Compare(a.Group, b.Group) })
	return list, nil
}
