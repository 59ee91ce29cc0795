package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Gateway is a gateway and the completeness of what it sent.
type Gateway struct {
	ID         string            `json:"id"`
	Site       string            `json:"site"`
	Zone       string            `json:"zone"`
	LastRecord telemetry.Micros  `json:"last_record_us" doc:"When its newest record was written, 0 if it has sent none"`
	State      string            `json:"state" enum:"heard,silent,stopped,unknown" doc:"silent: nothing has come for three of its heartbeats. stopped: it has said so. unknown: it doesn't say how often it can be heard"`
	Silent     *telemetry.Micros `json:"silent_us" doc:"Since when it is silent; null: it isn't"`
	Every      int64             `json:"every_us" doc:"The longest time between two of its records while it can send; 0: it doesn't say"`
	Supply     *telemetry.Micros `json:"supply_failed_us" doc:"When its own supply failed, as it has said; null: it hasn't, or has said that it is back"`
	Feeder     string            `json:"feeder" doc:"That supplies it; empty: it doesn't say"`
	Uplink     string            `json:"uplink" doc:"The carrier of its way to the log; empty: it doesn't say"`
	Own        []Series          `json:"own" doc:"What it tells of itself, by name: among others ClkSt (the state of its clock), BufUse and BufLeft (its buffer, in bytes and in s that it lasts without the log), SwRev (its version)"`
	Stored     *uint64           `json:"stored,omitempty" doc:"Samples counted in the store itself, if that was asked for"`
	Totals     []Total           `json:"totals" doc:"Over all its epochs"`
	Epochs     []Epoch           `json:"epochs" doc:"The 10 begun last, those last first; all are at /api/v1/gateways/{id}/epochs"`
}

// mostEpochs bounds those that come with a gateway.
const mostEpochs = 10

// Total sums up what all runs of a gateway say they committed of a stream, and
// what the store holds. Telemetry counts samples, events counts events. Once none is
// running, expected is the sum of received, parked and lost.
type Total struct {
	Stream     string `json:"stream" enum:"telemetry,events"`
	Epochs     int    `json:"epochs"`
	Running    int    `json:"running" doc:"Of these, the ones whose end isn't known"`
	Expected   uint64 `json:"expected" doc:"Of the others"`
	Received   uint64 `json:"received"`
	Parked     uint64 `json:"parked"`
	Missing    uint64 `json:"missing"`
	Lost       uint64 `json:"lost"`
	Duplicates uint64 `json:"duplicates"`
	Conflicts  uint64 `json:"conflicts"`
}

// Epoch compares what one run of a gateway says it committed with what the
// store holds. Telemetry counts samples, events counts events. Once expected is
// known, it is the sum of received, parked and lost.
type Epoch struct {
	Epoch      string  `json:"epoch"`
	Stream     string  `json:"stream" enum:"telemetry,events"`
	Expected   *uint64 `json:"expected" doc:"null while the epoch is running"`
	Received   uint64  `json:"received" doc:"And stored"`
	Parked     uint64  `json:"parked" doc:"Received, and waiting for their signal table"`
	Missing    uint64  `json:"missing" doc:"Below the highest number received, while expected is null: may still come, unless their record was set aside"`
	Lost       uint64  `json:"lost" doc:"Declared lost, or expected and not received"`
	Duplicates uint64  `json:"duplicates" doc:"Records that came again and were filtered out"`
	Conflicts  uint64  `json:"conflicts" doc:"Records that contradicted others and were set aside"`
}

type gatewayQuery struct {
	Stored bool `query:"stored" doc:"Also count the samples in the store, which takes time in proportion to their number"`
	Paging
}

type gatewayList struct {
	Link string `header:"Link"`
	Body struct {
		Gateways []Gateway `json:"gateways" doc:"By id"`
		Next
	}
}

type epochsQuery struct {
	ID string `path:"id"`
	Paging
}

type epochList struct {
	Link string `header:"Link"`
	Body struct {
		Epochs []Epoch `json:"epochs" doc:"Those begun last come first"`
		Next
	}
}

func registerGateways(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-gateways", Method: http.MethodGet, Path: "/api/v1/gateways",
		Summary: "Gateways and the completeness of their data", Tags: []string{"Gateways"},
		Errors: noSuchPage,
	}, func(ctx context.Context, q *gatewayQuery) (*gatewayList, error) {
		page, err := pageOf[string](q.Paging, "gateways")
		if err != nil {
			return nil, err
		}
		list, err := o.Store.GatewayPage(ctx, page)
		if err != nil {
			return nil, o.fault(ctx, "list the gateways", err)
		}
		var stored map[string]uint64
		if q.Stored {
			if stored, err = o.Store.CountSamples(ctx); err != nil {
				return nil, o.fault(ctx, "count the samples", err)
			}
		}
		answer := &gatewayList{}
		list, answer.Link, answer.Body.Next = turned(q.Paging, "gateways", list, func(g store.Gateway) string { return g.ID })
		answer.Body.Gateways = make([]Gateway, len(list))
		for i, g := range list {
			out := Gateway{ID: g.ID, Site: g.Site, Zone: g.Zone, LastRecord: g.LastRecord, Totals: totalsOf(g), State: stateOf(g.Presence), Silent: known(g.Presence.Silent),
				Every: g.Presence.Every, Supply: known(g.Presence.LastGasp), Feeder: g.Presence.Feeder, Uplink: g.Presence.Uplink, Own: make([]Series, len(g.Own))}
			for j, s := range g.Own {
				out.Own[j] = seriesOf(s)
			}
			if q.Stored {
				n := stored[g.ID]
				out.Stored = &n
			}
			out.Epochs = epochsOf(g.Sequences[:min(len(g.Sequences), mostEpochs)])
			answer.Body.Gateways[i] = out
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-epochs", Method: http.MethodGet, Path: "/api/v1/gateways/{id}/epochs",
		Summary: "The completeness of each run of a gateway", Tags: []string{"Gateways"},
		Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, q *epochsQuery) (*epochList, error) {
		page, err := pageOf[int64](q.Paging, "epochs")
		if err != nil {
			return nil, err
		}
		g, err := o.Store.Gateway(ctx, q.ID)
		if errors.Is(err, store.ErrNoGateway) {
			return nil, huma.Error404NotFound("there is no such gateway")
		}
		if err != nil {
			return nil, o.fault(ctx, "list the gateway's epochs", err)
		}
		list := g.Sequences
		for page.After != nil && len(list) > 0 && list[0].ID >= *page.After {
			list = list[1:]
		}
		answer := &epochList{}
		list, answer.Link, answer.Body.Next = turned(q.Paging, "epochs", list, func(c store.Completeness) int64 { return c.ID })
		answer.Body.Epochs = epochsOf(list)
		return answer, nil
	})
}

// stateOf is whether a gateway is heard.
func stateOf(p store.Presence) string {
	switch {
	case p.Every == 0:
		return "unknown"
	case p.Silent != 0:
		return "silent"
	case p.Stopped:
		return "stopped"
	}
	return "heard"
}

func totalsOf(g store.Gateway) []Total {
	totals := []Total{}
	for _, t := range g.Totals() {
		totals = append(totals, Total{
			Stream: string(t.Stream), Epochs: t.Epochs, Running: t.Running, Expected: t.Expected, Received: t.Received, Parked: t.Parked,
			Missing: t.Missing, Lost: t.Lost, Duplicates: t.Duplicates, Conflicts: t.Conflicts,
		})
	}
	return totals
}

func epochsOf(list []store.Completeness) []Epoch {
	epochs := make([]Epoch, len(list))
	for i, c := range list {
		epochs[i] = Epoch{
			Epoch: c.Epoch.String(), Stream: string(c.Stream), Expected: c.Expected,
			Received: c.Received, Parked: c.Parked, Missing: c.Missing, Lost: c.Lost, Duplicates: c.Duplicates, Conflicts: c.Conflicts,
		}
	}
	return epochs
}
