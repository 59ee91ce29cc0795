package api

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
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

// next is the next event of the given name; empty: what tells an id alone.
func (s stream) next(name string) (id, data string) {
	s.t.Helper()
	var event string
	for s.lines.Scan() {
		line := s.lines.Text()
		if line == "" {
			if event == name && (event != "" || id != "") {
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

// A client that is cut off before anything has come knows where to go on.
func TestStreamSaysWhereItBegins(t *testing.T) {
	b := newBench(t)
	b.raise("a1")
	b.eventually("/api/v1/alarms", func(a map[string]any) bool { return len(alarms(a)) == 1 })
	id, _ := b.stream("", "").next("")
	b.raise("missed")
	b.eventually("/api/v1/alarms", func(a map[string]any) bool { return len(alarms(a)) == 2 })
	if _, data := b.stream("", id).next("alarm"); !strings.Contains(data, `"id":"missed"`) {
		t.Errorf("from %q on came %s", id, data)
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

// What a gateway told before it got into somebody's zone was passed over in their stream.
func TestStreamOfAZoneThatGetsAGateway(t *testing.T) {
	at := storetest.Open(t)
	calls := New(Options{Version: "test", Store: at, Live: NewLive(), Log: quiet, beat: 10 * time.Millisecond})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.ServeHTTP(w, r.WithContext(store.InZones(r.Context(), []string{"north"})))
	}))
	t.Cleanup(server.Close)
	write := func(do func(*store.Tx) error) {
		t.Helper()
		if err := at.Write(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	move := func(zone string) {
		write(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE gateway SET zone = ? WHERE id = 'g'`, zone)
			return err
		})
	}
	alarm := func() (seq int64) {
		write(func(tx *store.Tx) (err error) {
			seq, err = tx.AddFact("alarm", 1, map[string]any{"gateway": "g"})
			return err
		})
		return seq
	}
	write(func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO gateway (id, zone) VALUES ('g', 'south')`)
		return err
	})
	s := (&bench{t: t, server: server}).stream("", "")
	defer time.AfterFunc(time.Minute, server.CloseClientConnections).Stop()
	alarm()
	move("north")
	s.next("resync")
	seen := alarm()
	if id, _ := s.next("alarm"); id != strconv.FormatInt(seen, 10) {
		t.Errorf("alarm %s, want %d", id, seen)
	}
	move("south")
	s.next("resync")
}

// Whoever asks so much that others wait holds up no alarm.
func TestStreamWhileOperatorsAskTooMuch(t *testing.T) {
	at := storetest.Open(t)
	secret := access.TokenPrefix + access.NewSecret()
	if err := at.AddAPIToken(t.Context(), store.APIToken{Name: "wall", Role: "viewer", Zones: "*", Expires: telemetry.MicrosOf(time.Now().Add(time.Hour))}, secret); err != nil {
		t.Fatal(err)
	}
	who := access.New(at, false, quiet)
	gate := access.Gate(New(Options{Version: "test", Store: at, Live: NewLive(), Access: who, Log: quiet, beat: 10 * time.Millisecond}), Rights, who, quiet)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+secret)
		gate.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s := (&bench{t: t, server: server}).stream("", "")
	defer time.AfterFunc(time.Minute, server.CloseClientConnections).Stop()
	answered := make(chan struct{})
	var asking sync.WaitGroup
	defer asking.Wait()
	defer close(answered)
	asked := make(chan struct{}, 64)
	for range cap(asked) {
		asking.Go(func() {
			at.Ask(t.Context(), func(*store.Tx) error {
				asked <- struct{}{}
				<-answered
				return nil
			})
		})
	}
	<-asked
	for beats := 0; beats < 5 && s.lines.Scan(); {
		if s.lines.Text() == ": beat" {
			beats++
		}
	}
	if err := at.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.AddFact("alarm", 1, map[string]any{"gateway": "g"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.next("alarm")
}
