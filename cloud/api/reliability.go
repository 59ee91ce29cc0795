package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/outage/history"
	"github.com/busbar/busbar/cloud/reliability"
	"github.com/busbar/busbar/telemetry"
)

type reliabilityQuery struct {
	Period  []string `query:"period" required:"true" minItems:"1" maxItems:"40" doc:"Years, months or days, separated by commas" example:"2026,2026-03"`
	Zone    string   `query:"time_zone" default:"UTC" maxLength:"64" doc:"Where they begin at midnight, by its IANA name" example:"Europe/Berlin"`
	Profile string   `query:"profile" enum:"ieee1366,bnetza,ofgem,generic" default:"ieee1366" doc:"How is counted, see docs/reliability-indices.md"`
	By      string   `query:"by" enum:"nothing,area,feeder,cause" default:"nothing" doc:"What each period is divided by; an area is a zone of the network"`
}

type reliabilityAnswer struct{ Body reliability.Answer }

// historyBefore is how long before a period outages count, as they give the threshold of
// major event days.
const historyBefore = 6 * 366 * 24 * time.Hour

func registerReliability(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "get-reliability", Method: http.MethodGet, Path: "/api/v1/reliability",
		Summary: "How reliably customers were supplied", Tags: []string{"Outages"},
		Description: "SAIDI, SAIFI and other indices of periods, by what is stored of outages. Who is of some zones is told of the customers of these.",
		Errors:      []int{http.StatusUnprocessableEntity},
	}, func(ctx context.Context, q *reliabilityQuery) (*reliabilityAnswer, error) {
		in, err := time.LoadLocation(q.Zone)
		if err != nil || q.Zone == "Local" {
			return nil, huma.Error422UnprocessableEntity("time_zone isn't known")
		}
		question := reliability.Question{Location: in}
		question.Profile, _ = reliability.ProfileOf(q.Profile)
		if q.By != "nothing" {
			question.By = reliability.By(q.By)
		}
		from := telemetry.MicrosOf(time.Now())
		for _, text := range q.Period {
			p, err := reliability.ParsePeriod(text, in)
			if err != nil {
				return nil, huma.Error422UnprocessableEntity("period: " + err.Error())
			}
			question.Periods = append(question.Periods, p)
			from = min(from, p.From-telemetry.Micros(historyBefore.Microseconds()))
		}
		input, err := history.Interruptions(ctx, o.Store, max(0, from), telemetry.MicrosOf(time.Now()))
		if err != nil {
			return nil, o.fault(ctx, "compute the indices", err)
		}
		return &reliabilityAnswer{reliability.AnswerOf(reliability.Report(input, question), question)}, nil
	})
}
