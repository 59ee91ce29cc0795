package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/history"
	"github.com/busbar/busbar/telemetry"
)

type estimatesQuery struct {
	Days int    `query:"days" minimum:"1" maximum:"1098" default:"365" doc:"Of estimates that were given in so many days until now"`
	By   string `query:"by" enum:"nothing,author,device,cause" default:"nothing" doc:"What they are divided by: author is the cloud or people, device the kind of what opened"`
}

// EstimateRecord is how right estimates of when supply is back were.
type EstimateRecord struct {
	Group      string   `json:"group" doc:"Empty: all of them"`
	Estimates  int      `json:"estimates" doc:"Whose 80 % are past: these count"`
	Open       int      `json:"open" doc:"Of them, those whose outage still isn't over"`
	Coverage50 *float64 `json:"coverage_50" doc:"The share that was over by the time of 50 %: 0.5 is right, more is too careful; null: no estimate counts"`
	Coverage80 *float64 `json:"coverage_80"`
	Pinball50  *float64 `json:"pinball_50_min" doc:"The mean loss in minutes, less is better, of those that are over"`
	Pinball80  *float64 `json:"pinball_80_min"`
}

type estimatesAnswer struct {
	Body struct {
		From    telemetry.Micros `json:"from_us"`
		Records []EstimateRecord `json:"records" doc:"All first, then by group"`
	}
}

func registerEstimates(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "get-estimate-record", Method: http.MethodGet, Path: "/api/v1/estimate-record",
		Summary: "How right it was when supply was expected back", Tags: []string{"Outages"},
	}, func(ctx context.Context, q *estimatesQuery) (*estimatesAnswer, error) {
		now := desk.Now()
		answer := &estimatesAnswer{}
		answer.Body.From = now - telemetry.Micros(q.Days)*24*3600*1e6
		list, err := history.EstimateRecord(ctx, o.Store, answer.Body.From, now, history.By(q.By))
		if err != nil {
			return nil, o.fault(ctx, "say how right the estimates were", err)
		}
		answer.Body.Records = make([]EstimateRecord, len(list))
		for i, g := range list {
			answer.Body.Records[i] = EstimateRecord{Group: g.Group, Estimates: g.Estimates, Open: g.Open,
				Coverage50: g.Coverage50, Coverage80: g.Coverage80, Pinball50: g.Pinball50, Pinball80: g.Pinball80}
		}
		return answer, nil
	})
}
