package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Sample is one value of a series.
type Sample struct {
	T    telemetry.Micros `json:"t" doc:"When it was measured, µs UTC"`
	V    *float64         `json:"v" doc:"null: no value, or text, or not a finite number"`
	Q    string           `json:"q" doc:"Quality: good, uncertain or bad, and why" example:"bad (timeout)"`
	Text string           `json:"text,omitempty" doc:"The value of a series of text"`
	// State isn't in the stream, which names no series.
	State string `json:"state,omitempty" doc:"What the value is called, where its series has names; not in the stream" example:"running"`
}

func sampleOf(s telemetry.Sample) Sample {
	out := Sample{T: s.Time, Q: s.Quality.String(), Text: s.Value.Text()}
	if v, ok := s.Value.Float(); ok && v-v == 0 {
		out.V = &v
	}
	return out
}

// Series is one signal of one device, and its newest sample. A signal whose unit
// or kind has changed has a series for each; the one begun last has the largest id.
type Series struct {
	ID      telemetry.SignalID `json:"id"`
	Gateway string             `json:"gateway"`
	Device  string             `json:"device"`
	Name    string             `json:"name" doc:"After IEC 61850 where it has a name" example:"PhV.phsA"`
	Unit    string             `json:"unit" doc:"UCUM, and var and varh"`
	Asset   string             `json:"asset"`
	Kind    telemetry.Kind     `json:"kind" enum:"gauge,counter,state"`
	States  telemetry.States   `json:"states,omitempty" doc:"What its values are called, by value"`
	Flags   map[string]string  `json:"flags,omitempty" doc:"What the bits of its values are called, by their number from 0, the least significant"`
	Latest  *Sample            `json:"latest" doc:"null: none has been stored yet"`
}

func seriesOf(s store.Series) Series {
	out := Series{ID: s.ID, Gateway: s.Gateway, Device: s.Device, Name: s.Name, Unit: s.Unit, Asset: s.Asset, Kind: s.Kind, States: s.States}
	for bit, name := range s.Flags {
		if out.Flags == nil {
			out.Flags = map[string]string{}
		}
		out.Flags[strconv.Itoa(int(bit))] = name
	}
	if s.Latest != nil {
		latest := namedSample(s, *s.Latest)
		out.Latest = &latest
	}
	return out
}

func namedSample(of store.Series, s telemetry.Sample) Sample {
	out := sampleOf(s)
	out.State = telemetry.Signal{States: of.States, Flags: of.Flags}.InWords(s.Value)
	return out
}

type seriesQuery struct {
	Gateway string `query:"gateway" maxLength:"256" doc:"Only this gateway's"`
	Device  string `query:"device" maxLength:"256" doc:"Only this device's"`
	Paging
}

type seriesList struct {
	Link string `header:"Link"`
	Body struct {
		Series []Series `json:"series" doc:"By gateway, device and name"`
		Next
	}
}

type samplesQuery struct {
	ID   telemetry.SignalID `path:"id"`
	From int64              `query:"from_us" required:"true" doc:"First instant, µs UTC"`
	To   int64              `query:"to_us" required:"true" doc:"The instant after the last, µs UTC; at most a day after the first"`
}

const longestQuery = 24 * time.Hour

type samplesAnswer struct {
	Body struct {
		Series  Series   `json:"series"`
		Samples []Sample `json:"samples" doc:"By time"`
	}
}

func registerSeries(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-series", Method: http.MethodGet, Path: "/api/v1/series",
		Summary: "Every series with its newest sample", Tags: []string{"Signals"},
		Description: "A signal whose unit or kind has changed has a series for each of them.",
		Errors:      noSuchPage,
	}, func(ctx context.Context, q *seriesQuery) (*seriesList, error) {
		page, err := pageOf[store.SeriesPlace](q.Paging, "series")
		if err != nil {
			return nil, err
		}
		list, err := o.Store.SeriesOf(ctx, q.Gateway, q.Device, page)
		if err != nil {
			return nil, o.fault(ctx, "list the series", err)
		}
		answer := &seriesList{}
		list, answer.Link, answer.Body.Next = turned(q.Paging, "series", list, store.Series.Place)
		answer.Body.Series = make([]Series, len(list))
		for i, s := range list {
			answer.Body.Series[i] = seriesOf(s)
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-samples", Method: http.MethodGet, Path: "/api/v1/series/{id}/samples",
		Summary: "The samples of one series", Tags: []string{"Signals"},
		Description: fmt.Sprintf("A span that holds more than %d samples is refused: ask for a shorter one, or for its trend.", store.MostSamples),
		Errors:      []int{http.StatusNotFound},
	}, func(ctx context.Context, q *samplesQuery) (*samplesAnswer, error) {
		from, to := telemetry.Micros(q.From), telemetry.Micros(q.To)
		// The difference of any two instants fits a uint64.
		if to < from || uint64(to)-uint64(from) > uint64(longestQuery.Microseconds()) {
			return nil, huma.Error422UnprocessableEntity("to_us must be at or after from_us, and at most a day after it")
		}
		series, samples, err := o.Store.Samples(ctx, q.ID, from, to)
		if errors.Is(err, store.ErrNotFound) {
			return nil, huma.Error404NotFound("there is no such series")
		}
		if errors.Is(err, store.ErrTooMany) {
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("the span holds more than %d samples, ask for a shorter one", store.MostSamples))
		}
		if err != nil {
			return nil, o.fault(ctx, "read the samples", err)
		}
		answer := &samplesAnswer{}
		answer.Body.Series = seriesOf(series)
		answer.Body.Samples = make([]Sample, len(samples))
		for i, s := range samples {
			answer.Body.Samples[i] = namedSample(series, s)
		}
		return answer, nil
	})
}
