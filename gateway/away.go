package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/discovery"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gateway/update"
	"github.com/busbar/busbar/rules"
)

// Read has the gateway read a device now.
func (d Door) Read(ctx context.Context, device string) (readings []Reading, err error) {
	err = d.ask(ctx, "/devices/"+url.PathEscape(device)+"/read", nil, &readings)
	return readings, err
}

// Scan has the gateway find out what answers behind an endpoint that it reads from.
func (d Door) Scan(ctx context.Context, r discovery.Request, show func(discovery.Progress)) (discovery.Endpoint, error) {
	found := discovery.Endpoint{Endpoint: r.Endpoint, Units: []discovery.Unit{}}
	_, units, err := r.Parse()
	if err != nil {
		return found, err
	}
	found.Of = len(units)
	found.Through, err = d.scan(ctx, r, func(p discovery.Progress) {
		found.Take(p)
		show(p)
	})
	if err == nil && found.Through == "" {
		err = fmt.Errorf("%s: %w", r.Endpoint, status.ErrNoEndpoint)
	}
	return found, err
}

// Explain asks why alarms are active or aren't.
func (d Door) Explain(ctx context.Context, q rules.Question) (explanations []rules.Explanation, err error) {
	err = d.ask(ctx, "/rules/explain", q, &explanations)
	return explanations, err
}

// Replace has the gateway try another configuration, and keep it if it holds.
func (d Door) Replace(ctx context.Context, text []byte, by string, wait time.Duration) (outcome Outcome, err error) {
	err = d.ask(ctx, "/configuration", status.Replacement{Text: string(text), By: by, Wait: wait}, &outcome)
	return outcome, err
}

// Configuration is the text that the gateway runs with.
func (d Door) Configuration(ctx context.Context) ([]byte, error) {
	answer, err := d.get(ctx, "/configuration")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
}

// Inspect says what the gateway's buffer holds.
func (d Door) Inspect(ctx context.Context, signals bool) (files []buffer.File, err error) {
	path := "/buffer"
	if signals {
		path += "?signals"
	}
	answer, err := d.get(ctx, path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	err = json.NewDecoder(answer.Body).Decode(&files)
	return files, err
}

// Export writes what of the gateway's buffer is selected, in words: stream, format, from, to
// and device, "" for what isn't. The text says what of it was passed over.
func (d Door) Export(ctx context.Context, stream, format, from, to, device string, w io.Writer) (damage string, err error) {
	q := url.Values{"stream": {stream}, "format": {format}, "from": {from}, "to": {to}, "device": {device}}
	answer, err := d.get(ctx, "/buffer/export?"+q.Encode())
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	_, err = io.Copy(w, answer.Body)
	return answer.Trailer.Get(status.DamageTrailer), err
}

// Logs writes the last lines of the gateway's log, and those that come until ctx ends, if
// they are followed.
func (d Door) Logs(ctx context.Context, follow bool, w io.Writer) error {
	path := "/logs"
	if follow {
		path += "?follow"
	}
	answer, err := d.get(ctx, path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err = io.Copy(w, answer.Body); ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Updates asks the gateway about versions.
func (d Door) Updates() update.Client {
	return update.Client{Do: func(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
		request, err := d.request(ctx, method, path, body)
		if err != nil {
			return nil, err
		}
		if method == http.MethodPost {
			request.Header.Set("Content-Type", "application/json")
		}
		answer, err := d.transport(0).RoundTrip(request)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.address, err)
		}
		return answer, nil
	}}
}

func (d Door) ask(ctx context.Context, path string, body, to any) error {
	answer, _, err := question{at: d, path: path, body: body}.ask(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", d.address, err)
	}
	defer answer.Body.Close()
	return take(answer, to)
}

// get is an answer of success.
func (d Door) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := d.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := d.transport(0).RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.address, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	return nil, errors.Join(said(strings.TrimSpace(string(text))), err)
}
