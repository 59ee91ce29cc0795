package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// client is the little of the cloud's API that the story needs.
type client struct {
	base string
	http *http.Client
}

func newClient(base string) client { return client{base, &http.Client{}} }

type alarm struct {
	ID             string `json:"id"`
	Rule           string `json:"rule"`
	Asset          string `json:"asset"`
	Priority       string `json:"priority"`
	Summary        string `json:"summary"`
	Active         bool   `json:"active"`
	Acknowledged   bool   `json:"acknowledged"`
	AcknowledgedBy string `json:"acknowledged_by"`
	DecidedUS      int64  `json:"decided_us"`
}

// ledger adds up the gateways' telemetry.
type ledger struct {
	Expected, Received, Lost, Duplicates, Stored int64
	Complete                                     bool // every epoch's expectation is known, and met or explained
}

func (c client) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	return c.do(request, into)
}

func (c client) do(request *http.Request, into any) error {
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", request.Method, request.URL.Path, response.Status, body)
	}
	return json.Unmarshal(body, into)
}

func (c client) ledger(ctx context.Context) (ledger, error) {
	var answer struct {
		Gateways []struct {
			Stored int64 `json:"stored"`
			Epochs []struct {
				Stream     string `json:"stream"`
				Expected   *int64 `json:"expected"`
				Received   int64  `json:"received"`
				Lost       int64  `json:"lost"`
				Duplicates int64  `json:"duplicates"`
			} `json:"epochs"`
		} `json:"gateways"`
	}
	if err := c.get(ctx, "/api/v1/gateways?stored=true", &answer); err != nil {
		return ledger{}, err
	}
	l := ledger{Complete: true}
	for _, g := range answer.Gateways {
		l.Stored += g.Stored
		for _, e := range g.Epochs {
			if e.Stream != "telemetry" {
				continue
			}
			l.Received += e.Received
			l.Lost += e.Lost
			l.Duplicates += e.Duplicates
			if e.Expected == nil {
				l.Complete = false
				continue
			}
			l.Expected += *e.Expected
			l.Complete = l.Complete && e.Received >= *e.Expected
		}
	}
	return l, nil
}

func (c client) acknowledge(ctx context.Context, id string) error {
	body, err := json.Marshal(map[string]string{"by": "demo operator", "comment": "acknowledged by the demo"})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/api/v1/alarms/"+id+"/acknowledge", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	return c.do(request, &alarm{})
}

// follow calls f for each alarm transition until ctx ends, and takes up the
// stream where it was when the cloud has been away.
func (c client) follow(ctx context.Context, f func(alarm)) {
	last := "0"
	for ctx.Err() == nil {
		c.followOnce(ctx, &last, f)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c client) followOnce(ctx context.Context, last *string, f func(alarm)) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1/stream", nil)
	if err != nil {
		return
	}
	request.Header.Set("Last-Event-ID", *last)
	response, err := c.http.Do(request)
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
			var a alarm
			if event == "alarm" && json.Unmarshal([]byte(data), &a) == nil {
				f(a)
			}
			if id != "" {
				*last = id
			}
			event, id, data = "", "", ""
		}
	}
}
