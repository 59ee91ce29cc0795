// Package history reads from the store what has become of outages, as those need it who
// count them, estimate from them, or tell the public.
package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/reliability"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// outages reads those that a condition is true of, by id.
func outages(t *store.Tx, where string, args ...any) (map[string]desk.Outage, error) {
	list := map[string]desk.Outage{}
	err := t.Each(func(r *sql.Rows) error {
		var id, data string
		if err := r.Scan(&id, &data); err != nil {
			return err
		}
		var o desk.Outage
		if err := json.Unmarshal([]byte(data), &o); err != nil {
			return fmt.Errorf("outage %s: %w", id, err)
		}
		list[id] = o
		return nil
	}, `SELECT o.id, o.data FROM outage o WHERE o.data <> '' AND `+where, args...)
	return list, err
}

// counts says whether customers were without supply in an outage, as far as is known.
func counts(o desk.Outage) bool {
	return o.State != lifecycle.Dismissed && o.State != lifecycle.Suspected && o.Class != "phase-loss"
}

// Interruptions are what reliability indices are computed from: which service points were
// without supply in outages that began at or after from, 0 being all, and the customers
// whom the network in use has. What an outage says of its cause and device is of all its
// service points; area, feeder and substation are those of each in that network in normal operation. Where the
// context is limited to zones, it is of these.
func Interruptions(ctx context.Context, s *store.Store, from, now telemetry.Micros) (reliability.Input, error) {
	in := reliability.Input{Now: now}
	type group struct {
		outage, zone, substation, feeder string
		since, until                     telemetry.Micros
	}
	err := s.Ask(ctx, func(t *store.Tx) error {
		all, err := outages(t, `TRUE`)
		if err != nil {
			return err
		}
		loads, err := loads(t)
		if err != nil {
			return err
		}
		seen := t.SeenAsset(`COALESCE(g.zone, '')`)
		var last group
		err = t.Each(func(r *sql.Rows) error {
			var of group
			var p reliability.Point
			var transformer string
			if err := r.Scan(&of.outage, &p.ID, &p.Customers, &of.since, &of.until, &of.zone, &of.substation, &of.feeder, &transformer); err != nil {
				return err
			}
			p.Load = p.Customers * loads[transformer]
			o, found := all[of.outage]
			if !found || !counts(o) {
				return nil
			}
			if of != last || len(in.Steps) == 0 {
				last = of
				in.Steps = append(in.Steps, reliability.Step{Interruption: of.outage, Area: of.zone, Substation: of.substation, Feeder: of.feeder, Device: o.Device,
					Component: o.Failure, Cause: o.Cause, Planned: o.Class == "planned" || o.Plan != "", Start: of.since, End: of.until})
			}
			step := &in.Steps[len(in.Steps)-1]
			step.Points = append(step.Points, p)
			return nil
		}, `SELECT p.outage, p.point, p.customers, p.since, p.until, COALESCE(g.zone, ''), COALESCE(f.substation, ''), COALESCE(g.feeder, ''), COALESCE(g.transformer, '')
			FROM (SELECT outage, point, customers, since, until FROM outage_point UNION ALL SELECT outage, point, customers, since, until FROM outage_earlier) p
			LEFT JOIN grid_asset g ON g.id = p.point LEFT JOIN grid_asset f ON f.id = g.feeder AND f.kind = 'feeder' WHERE p.since >= ? AND `+seen+`
			ORDER BY p.outage, 6, 7, 8, p.since, p.until, p.point`, int64(from))
		if err != nil {
			return err
		}
		return t.Each(func(r *sql.Rows) error {
			var one reliability.Served
			var transformer string
			if err := r.Scan(&one.Area, &one.Feeder, &transformer, &one.Customers); err != nil {
				return err
			}
			one.Load = one.Customers * loads[transformer]
			if n := len(in.Served); n > 0 && in.Served[n-1].Area == one.Area && in.Served[n-1].Feeder == one.Feeder {
				in.Served[n-1].Customers += one.Customers
				in.Served[n-1].Load += one.Load
				return nil
			}
			in.Served = append(in.Served, one)
			return nil
		}, `SELECT g.zone, g.feeder, g.transformer, SUM(g.customers) FROM grid_asset g WHERE g.kind = 'service_point' AND `+t.SeenAsset("g.zone")+` GROUP BY g.zone, g.feeder, g.transformer ORDER BY 1, 2, 3`)
	})
	if err != nil {
		return reliability.Input{}, fmt.Errorf("interruptions: %w", err)
	}
	return in, nil
}

// loads is how much load, in kVA, a customer of each transformer has: its rated power,
// divided among them all. What supplies other transformers isn't what its customers were
// connected for, and has none.
func loads(t *store.Tx) (map[string]float64, error) {
	list := map[string]float64{}
	err := t.Each(func(r *sql.Rows) error {
		var id string
		var power, customers float64
		err := r.Scan(&id, &power, &customers)
		if customers > 0 {
			list[id] = power / 1000 / customers
		}
		return err
	}, `SELECT x.id, x.rated_power, SUM(g.customers) FROM grid_asset x JOIN grid_asset g ON g.transformer = x.id AND g.kind = 'service_point'
		WHERE x.kind = 'transformer' AND x.rated_power > 0 AND x.id NOT IN (SELECT transformer FROM grid_asset WHERE kind = 'transformer')
		GROUP BY x.id, x.rated_power`)
	return list, err
}
