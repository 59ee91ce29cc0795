package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// CounterChange is a decrease of a counter, as its gateway judged it.
type CounterChange struct {
	Kind       telemetry.EventKind `json:"kind" enum:"counter-rolled-over,counter-reset" doc:"Whether it went over its end and counts on, or was reset: the meter swapped, cleared or restarted"`
	Series     telemetry.SignalID  `json:"series" doc:"0 until its signal table has come"`
	Gateway    string              `json:"gateway"`
	Device     string              `json:"device"`
	Name       string              `json:"name"`
	Unit       string              `json:"unit"`
	Asset      string              `json:"asset"`
	Before     float64             `json:"before" doc:"The last value before"`
	BeforeTime telemetry.Micros    `json:"before_us"`
	After      float64             `json:"after" doc:"The first value after"`
	AfterTime  telemetry.Micros    `json:"after_us"`
	Modulus    float64             `json:"modulus" doc:"By how much the counter begins again: what it has counted is after − before + modulus; 0 after a reset"`
}

type counterQuery struct {
	Series telemetry.SignalID `query:"series" doc:"Of this series only"`
	From   int64              `query:"from_us" required:"true" doc:"First instant, µs UTC"`
	To     int64              `query:"to_us" required:"true" doc:"The instant after the last, µs UTC"`
	Paging
}

type counterAnswer struct {
	Link string `header:"Link"`
	Body struct {
		Changes []CounterChange `json:"changes" doc:"Newest first"`
		Next
	}
}

func registerCounters(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-counter-changes", Method: http.MethodGet, Path: "/api/v1/counter-changes",
		Summary: "Where counters rolled over or were reset", Tags: []string{"Signals"},
		Errors: noSuchPage,
	}, func(ctx context.Context, q *counterQuery) (*counterAnswer, error) {
		if q.To <= q.From {
			return nil, huma.Error422UnprocessableEntity("to_us must be after from_us")
		}
		page, err := pageOf[store.CounterPlace](q.Paging, "counter-changes")
		if err != nil {
			return nil, err
		}
		list, err := o.Store.CounterChanges(ctx, q.Series, telemetry.Micros(q.From), telemetry.Micros(q.To), page)
		if err != nil {
			return nil, o.fault(ctx, "list the changes of counters", err)
		}
		answer := &counterAnswer{}
		list, answer.Link, answer.Body.Next = turned(q.Paging, "counter-changes", list, store.CounterChange.Place)
		answer.Body.Changes = make([]CounterChange, len(list))
		for i, c := range list {
			answer.Body.Changes[i] = counterChangeOf(c)
		}
		return answer, nil
	})
}

func counterChangeOf(c store.CounterChange) CounterChange {
	return CounterChange{
		Kind: c.Kind, Series: c.Series, Gateway: c.Gateway, Device: c.Device, Name: c.Name, Unit: c.Unit, Asset: c.Asset,
		Before: c.Before, BeforeTime: c.BeforeTime, After: c.After, AfterTime: c.AfterTime, Modulus: c.Modulus,
	}
}
