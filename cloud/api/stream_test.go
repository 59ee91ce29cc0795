package api

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// stream reads the events of a stream.
type stream struct {
	t     *testing.T
	lines *bufio.Scanner
}

func (b *bench) stream(query, lastID string) stream {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), "GET", b.server.URL+"/api/v1/stream"+query, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 {
		b.t.Fatalf("stream: %s", response.Status)
	}
	return stream{b.t, bufio.NewScanner(response.Body)}
}

// next is the next event of the given name.
func (s stream) next(name string) (id, data string) {
	s.t.Helper()
	var event string
	for s.lines.Scan() {
		line := s.lines.Text()
		if line == "" {
			if event == name {
				return id, data
			}
			event, id, data = "", "", ""
			continue
		}
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			data = value
		}
	}
	s.t.Fatalf("the stream ended before an event %q: %v", name, s.lines.Err())
	return "", ""
}

func TestStreamResumesWithoutGapOrRepetition(t *testing.T) {
	b := newBench(t)
	b.raise("a1")
	b.eventually("/api/v1/alarms", func(a map[string]any) bool { return len(alarms(a)) == 1 })
	fresh := b.stream("", "")
	fromStart := b.stream("?after=0", "")
	first, data := fromStart.next("alarm")
	if !strings.Contains(data, `"id":"a1"`) {
		t.Fatalf("first event: %s", data)
	}
	b.raise("a2")
	second, data := fromStart.next("alarm")
	if !strings.Contains(data, `"id":"a2"`) {
		t.Errorf("second event: %s", data)
	}
	if _, data := fresh.next("alarm"); !strings.Contains(data, `"id":"a2"`) {
		t.Errorf("a new stream began with %s, want only what is new", data)
	}
	if id, _ := b.stream("", first).next("alarm"); id != second {
		t.Errorf("resumed after %s with %s, want %s", first, id, second)
	}
	// A number from a database that is gone.
	if _, data := b.stream("", "999999").next("resync"); data != "{}" {
		t.Errorf("resync: %s", data)
	}
}

func TestStreamOfABrokenStore(t *testing.T) {
	b := newBench(t)
	b.store.Close()
	for query, want := range map[string]int{"": 500, "?after=x": 400} {
		response, err := http.Get(b.server.URL + "/api/v1/stream" + query)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%q: %d, want %d", query, response.StatusCode, want)
		}
	}
}

func TestStreamShowsNewestValues(t *testing.T) {
	b := newBench(t)
	b.birth()
	s := b.stream("", "")
	at := telemetry.MicrosOf(time.Now())
	b.samples(telemetry.Sample{Signal: 1, Time: at, Value: telemetry.FloatValue(229.9)})
	if _, data := s.next("latest"); !strings.Contains(data, `"v":229.9`) {
		t.Errorf("latest: %s", data)
	}
}
