package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/telemetry"
)

// GridOut is which service points are without supply.
type GridOut struct {
	Version int64            `json:"version" doc:"Of the map that it goes with, as as_of_us"`
	AsOf    telemetry.Micros `json:"as_of_us"`
	Points  string           `json:"points" doc:"A letter for each service point of the map, in its order: o, without supply in an outage that is confirmed; m, maybe, in one that isn't yet; -, neither"`
	Out     int              `json:"out" doc:"How many o"`
	Maybe   int              `json:"maybe" doc:"How many m"`
}

type gridOutAnswer struct{ Body GridOut }

// Feeding is whether what could supply a feeder has supply itself.
type Feeding struct {
	Feeder string         `json:"feeder"`
	Source network.Supply `json:"source" enum:"live,unknown,dead" doc:"Of the uppermost node, by what is above it"`
	Dead   []int          `json:"dead" doc:"Of the nodes, from 0, those that are measured to be without voltage, or whose service points all are without supply in an outage whose device is closed again"`
	Ties   []FeedingTie   `json:"ties" doc:"That lead out of the drawing"`
}

// FeedingTie is what is beyond a tie.
type FeedingTie struct {
	ID     string         `json:"id"`
	Supply network.Supply `json:"supply" enum:"live,unknown,dead"`
}

type feedingAnswer struct{ Body Feeding }

func registerGridSupply(api huma.API, o Options, current *network.Holder, order *pointOrder) {
	huma.Register(api, huma.Operation{
		OperationID: "get-grid-out", Method: http.MethodGet, Path: "/api/v1/grid/out",
		Summary: "Which service points are without supply now", Tags: []string{"Network"},
		Description: "In outages that go on, also those whose device is of a zone that isn't seen.",
		Errors:      []int{http.StatusNotFound},
	}, func(ctx context.Context, _ *struct{}) (*gridOutAnswer, error) {
		now, sees, whose, err := o.networkSeen(ctx, current)
		if err != nil {
			return nil, o.noNetwork(ctx, "look which service points are out", err)
		}
		sure, err := desk.Out(ctx, o.Store)
		if err != nil {
			return nil, o.fault(ctx, "look which service points are out", err)
		}
		return &gridOutAnswer{gridOutOf(now, order.get(now, sees, whose), sure)}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "get-one-line-feeding", Method: http.MethodGet, Path: "/api/v1/assets/{id}/one-line/feeding",
		Summary: "Whether what could supply a feeder has supply itself", Tags: []string{"Network"},
		Description: "As the network is operated, by measured and entered positions, outages, and the voltages that are measured at sources and busbars. " +
			"dead: there is none, of what is confirmed; unknown: there may be none, by an outage that isn't confirmed, or as a position, or a source's voltage, isn't known. " +
			"A source at which nothing is measured counts as live.",
		Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, q *assetID) (*feedingAnswer, error) {
		now, sees, _, err := o.networkSeen(ctx, current)
		if err != nil {
			return nil, o.noNetwork(ctx, "look what supplies the feeder", err)
		}
		d := now.OneLine(q.ID, sees)
		if d == nil {
			return nil, huma.Error404NotFound("there is no feeder of that id, nor one that supplies that asset")
		}
		out, err := o.feedingOf(ctx, now, d)
		if err != nil {
			return nil, o.fault(ctx, "look what supplies the feeder", err)
		}
		return &feedingAnswer{out}, nil
	})
}

func gridOutOf(n *network.Network, points []int32, sure map[string]bool) GridOut {
	out := GridOut{Version: n.Version, AsOf: n.AsOf}
	letters := make([]byte, len(points))
	for i, p := range points {
		switch is, named := sure[n.PointAsset(int(p)).ID]; {
		case is:
			letters[i] = 'o'
			out.Out++
		case named:
			letters[i] = 'm'
			out.Maybe++
		default:
			letters[i] = '-'
		}
	}
	out.Points = string(letters)
	return out
}

func (o Options) feedingOf(ctx context.Context, n *network.Network, d *network.OneLine) (out Feeding, err error) {
	out = Feeding{Feeder: d.Feeder, Dead: []int{}, Ties: []FeedingTie{}}
	var busbars []int
	for _, v := range d.Nodes {
		if v.Busbar && !v.Counted {
			busbars = append(busbars, v.Node)
		}
	}
	is, err := desk.Operation(ctx, o.Store, n, busbars)
	if err != nil {
		return out, err
	}
	supplied := n.Supplied(is, n.Apart(d))
	out.Source = supplied[d.Nodes[0].Node]
	for at, v := range d.Nodes {
		if is.Nodes[v.Node] == network.Dead {
			out.Dead = append(out.Dead, at)
		}
	}
	for _, tie := range d.Ties {
		if tie.Within < 0 {
			out.Ties = append(out.Ties, FeedingTie{tie.ID, supplied[tie.Beyond]})
		}
	}
	return out, nil
}
