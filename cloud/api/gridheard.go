package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// GridHeard is of which service points something is heard. Of the others it isn't known
// whether they have supply, unless an outage says so.
type GridHeard struct {
	Version    int64            `json:"version" doc:"Of the map that it goes with, as as_of_us"`
	AsOf       telemetry.Micros `json:"as_of_us"`
	Points     string           `json:"points" doc:"A letter for each service point of the map, in its order: h, a gateway is heard that measures it or its transformer; s, none of those that do is; u, nothing measures them"`
	Heard      int              `json:"heard" doc:"How many h"`
	Silent     int              `json:"silent" doc:"How many s"`
	Unmeasured int              `json:"unmeasured" doc:"How many u"`
}

type heardAnswer struct{ Body GridHeard }

func registerGridHeard(api huma.API, o Options, current *network.Holder) {
	huma.Register(api, huma.Operation{
		OperationID: "get-grid-heard", Method: http.MethodGet, Path: "/api/v1/grid/heard",
		Summary: "Of which service points something is heard now", Tags: []string{"Network"},
		Description: "A gateway is heard that says how often it can be, and isn't silent or stopped. Who is of some zones sees their gateways only.",
		Errors:      []int{http.StatusNotFound},
	}, func(ctx context.Context, _ *struct{}) (*heardAnswer, error) {
		now, sees, _, err := o.networkSeen(ctx, current)
		if err != nil {
			return nil, o.noNetwork(ctx, "look which service points are heard of", err)
		}
		measured, err := o.Store.Measured(ctx)
		if err != nil {
			return nil, o.fault(ctx, "look which service points are heard of", err)
		}
		return &heardAnswer{gridHeardOf(now, sees, measured)}, nil
	})
}

func gridHeardOf(n *network.Network, sees func(zone string) bool, measured map[string]bool) GridHeard {
	out := GridHeard{Version: n.Version, AsOf: n.AsOf}
	points := n.Map(sees).Points
	letters := make([]byte, len(points))
	for i, p := range points {
		heard, known := measured[n.PointAsset(p.Index).ID]
		if t := n.TransformerOf(p.Index); t != grid.None && !heard {
			by, there := measured[n.EdgeAsset(t).ID]
			heard, known = by, known || there
		}
		switch {
		case heard:
			letters[i] = 'h'
			out.Heard++
		case known:
			letters[i] = 's'
			out.Silent++
		default:
			letters[i] = 'u'
			out.Unmeasured++
		}
	}
	out.Points = string(letters)
	return out
}
