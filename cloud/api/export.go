package api

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

type exportQuery struct {
	ID   telemetry.SignalID `path:"id"`
	From int64              `query:"from_us" required:"true" doc:"First instant, µs UTC"`
	To   int64              `query:"to_us" required:"true" doc:"The instant after the last, µs UTC"`
}

func registerExport(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "export-samples", Method: http.MethodGet, Path: "/api/v1/series/{id}/export",
		Summary: "The samples of one series as a table", Tags: []string{"Signals"},
		Description: "CSV after RFC 4180 in UTF-8, of a span of any length, by time. time: RFC 3339, to the µs; value: a number, exact also where a float64 isn't, " +
			"and 0 or 1 of a boolean; empty without a finite one; text: of a series of text; state: what the value is called; quality: good, uncertain or bad, and why. " +
			"An answer that breaks off isn't whole.",
		Errors: []int{http.StatusNotFound},
		Responses: map[string]*huma.Response{"200": {
			Description: "The table, with a line of headings",
			Content:     map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, func(ctx context.Context, q *exportQuery) (*huma.StreamResponse, error) {
		if q.To < q.From {
			return nil, huma.Error422UnprocessableEntity("to_us must be at or after from_us")
		}
		export, err := o.Store.Export(ctx, q.ID, telemetry.Micros(q.From), telemetry.Micros(q.To))
		if errors.Is(err, store.ErrNotFound) {
			return nil, huma.Error404NotFound("there is no such series")
		}
		if err != nil {
			return nil, o.fault(ctx, "export the samples", err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			_, w := humago.Unwrap(c)
			w.Header().Set("Content-Type", "text/csv; charset=utf-8")
			w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="series-%d.csv"`, q.ID))
			if err := writeTable(ctx, w, export); err != nil {
				_ = o.fault(ctx, "export the samples", err)
				panic(http.ErrAbortHandler) // or what was sent would look whole
			}
		}}, nil
	})
}

// writeTable gives up on a client that takes nothing for writeTimeout.
func writeTable(ctx context.Context, w http.ResponseWriter, export store.Export) error {
	control := http.NewResponseController(w)
	table := csv.NewWriter(w)
	begin := func() error { return control.SetWriteDeadline(time.Now().Add(writeTimeout)) }
	table.UseCRLF = true
	if err := table.Write([]string{"time", "value", "text", "state", "quality"}); err != nil {
		return err
	}
	err := export.Each(ctx, func(samples []telemetry.Sample) error {
		for i, s := range samples {
			if i%1000 == 0 {
				if err := begin(); err != nil {
					return err
				}
			}
			named := namedSample(export.Series, s)
			if err := table.Write([]string{s.Time.Time().UTC().Format("2006-01-02T15:04:05.000000Z"), numberOf(s.Value), named.Text, named.State, named.Q}); err != nil {
				return err
			}
		}
		if len(samples) == 0 {
			return nil
		}
		// HTTP/2 ends a stream at its deadline also while nothing is written, as while the
		// next hour is read.
		table.Flush()
		return errors.Join(table.Error(), control.Flush(), control.SetWriteDeadline(time.Time{}))
	})
	if err == nil {
		err = begin()
	}
	if err != nil {
		return err
	}
	table.Flush()
	return table.Error()
}

// numberOf is a value in digits; empty unless it is a finite number.
func numberOf(v telemetry.Value) string {
	switch v.Kind() {
	case telemetry.Bool:
		return strconv.FormatUint(v.Bits(), 10)
	case telemetry.Float64:
		if f, _ := v.Float(); f-f != 0 {
			return ""
		}
		return v.String()
	case telemetry.Int64, telemetry.Uint64:
		return v.String()
	}
	return ""
}
