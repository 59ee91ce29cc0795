package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/ingest"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// bench is the API on a real store that real consumers fill from a real log.
type bench struct {
	t      *testing.T
	server *httptest.Server
	client *kgo.Client
	live   *Live
	store  *store.Store
	topics record.Topics
	events uint64
	blocks uint64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	names := record.TopicsOf("")
	embedded, err := log.StartEmbedded(t.Context(), log.EmbeddedOptions{
		Listen: "127.0.0.1:0", Dir: t.TempDir(), Topics: log.Topics(names, 1, 1, 1), Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Close)
	s := storetest.Open(t)
	kafka := []kgo.Opt{kgo.SeedBrokers(embedded.Addr())}
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	identitytest.Enrol(t, s, "gw")
	b := &bench{t: t, client: client, live: NewLive(), store: s, topics: names}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 2)
	go func() {
		alarm.New(alarm.Config{Log: kafka, Topics: names, Store: s, Logger: quiet}).Run(ctx)
		ended <- struct{}{}
	}()
	go func() {
		ingest.New(ingest.Config{Log: kafka, Topics: names, Store: s, Logger: quiet,
			FlushEvery: 20 * time.Millisecond, OnLatest: b.live.Publish}).Run(ctx)
		ended <- struct{}{}
	}()
	t.Cleanup(func() { cancel(); <-ended; <-ended })
	b.server = httptest.NewServer(Guard(New(Options{Version: "test", Store: s, Live: b.live, Log: quiet}), nil, false))
	t.Cleanup(b.server.Close)
	return b
}

func (b *bench) produce(topic, key, format string, id record.Identity, payload []byte) {
	b.t.Helper()
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: payload}
	for _, h := range (record.Record{Identity: id, Format: format, Payload: payload}).Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	if err := b.client.ProduceSync(b.t.Context(), identitytest.Sign(r)).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) event(e telemetry.Event) {
	b.t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		b.t.Fatal(err)
	}
	id := record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Events, First: b.events, Last: b.events}
	b.events++
	b.produce(b.topics.Events(), "gw", record.FormatEvent, id, payload)
}

func (b *bench) raise(id string) {
	value := 0.2
	b.event(telemetry.Event{Kind: telemetry.AlarmRaised, Time: 1_000_000, Decided: 2_000_000, Alarm: &telemetry.AlarmChange{
		ID: id, Rule: "voltage-interruption", Asset: "feeder-2", Priority: telemetry.High, Summary: "feeder-2 is without voltage",
		Inputs: []telemetry.Input{{Name: "PhV.phsA", Device: "meter", Unit: "V", Value: &value, Quality: "good", Time: 1_000_000}},
	}})
}

func (b *bench) clear(id string) {
	b.event(telemetry.Event{Kind: telemetry.AlarmCleared, Time: 3_000_000, Decided: 4_000_000, Alarm: &telemetry.AlarmChange{ID: id}})
}

func (b *bench) samples(samples ...telemetry.Sample) {
	b.t.Helper()
	var encoder telemetry.Encoder
	block, err := encoder.AppendBlock(nil, telemetry.TableRef{Table: 7, Version: 2}, samples)
	if err != nil {
		b.t.Fatal(err)
	}
	first := b.blocks
	b.blocks += uint64(len(samples))
	id := record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry, First: first, Last: b.blocks - 1}
	b.produce(b.topics.Telemetry(), "gw", record.FormatBlock, id, block)
}

func (b *bench) birth() {
	b.t.Helper()
	birth := record.Birth{Gateway: "gw", Site: "north", Zone: "z", Table: fmt.Sprintf("%016x", 7), Version: 2, Parts: 1, Signals: []telemetry.Signal{
		{ID: 1, Device: "meter", Name: "PhV.phsA", Unit: "V", Asset: "feeder-2", Kind: telemetry.Gauge},
		{ID: 2, Device: "meter", Name: "ChLiv", Unit: "1", Asset: "feeder-2", Kind: telemetry.State},
	}}
	payload, err := json.Marshal(birth)
	if err != nil {
		b.t.Fatal(err)
	}
	b.produce(b.topics.Births(), birth.Key(), record.FormatBirth, record.Identity{Gateway: "gw"}, payload)
}

// call sends a request and returns the status and the decoded answer.
func (b *bench) call(method, path, body string) (int, map[string]any) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		b.t.Fatalf("%s %s: %s: %v", method, path, response.Status, err)
	}
	return response.StatusCode, answer
}

// eventually asks again until the answer is as it should be.
func (b *bench) eventually(path string, right func(map[string]any) bool) map[string]any {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, answer := b.call("GET", path, "")
		if right(answer) {
			return answer
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: still %v", path, answer)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func alarms(answer map[string]any) []any { return answer["alarms"].([]any) }

func TestAlarmFromRaiseToAcknowledgement(t *testing.T) {
	b := newBench(t)
	b.raise("a1")
	list := b.eventually("/api/v1/alarms", func(a map[string]any) bool { return len(alarms(a)) == 1 })
	a := alarms(list)[0].(map[string]any)
	for key, want := range map[string]any{
		"id": "a1", "active": true, "acknowledged": false, "priority": "high", "asset": "feeder-2",
		"raised_us": 1e6, "decided_us": 2e6, "cleared_us": nil, "summary": "feeder-2 is without voltage",
	} {
		if a[key] != want {
			t.Errorf("%s = %v, want %v", key, a[key], want)
		}
	}
	b.clear("a1")
	b.eventually("/api/v1/alarms", func(answer map[string]any) bool {
		return len(alarms(answer)) == 1 && alarms(answer)[0].(map[string]any)["active"] == false
	})

	const path = "/api/v1/alarms/a1/acknowledge"
	for body, want := range map[string]int{`{"by":""}`: 422, `{"by":"  "}`: 422, `{}`: 422, `nonsense`: 400} {
		if status, answer := b.call("POST", path, body); status != want {
			t.Errorf("%s: %d %v, want %d", body, status, answer, want)
		}
	}
	if status, _ := b.call("POST", "/api/v1/alarms/none/acknowledge", `{"by":"Ana"}`); status != 404 {
		t.Errorf("unknown alarm: %d", status)
	}
	status, answer := b.call("POST", path, `{"by":" Ana ","comment":"crew called"}`)
	if status != 200 || answer["acknowledged"] != true || answer["acknowledged_by"] != "Ana" {
		t.Errorf("acknowledge: %d %v", status, answer)
	}
	if status, _ := b.call("POST", path, `{"by":"Ben"}`); status != 409 {
		t.Errorf("second acknowledgement: %d", status)
	}
	_, open := b.call("GET", "/api/v1/alarms?state=open", "")
	_, all := b.call("GET", "/api/v1/alarms?state=all", "")
	if len(alarms(open)) != 0 || len(alarms(all)) != 1 {
		t.Errorf("open %v, all %v", open, all)
	}
	_, detail := b.call("GET", "/api/v1/alarms/a1", "")
	var actions []string
	for _, entry := range detail["history"].([]any) {
		e := entry.(map[string]any)
		actions = append(actions, fmt.Sprint(e["action"], " by ", e["by"]))
	}
	if got, want := strings.Join(actions, ", "), "raised by gateway gw, cleared by gateway gw, acknowledged by Ana"; got != want {
		t.Errorf("history: %s, want %s", got, want)
	}
}

func TestSamplesAndCompleteness(t *testing.T) {
	b := newBench(t)
	at := telemetry.MicrosOf(time.Now()) - 5_000_000
	b.samples(
		telemetry.Sample{Signal: 1, Time: at, Value: telemetry.FloatValue(230.1)},
		telemetry.Sample{Signal: 1, Time: at + 1e6, Quality: telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)},
		telemetry.Sample{Signal: 2, Time: at, Value: telemetry.BoolValue(true)},
	)
	b.birth()
	var voltage map[string]any
	b.eventually("/api/v1/series", func(a map[string]any) bool {
		for _, s := range a["series"].([]any) {
			if s := s.(map[string]any); s["name"] == "PhV.phsA" && s["latest"] != nil {
				voltage = s
			}
		}
		return voltage != nil
	})
	if voltage["unit"] != "V" || voltage["asset"] != "feeder-2" || voltage["gateway"] != "gw" {
		t.Errorf("series %v", voltage)
	}
	path := fmt.Sprintf("/api/v1/series/%v/samples?from_us=%d&to_us=%d", voltage["id"], at, at+2_000_000)
	_, answer := b.call("GET", path, "")
	got, err := json.Marshal(answer["samples"])
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`[{"q":"good","t":%d,"v":230.1},{"q":"bad (timeout)","t":%d,"v":null}]`, at, at+1_000_000)
	if string(got) != want {
		t.Errorf("samples\n got %s\nwant %s", got, want)
	}
	for path, want := range map[string]int{
		"/api/v1/series/99/samples?from_us=0&to_us=1":             404,
		"/api/v1/series/1/samples?from_us=2&to_us=1":              422,
		"/api/v1/series/1/samples?from_us=0&to_us=90000000000000": 422,
		"/api/v1/series/1/samples":                                422,
		// Their differences overflow an int64 and a time.Duration.
		"/api/v1/series/1/samples?from_us=0&to_us=18446744073709552":                       422,
		"/api/v1/series/1/samples?from_us=-9223372036854775808&to_us=9223372036854775807":  422,
		"/api/v1/series/1/samples?from_us=9223372036854775807&to_us=-9223372036854775808":  422,
		"/api/v1/series/1/samples?from_us=-9223372036854775808&to_us=-9223372036854775808": 200,
	} {
		if status, answer := b.call("GET", path, ""); status != want {
			t.Errorf("%s: %d %v, want %d", path, status, answer, want)
		}
	}

	_, gateways := b.call("GET", "/api/v1/gateways?stored=true", "")
	g := gateways["gateways"].([]any)[0].(map[string]any)
	epoch := g["epochs"].([]any)[0].(map[string]any)
	if g["id"] != "gw" || g["site"] != "north" || g["stored"] != 3.0 || epoch["received"] != 3.0 || epoch["expected"] != nil {
		t.Errorf("gateway %v", g)
	}
}

// However much operators ask, an alarm comes from the log to their screens.
func TestQuestionsDelayNoAlarm(t *testing.T) {
	b := newBench(t)
	end := make(chan struct{})
	release := sync.OnceFunc(func() { close(end) })
	defer time.AfterFunc(20*time.Second, func() { t.Error("the alarm waits for the answers"); release() }).Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	defer release()
	for range 8 {
		began := make(chan struct{})
		asking.Go(func() {
			b.store.Ask(b.t.Context(), func(*store.Tx) error { close(began); <-end; return nil })
		})
		select {
		case <-began:
			continue
		case <-time.After(100 * time.Millisecond): // there is room for no more
		}
		break
	}
	s := b.stream("?after=0", "")
	b.raise("a1")
	if _, data := s.next("alarm"); !strings.Contains(data, `"id":"a1"`) {
		t.Errorf("alarm: %s", data)
	}
}

func TestTooManySamplesAreRefused(t *testing.T) {
	b := newBench(t)
	b.birth()
	var id int64
	b.eventually("/api/v1/series", func(a map[string]any) bool {
		list := a["series"].([]any)
		if len(list) > 0 {
			id = int64(list[0].(map[string]any)["id"].(float64))
		}
		return len(list) > 0
	})
	samples := make([]telemetry.Sample, store.MostSamples+1)
	for i := range samples {
		samples[i] = telemetry.Sample{Signal: telemetry.SignalID(id), Time: telemetry.Micros(i), Value: telemetry.FloatValue(1)}
	}
	var encoder telemetry.Encoder
	block, err := encoder.AppendBlock(nil, telemetry.TableRef{}, samples)
	if err != nil {
		t.Fatal(err)
	}
	err = b.store.Write(t.Context(), func(tx *store.Tx) error {
		return tx.AddChunk(store.Chunk{Bundle: 1, First: 0, Last: store.MostSamples, Samples: len(samples), Block: block})
	})
	if err != nil {
		t.Fatal(err)
	}
	status, answer := b.call("GET", fmt.Sprintf("/api/v1/series/%d/samples?from_us=0&to_us=1000000", id), "")
	if status != 422 || !strings.Contains(fmt.Sprint(answer["detail"]), "ask for a shorter one") {
		t.Errorf("%d %v", status, answer["detail"])
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	b := newBench(t)
	b.raise("a1")
	b.eventually("/api/v1/alarms", func(a map[string]any) bool { return len(alarms(a)) == 1 })
	send := func(change func(*http.Request)) int {
		request, err := http.NewRequest("POST", b.server.URL+"/api/v1/alarms/a1/acknowledge", strings.NewReader(`{"by":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		change(request)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if status := send(func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }); status != 403 {
		t.Errorf("another origin: %d", status)
	}
	if status := send(func(r *http.Request) { r.Host = "rebound.example" }); status != 421 {
		t.Errorf("another host name: %d", status)
	}
	if status := send(func(*http.Request) {}); status != 200 {
		t.Errorf("the console itself: %d", status)
	}
}

var update = flag.Bool("update", false, "write docs/openapi.json")

func TestDescriptionIsCurrent(t *testing.T) {
	description := describe(http.NewServeMux(), Options{Version: "1", Live: NewLive(), Log: quiet})
	got, err := json.MarshalIndent(description, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const path = "../../docs/openapi.json"
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from the API; go test ./cloud/api -update writes it", path)
	}
}
