package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Bucket sums up the samples of a span of time.
type Bucket struct {
	T       telemetry.Micros `json:"t" doc:"When the span begins, µs UTC"`
	Min     *float64         `json:"min" doc:"Of the values: finite numbers, and booleans as 0 and 1, that aren't bad; null: there are none"`
	Max     *float64         `json:"max"`
	Mean    *float64         `json:"mean"`
	Last    *float64         `json:"last" doc:"The value of the greatest time"`
	Text    string           `json:"text,omitempty" doc:"The last value of a series of text"`
	Samples int64            `json:"samples" doc:"All, whatever their quality"`
	Valued  int64            `json:"valued" doc:"Those that give a value"`
	Good    int64            `json:"good" doc:"Those of good quality"`
}

func bucketOf(b store.Bucket) Bucket {
	out := Bucket{T: b.Start, Text: b.LastText, Samples: b.Samples, Valued: b.Valued, Good: b.Good}
	if b.Valued > 0 {
		out.Min, out.Max, out.Last = &b.Min, &b.Max, &b.Last
		if mean := b.Mean(); mean-mean == 0 { // the sum may be too large for a number
			out.Mean = &mean
		}
	}
	return out
}

type trendQuery struct {
	ID     telemetry.SignalID `path:"id"`
	From   int64              `query:"from_us" required:"true" doc:"First instant, µs UTC"`
	To     int64              `query:"to_us" required:"true" doc:"Instant before which the span ends"`
	Points int                `query:"points" default:"500" minimum:"1" maximum:"5000" doc:"How many buckets the span has at most; where it doesn't begin with one there is one more"`
}

type trendAnswer struct {
	Body struct {
		Series  Series           `json:"series"`
		Width   telemetry.Micros `json:"width_us" doc:"Of each bucket, which begins at a multiple of it since 1970-01-01 UTC"`
		Buckets []Bucket         `json:"buckets" doc:"By time; those without samples are left out"`
	}
}

func registerTrend(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "get-trend", Method: http.MethodGet, Path: "/api/v1/series/{id}/trend",
		Summary: "What the samples of one series look like over any time", Tags: []string{"Signals"},
		Description: fmt.Sprintf("The span in at most %d buckets, all of equal width. From a minute on the width is so many minutes, quarter-hours, "+
			"hours or days of UTC. The first and the last bucket are whole, beyond the span. A trend is up to date: what isn't summed up yet is read from the samples.", store.MostPoints),
		Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, q *trendQuery) (*trendAnswer, error) {
		if q.To < q.From {
			return nil, huma.Error422UnprocessableEntity("to_us must be at or after from_us")
		}
		trend, err := o.Store.Trend(ctx, q.ID, telemetry.Micros(q.From), telemetry.Micros(q.To), q.Points)
		if errors.Is(err, store.ErrNotFound) {
			return nil, huma.Error404NotFound("there is no such series")
		}
		if err != nil {
			return nil, o.fault(ctx, "read the trend", err)
		}
		answer := &trendAnswer{}
		answer.Body.Series, answer.Body.Width = seriesOf(trend.Series), trend.Width
		answer.Body.Buckets = make([]Bucket, len(trend.Buckets))
		for i, b := range trend.Buckets {
			answer.Body.Buckets[i] = bucketOf(b)
		}
		return answer, nil
	})
}
