package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Rollout is how a version has come to gateways.
type Rollout struct {
	Version string           `json:"version"`
	Epoch   uint64           `json:"epoch"`
	First   telemetry.Micros `json:"first_us" doc:"When the first gateway had tried it"`
	Last    telemetry.Micros `json:"last_us"`
	Paused  bool             `json:"paused" doc:"It goes to no further gateway: too many, of all that there are, went back from it"`
	RolloutCount
	Zones []ZoneRollout `json:"zones" doc:"By name"`
}

// ZoneRollout is how a version has come to the gateways of a zone.
type ZoneRollout struct {
	Zone string `json:"zone" doc:"Empty: of none"`
	RolloutCount
}

// RolloutCount counts gateways.
type RolloutCount struct {
	Tried      int `json:"tried"`
	Confirmed  int `json:"confirmed" doc:"That have kept it"`
	RolledBack int `json:"rolled_back" doc:"That went back from it, also if they kept it later"`
}

type rolloutList struct {
	Body struct {
		Rollouts []Rollout `json:"rollouts" doc:"Of the 20 versions that gateways tried last, the latest first"`
	}
}

const mostRollouts = 20

func registerRollouts(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-rollouts", Method: http.MethodGet, Path: "/api/v1/rollouts",
		Summary: "How versions have come to gateways", Tags: []string{"Gateways"},
	}, func(ctx context.Context, _ *struct{}) (*rolloutList, error) {
		list, err := o.Store.Rollouts(ctx, mostRollouts)
		if err != nil {
			return nil, o.fault(ctx, "count the updates by version", err)
		}
		answer := &rolloutList{}
		answer.Body.Rollouts = make([]Rollout, len(list))
		for i, v := range list {
			out := Rollout{Version: v.Version, Epoch: v.Epoch, First: v.First, Last: v.Last, RolloutCount: counted(v.Rollout), Zones: make([]ZoneRollout, len(v.Zones))}
			for j, z := range v.Zones {
				out.Zones[j] = ZoneRollout{Zone: z.Zone, RolloutCount: counted(z.Rollout)}
			}
			if o.Rollout != nil {
				all, err := o.Store.Rollout(ctx, v.Version)
				if err != nil {
					return nil, o.fault(ctx, "count the updates to a version", err)
				}
				out.Paused = o.Rollout.Reached(all)
			}
			answer.Body.Rollouts[i] = out
		}
		return answer, nil
	})
}

func counted(r store.Rollout) RolloutCount { return RolloutCount(r) }
