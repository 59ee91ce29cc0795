package history

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/public"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Picture is what the public is told: an area is a zone of the network that has service
// points, in which outages would be known while every gateway is heard that measures
// anything in it. at is how new the evidence is.
func Picture(ctx context.Context, s *store.Store, at telemetry.Micros) (public.Picture, error) {
	p := public.Picture{At: at}
	err := s.Read(ctx, func(t *store.Tx) error {
		err := t.Each(func(r *sql.Rows) error {
			var a public.Area
			var heard, unheard int64
			if err := r.Scan(&a.ID, &a.Name, &heard, &unheard); err != nil {
				return err
			}
			a.Known = heard > 0 && unheard == 0
			p.Areas = append(p.Areas, a)
			return nil
		}, `SELECT z.zone, COALESCE(MAX(NULLIF(g.name, '')), z.zone), COALESCE(SUM(CASE WHEN `+store.IsHeard+` THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN z.gateway IS NULL OR `+store.IsHeard+` THEN 0 ELSE 1 END), 0)
			FROM (SELECT a.zone AS zone, m.gateway AS gateway FROM (SELECT DISTINCT zone FROM grid_asset WHERE kind = 'service_point') a
				LEFT JOIN (SELECT DISTINCT g.zone, s.gateway FROM series s JOIN grid_asset g ON g.id = s.asset) m ON m.zone = a.zone) z
			LEFT JOIN presence h ON h.gateway = z.gateway LEFT JOIN grid_asset g ON g.id = z.zone AND g.kind = 'zone' GROUP BY z.zone ORDER BY z.zone`)
		if err != nil {
			return err
		}
		open, err := outages(t, `o.over = 0`)
		if err != nil {
			return err
		}
		parts := map[string][]public.Part{}
		err = t.Each(func(r *sql.Rows) error {
			var outage string
			var part public.Part
			err := r.Scan(&outage, &part.Area, &part.Customers)
			parts[outage] = append(parts[outage], part)
			return err
		}, `SELECT p.outage, COALESCE(g.zone, ''), SUM(p.customers) FROM outage_point p JOIN outage o ON o.id = p.outage LEFT JOIN grid_asset g ON g.id = p.point
			WHERE o.over = 0 AND p.until = 0 GROUP BY p.outage, COALESCE(g.zone, '') ORDER BY 1, 2`)
		if err != nil {
			return err
		}
		for id, o := range open {
			if counts(o) && o.State.Out() && len(parts[id]) > 0 {
				p.Outages = append(p.Outages, told(o, parts[id]))
			}
		}
		return nil
	})
	if err != nil {
		return public.Picture{}, fmt.Errorf("what the public is told: %w", err)
	}
	slices.SortFunc(p.Outages, func(a, b public.Outage) int { return int(a.Since - b.Since) })
	return p, nil
}

func told(o desk.Outage, parts []public.Part) public.Outage {
	out := public.Outage{ID: o.ID, Planned: o.Class == "planned", Confirmed: o.State != lifecycle.Probable, Since: o.Began, Cause: publicCause[o.Cause], Areas: parts}
	if out.Since == 0 {
		out.Since = o.Found
	}
	if o.Expected != nil {
		out.P50, out.P80 = o.Expected.P50, o.Expected.P80
		if out.Planned {
			out.Until = o.Expected.P80
		}
	}
	switch o.State {
	case lifecycle.Assigned:
		out.Crew = public.Assigned
	case lifecycle.EnRoute:
		out.Crew = public.EnRoute
	case lifecycle.OnSite, lifecycle.Repaired:
		out.Crew = public.OnSite
	}
	return out
}

// publicCause is what the public is told of causes by code. Those that speak of somebody's
// fault aren't told.
var publicCause = map[string]public.Cause{
	"weather-wind": public.Weather, "weather-lightning": public.Weather, "weather-ice": public.Weather, "weather-flood": public.Weather,
	"tree": public.Tree, "animal": public.Animal, "third-party-dig": public.ByOthers, "third-party-vehicle": public.ByOthers, "third-party-other": public.ByOthers,
	"equipment": public.Equipment, "overload": public.Equipment, "planned": public.Work, "upstream": public.Upstream,
}
