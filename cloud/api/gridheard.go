package api

import (
	"context"
	"net/http"
	"sync"

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

// pointOrder keeps the service points of the map in its order, as somebody sees them, while
// the network is the same one: placing all of it takes longer than to look what is heard.
type pointOrder struct {
	mu sync.Mutex
	of *network.Network
	by map[uint64][]int32
}

// mostOrders bounds them: there are as many as there are choices of zones.
const mostOrders = 16

func (o *pointOrder) get(n *network.Network, sees func(zone string) bool, whose uint64) []int32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of != n || len(o.by) >= mostOrders {
		o.of, o.by = n, map[uint64][]int32{}
	}
	order, known := o.by[whose]
	if !known {
		points := n.Map(sees).Points
		order = make([]int32, len(points))
		for i, p := range points {
			order[i] = int32(p.Index)
		}
		o.by[whose] = order
	}
	return order
}

type heardAnswer struct{ Body GridHeard }

func registerGridHeard(api huma.API, o Options, current *network.Holder, order *pointOrder) {
	huma.Register(api, huma.Operation{
		OperationID: "get-grid-heard", Method: http.MethodGet, Path: "/api/v1/grid/heard",
		Summary: "Of which service points something is heard now", Tags: []string{"Network"},
		Description: "A gateway is heard that says how often it can be, and isn't silent or stopped. Who is of some zones sees their gateways only.",
		Errors:      []int{http.StatusNotFound},
	}, func(ctx context.Context, _ *struct{}) (*heardAnswer, error) {
		now, sees, whose, err := o.networkSeen(ctx, current)
		if err != nil {
			return nil, o.noNetwork(ctx, "look which service points are heard of", err)
		}
		measured, err := o.Store.Measured(ctx)
		if err != nil {
			return nil, o.fault(ctx, "look which service points are heard of", err)
		}
		return &heardAnswer{gridHeardOf(now, order.get(now, sees, whose), measured)}, nil
	})
}

func gridHeardOf(n *network.Network, points []int32, measured map[string]bool) GridHeard {
	out := GridHeard{Version: n.Version, AsOf: n.AsOf}
	letters := make([]byte, len(points))
	for i, p := range points {
		heard, known := measured[n.PointAsset(int(p)).ID]
		if t := n.TransformerOf(int(p)); t != grid.None && !heard {
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
