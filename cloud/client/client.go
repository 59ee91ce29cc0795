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
	"net/url"
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
	// SuppressedBy is the alarm that stands for it, "outages" while one may yet; "": it is
	// told for itself.
	SuppressedBy string `json:"suppressed_by"`
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
			Totals []struct {
				Stream     string `json:"stream"`
				Running    int    `json:"running"`
				Expected   int64  `json:"expected"`
				Received   int64  `json:"received"`
				Parked     int64  `json:"parked"`
				Missing    int64  `json:"missing"`
				Lost       int64  `json:"lost"`
				Duplicates int64  `json:"duplicates"`
			} `json:"totals"`
		} `json:"gateways"`
		Next *string `json:"next"`
	}
	l := Ledger{Complete: true}
	for query := (url.Values{"stored": {"true"}}); ; query.Set("cursor", *answer.Next) {
		answer.Gateways, answer.Next = nil, nil
		if err := c.get(ctx, "/api/v1/gateways?"+query.Encode(), &answer); err != nil {
			return Ledger{}, err
		}
		for _, g := range answer.Gateways {
			l.Stored += g.Stored
			for _, of := range g.Totals {
				if of.Stream != "telemetry" {
					continue
				}
				l.Received += of.Received
				l.Parked += of.Parked
				l.Missing += of.Missing
				l.Lost += of.Lost
				l.Duplicates += of.Duplicates
				l.Expected += of.Expected
				l.Complete = l.Complete && of.Running == 0 && of.Received == of.Expected && of.Parked == 0
			}
		}
		if answer.Next == nil {
			return l, nil
		}
	}
}

// Outage is one that the cloud has concluded.
type Outage struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	Device    string `json:"device"` // that has opened; "": it isn't known
	Points    int64  `json:"points"` // service points that ever were without supply in it
	Customers int64  `json:"customers"`
	// CustomersOut is how many of them are without supply now.
	CustomersOut int64  `json:"customers_out"`
	Alarm        string `json:"alarm"`  // that stands for all of it; "": it hasn't been raised
	Alarms       int64  `json:"alarms"` // that it stands for
}

// Outages asks for all outages there ever were.
func (c Client) Outages(ctx context.Context) (list []Outage, err error) {
	var answer struct {
		Outages []Outage `json:"outages"`
		Next    *string  `json:"next"`
	}
	for query := (url.Values{"state": {"all"}}); ; query.Set("cursor", *answer.Next) {
		answer.Outages, answer.Next = nil, nil
		if err := c.get(ctx, "/api/v1/outages?"+query.Encode(), &answer); err != nil {
			return nil, err
		}
		if list = append(list, answer.Outages...); answer.Next == nil {
			return list, nil
		}
	}
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
// first, and goes on from there.
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
	var page struct {
		Seq    int64   `json:"seq"`
		Alarms []Alarm `json:"alarms"`
		Next   *string `json:"next"`
	}
	var alarms []Alarm
	var seq int64 // of the first page: what came after it comes by the stream
	for query := (url.Values{"state": {"all"}, "limit": {"1000"}}); ; query.Set("cursor", *page.Next) {
		page.Alarms, page.Next = nil, nil
		if c.get(ctx, "/api/v1/alarms?"+query.Encode(), &page) != nil {
			return
		}
		if len(alarms) == 0 {
			seq = page.Seq
		}
		alarms = append(alarms, page.Alarms...)
		if page.Next == nil {
			break
		}
	}
	for _, a := range slices.Backward(alarms) {
		f(a)
	}
	*last = strconv.FormatInt(seq, 10)
}
