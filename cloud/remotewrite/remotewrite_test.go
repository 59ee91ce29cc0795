package remotewrite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

// world is a database that knows a device's signals, and their series by name.
func world(t *testing.T, names ...string) (*store.Store, map[string]telemetry.SignalID) {
	t.Helper()
	s := storetest.Open(t)
	return s, bear(t, s, names...)
}

func bear(t *testing.T, s *store.Store, names ...string) map[string]telemetry.SignalID {
	t.Helper()
	birth := record.Birth{Gateway: "gw", Site: "north", Table: "1", Parts: 1}
	for i, name := range names {
		birth.Signals = append(birth.Signals, telemetry.Signal{ID: telemetry.SignalID(i + 1), Device: "meter", Asset: "feeder-1", Name: name, Unit: "V", Kind: telemetry.Gauge})
	}
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveBirth(birth) }); err != nil {
		t.Fatal(err)
	}
	list, err := s.Signals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]telemetry.SignalID{}
	for _, series := range list {
		by[series.Name] = series.ID
	}
	return by
}

// write starts a Writer that waits for little.
func write(t *testing.T, c Config) *Writer {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	w.backoff, w.every = outgoing.Backoff{First: time.Millisecond, Most: 20 * time.Millisecond}, 5*time.Millisecond
	w.pause = 300 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// startPrometheus runs one that takes remote write. Without it the test is skipped, or
// fails if CI is set.
func startPrometheus(t *testing.T) (address string) {
	t.Helper()
	program := peer.Program(t, "prometheus", "prometheus")
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	address = peer.Address(t)
	peer.Run(t, program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address,
		"--web.enable-remote-write-receiver", "--log.level=warn")
	return address
}

// query is the results of an instant query or, of the samples in a range, all of them, as
// time and value.
func query(t *testing.T, address, expr string) map[string]string {
	answer, err := http.Get("http://" + address + "/api/v1/query?" + url.Values{"query": {expr}}.Encode())
	if err != nil {
		return nil // it starts
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	var result struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  []any
				Values [][]any
			}
		}
	}
	if json.Unmarshal(body, &result) != nil {
		return nil
	}
	by := map[string]string{}
	for _, r := range result.Data.Result {
		if r.Metric["gateway"] != "gw" || r.Metric["device"] != "meter" || r.Metric["asset"] != "feeder-1" || r.Metric["unit"] != "V" || r.Metric["kind"] != "gauge" || r.Metric["__name__"] != Metric {
			t.Errorf("labels %v", r.Metric)
		}
		if r.Value != nil {
			r.Values = append(r.Values, r.Value)
		}
		for _, v := range r.Values {
			by[r.Metric["signal"]] += fmt.Sprint(v[1], " ")
		}
	}
	return by
}

func TestPrometheusHasTheValues(t *testing.T) {
	address := startPrometheus(t)
	s, ids := world(t, "PhV.phsA", "PhV.phsB", "Big", "Text", "Hz")
	w := write(t, Config{Server: outgoing.Server{URL: "http://" + address + "/api/v1/write"}, Store: s,
		Signals: []store.Choice{{Name: []string{"PhV.*", "Big"}, Gateway: []string{"g*"}}, {Name: []string{"Text"}}, {Device: []string{"other"}}}})
	now := telemetry.MicrosOf(time.Now().Add(-10 * time.Second))
	at := func(name string, ms int64, v telemetry.Value, q telemetry.Quality) telemetry.Sample {
		return telemetry.Sample{Signal: ids[name], Time: now + telemetry.Micros(ms*1000), Value: v, Quality: q}
	}
	bad := telemetry.Quality(0).WithValidity(telemetry.Bad)
	w.Publish([]telemetry.Sample{
		at("PhV.phsA", 0, telemetry.FloatValue(230.25), 0), at("PhV.phsA", 0, telemetry.FloatValue(1), 0), at("PhV.phsA", 1000, telemetry.FloatValue(231.5), 0),
		at("PhV.phsB", 0, telemetry.FloatValue(229), 0),
		at("Big", 0, telemetry.IntValue(-5), 0), at("Text", 0, telemetry.TextValue("x"), 0), at("Hz", 0, telemetry.FloatValue(50), 0),
	})
	want := map[string]string{"PhV.phsA": "231.5 ", "PhV.phsB": "229 ", "Big": "-5 "}
	await.True(t, "the values", func() bool { return maps.Equal(query(t, address, Metric), want) })
	want = map[string]string{"PhV.phsA": "230.25 231.5 ", "PhV.phsB": "229 ", "Big": "-5 "}
	if got := query(t, address, Metric+"[10m]"); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// What is bad has no value, and what comes after it has.
	w.Publish([]telemetry.Sample{at("PhV.phsA", 2000, telemetry.FloatValue(1), bad), at("PhV.phsB", 2000, telemetry.Value{}, bad), at("PhV.phsB", 3000, telemetry.FloatValue(math.NaN()), 0)})
	want = map[string]string{"PhV.phsB": "NaN ", "Big": "-5 "}
	await.True(t, "that one is stale", func() bool { return maps.Equal(query(t, address, Metric), want) })
	w.Publish([]telemetry.Sample{at("PhV.phsA", 4000, telemetry.FloatValue(232), 0)})
	await.True(t, "that it is back", func() bool { return query(t, address, Metric)["PhV.phsA"] == "232 " })
	await.True(t, "that it says so", func() bool { return w.Stats().Sent == 8 })
	if st := w.Stats(); st.Dropped != 0 || st.Pending != 0 || !st.Failing.IsZero() {
		t.Errorf("%+v", st)
	}
}

// A signal that is born while others are sent isn't lost, and a server that is away costs a
// bounded memory.
func TestWhatWaitsIsBounded(t *testing.T) {
	s, ids := world(t, "A")
	var refuses, requests atomic.Int64
	refuses.Store(1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch refuses.Load() {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	w := write(t, Config{Server: outgoing.Server{URL: server.URL}, Store: s})
	begin := telemetry.MicrosOf(time.Now().Add(-5 * time.Minute))
	sample := func(id telemetry.SignalID, i int) telemetry.Sample {
		return telemetry.Sample{Signal: id, Time: begin + telemetry.Micros(i)*1000, Value: telemetry.FloatValue(1)}
	}
	w.Publish([]telemetry.Sample{sample(ids["A"], 1)})
	await.True(t, "attempts", func() bool { return requests.Load() > 2 })
	const n = mostPending + 10
	for i := range n {
		w.Publish([]telemetry.Sample{sample(ids["A"], 2+i)})
	}
	if st := w.Stats(); st.Pending > mostPending || st.Dropped != mostPending/4 || st.Failing.IsZero() {
		t.Errorf("%+v", st)
	}
	refuses.Store(0)
	await.True(t, "all that was kept", func() bool { return w.Stats().Sent == 1+n-mostPending/4 })
	refuses.Store(2)
	w.Publish([]telemetry.Sample{sample(ids["A"], n+5)})
	await.True(t, "what is refused is given up", func() bool { return w.Stats().Dropped == mostPending/4+1 })
	refuses.Store(0)
	sent := w.Stats().Sent
	ids = bear(t, s, "A", "B")
	w.Publish([]telemetry.Sample{sample(ids["B"], 1)})
	await.True(t, "the new signal", func() bool { return w.Stats().Sent == sent+1 })
	// What is newer than the names waits for them.
	ids = bear(t, s, "A", "B", "C")
	w.Publish([]telemetry.Sample{sample(ids["C"], 1), sample(ids["B"], 2)})
	await.True(t, "the newest signal", func() bool { st := w.Stats(); return st.Sent == sent+3 && st.Pending == 0 })
}

// One meter whose clock is wrong, and one that the server refuses, keep no other out, and a
// clock that is right again is heard again.
func TestOneSeriesTakesNoOtherAlong(t *testing.T) {
	names := []string{"A", "B", "C", "D", "E", "F", "refused"}
	s, ids := world(t, names...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if body, err := s2.Decode(nil, body); err != nil || bytes.Contains(body, []byte("refused")) {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	w := write(t, Config{Server: outgoing.Server{URL: server.URL}, Store: s})
	now := time.Now()
	at := func(name string, d time.Duration) telemetry.Sample {
		return telemetry.Sample{Signal: ids[name], Time: telemetry.MicrosOf(now.Add(d)), Value: telemetry.FloatValue(1)}
	}
	batch := []telemetry.Sample{at("A", time.Hour), at("B", -time.Hour), at("C", 100*365*24*time.Hour)}
	for _, name := range names {
		batch = append(batch, at(name, 0))
	}
	w.Publish(batch)
	await.True(t, "all but what is refused", func() bool { st := w.Stats(); return st.Sent == 6 && st.Dropped == 4 })
}

// What waits until it is too old isn't sent.
func TestWhatIsNoLongerTimelyIsLeftOut(t *testing.T) {
	now := time.Now()
	list := []series{{points: []point{{ms: now.UnixMilli()}, {ms: now.Add(50 * time.Minute).UnixMilli()}}}}
	for after, want := range map[time.Duration]int{-8 * time.Minute: 1, 54 * time.Minute: 2, 56 * time.Minute: 1, 2 * time.Hour: 0} {
		if _, n := encode(list, now.Add(after)); n != want {
			t.Errorf("after %s: %d, want %d", after, n, want)
		}
	}
}
