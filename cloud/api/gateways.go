package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/telemetry"
)

// Gateway is a gateway and the completeness of what it sent.
type Gateway struct {
	ID         string           `json:"id"`
	Site       string           `json:"site"`
	Zone       string           `json:"zone"`
	LastRecord telemetry.Micros `json:"last_record_us" doc:"When its newest record was written, 0 if it has sent none"`
	Stored     *uint64          `json:"stored,omitempty" doc:"Samples counted in the store itself, if that was asked for"`
	Epochs     []Epoch          `json:"epochs" doc:"Those begun last come first"`
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
}

type gatewayList struct {
	Body struct {
		Gateways []Gateway `json:"gateways"`
	}
}

func registerGateways(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-gateways", Method: http.MethodGet, Path: "/api/v1/gateways",
		Summary: "Gateways and the completeness of their data", Tags: []string{"Gateways"},
	}, func(ctx context.Context, q *gatewayQuery) (*gatewayList, error) {
		list, err := o.Store.Gateways(ctx)
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
		answer.Body.Gateways = make([]Gateway, len(list))
		for i, g := range list {
			out := Gateway{ID: g.ID, Site: g.Site, Zone: g.Zone, LastRecord: g.LastRecord, Epochs: make([]Epoch, len(g.Sequences))}
			if q.Stored {
				n := stored[g.ID]
				out.Stored = &n
			}
			for j, c := range g.Sequences {
				out.Epochs[j] = Epoch{
					Epoch: c.Epoch.String(), Stream: string(c.Stream), Expected: c.Expected,
					Received: c.Received, Parked: c.Parked, Missing: c.Missing, Lost: c.Lost, Duplicates: c.Duplicates, Conflicts: c.Conflicts,
				}
			}
			answer.Body.Gateways[i] = out
		}
		return answer, nil
	})
}
