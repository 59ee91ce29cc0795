// Package client talks to the cloud's API as a program.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Client is safe for concurrent use.
type Client struct {
	base string
}

// New makes a client of the cloud at base, such as http://127.0.0.1:8080.
func New(base string) Client { return Client{base} }

// Alarm is one occurrence of a condition, after its last transition.
type Alarm struct {
	ID             string `json:"id"`
	Rule           string `json:"rule"`
	Asset          string `json:"asset"`
	Priority       string `json:"priority"`
	Summary        string `json:"summary"`
	Active         bool   `json:"active"`
	Acknowledged   bool   `json:"acknowledged"`
	AcknowledgedBy string `json:"acknowledged_by"`
	// Decided is when the gateway raised it, µs UTC.
	Decided int64 `json:"decided_us"`
}

// Ledger adds up the samples of all gateways.
type Ledger struct {
	Expected, Received, Lost, Stored int64
	Parked                           int64 // received, and waiting for their signal table
	Missing                          int64 // holes in what running gateways sent; may still come
	Duplicates                       int64 // records that came again and were filtered out
	Complete                         bool  // every epoch has ended, and all it committed was received and stored
}

func (c Client) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	return c.do(request, into)
}

func (c Client) do(request *http.Request, into any) error {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", request.Method, request.URL.Path, response.Status, body)
	}
	return json.Unmarshal(body, into)
}

// Ledger asks for the completeness of everything, and has the store count.
func (c Client) Ledger(ctx context.Context) (Ledger, error) {
	var answer struct {
		Gateways []struct {
			Stored int64 `json:"stored"`
			Epochs []struct {
				Stream     string `json:"stream"`
				Expected   *int64 `json:"expected"`
				Received   int64  `json:"received"`
				Parked     int64  `json:"parked"`
				Missing    int64  `json:"missing"`
				Lost       int64  `json:"lost"`
				Duplicates int64  `json:"duplicates"`
			} `json:"epochs"`
		} `json:"gateways"`
	}
	if err := c.get(ctx, "/api/v1/gateways?stored=true", &answer); err != nil {
		return Ledger{}, err
	}
	l := Ledger{Complete: true}
	for _, g := range answer.Gateways {
		l.Stored += g.Stored
		for _, e := range g.Epochs {
			if e.Stream != "telemetry" {
				continue
			}
			l.Received += e.Received
			l.Parked += e.Parked
			l.Missing += e.Missing
			l.Lost += e.Lost
			l.Duplicates += e.Duplicates
			if e.Expected == nil {
				l.Complete = false
				continue
			}
			l.Expected += *e.Expected
			l.Complete = l.Complete && e.Received == *e.Expected && e.Parked == 0
		}
	}
	return l, nil
}

// Acknowledge takes notice of an alarm in the name of by.
func (c Client) Acknowledge(ctx context.Context, id, by, comment string) error {
	body, err := json.Marshal(map[string]string{"by": by, "comment": comment})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/api/v1/alarms/"+id+"/acknowledge", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	return c.do(request, &Alarm{})
}

// Follow calls f for each transition of an alarm, from the first ever, until ctx
// ends. It takes up the stream where it was when the cloud has been away. When it
// is too far behind for that, it calls f for the alarms as they are now, oldest
// first, of the 10,000 raised last, and goes on from there.
func (c Client) Follow(ctx context.Context, f func(Alarm)) {
	last := "0"
	for ctx.Err() == nil {
		c.followOnce(ctx, &last, f)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c Client) followOnce(ctx context.Context, last *string, f func(Alarm)) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1/stream", nil)
	if err != nil {
		return
	}
	request.Header.Set("Last-Event-ID", *last)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 4<<20)
	var event, id, data string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			data += value
		case "":
			if lines.Text() != "" {
				continue // a comment
			}
			var a Alarm
			if event == "alarm" && json.Unmarshal([]byte(data), &a) == nil {
				f(a)
			}
			if event == "resync" {
				c.reload(ctx, last, f)
				return
			}
			if id != "" {
				*last = id
			}
			event, id, data = "", "", ""
		}
	}
}

// reload calls f for every alarm and moves last to the list's number. If that
// fails, the next stream says resync again.
func (c Client) reload(ctx context.Context, last *string, f func(Alarm)) {
	var list struct {
		Seq    int64   `json:"seq"`
		Alarms []Alarm `json:"alarms"`
	}
	if c.get(ctx, "/api/v1/alarms?state=all&limit=10000", &list) != nil {
		return
	}
	for _, a := range slices.Backward(list.Alarms) {
		f(a)
	}
	*last = strconv.FormatInt(list.Seq, 10)
}
