package cloud

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/database"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

// site is a log and a database that several clouds may run on, and a gateway's client.
type site struct {
	*testing.T
	config  Config
	client  *kgo.Client
	drained chan struct{} // closed: those that stop answer no longer
}

var names = record.TopicsOf("")

func newSite(t *testing.T) *site {
	t.Helper()
	broker, err := log.StartEmbedded(t.Context(), log.EmbeddedOptions{Listen: "127.0.0.1:0", Dir: t.TempDir(), Topics: log.Topics(names, 2, 0, 0), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	config := embedded(t)
	config.Store = Store{Config: database.Config{Postgres: &database.Postgres{URL: storetest.Postgres(t).Postgres.URL}}}
	config.Log = Log{Partitions: 2, Kafka: &kafkaconn.Config{Brokers: []string{broker.Addr()}, Insecure: true}}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &site{t, config, client, make(chan struct{})}
}

// start runs a cloud until it is stopped, or the test ends.
func (s *site) start(drain time.Duration, targets ...Target) (c *Cloud, stop func()) {
	s.Helper()
	config := s.config
	config.Console.Listen = "127.0.0.1:0"
	c, err := New(s.Context(), config, Options{Dir: s.TempDir(), Log: quiet, Targets: targets, Drain: drain, drained: s.drained})
	if err != nil {
		s.Fatal(err)
	}
	return c, run(s, c)
}

func (s *site) send(r *kgo.Record) {
	s.Helper()
	if err := s.client.ProduceSync(s.Context(), identitytest.Sign(r)).FirstErr(); err != nil {
		s.Fatal(err)
	}
}

func (s *site) sendRecord(topic string, r record.Record) {
	s.Helper()
	k := &kgo.Record{Topic: topic, Key: []byte(r.Gateway), Value: r.Payload}
	for _, h := range r.Headers() {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	s.send(k)
}

func (s *site) encode(v any) []byte {
	s.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		s.Fatal(err)
	}
	return text
}

func get(c *Cloud, path string) (int, string) {
	request := httptest.NewRequest("GET", "http://localhost"+path, nil)
	answer := httptest.NewRecorder()
	c.handler(time.Now()).ServeHTTP(answer, request)
	return answer.Code, answer.Body.String()
}

// One process takes in, another serves: what comes shows there, and what operators do
// there reaches the gateway.
func TestAConsoleBesideTheConsumers(t *testing.T) {
	s := newSite(t)
	taking, _ := s.start(0, TargetIngest, TargetAlarm)
	serving, stop := s.start(0, TargetAPI)
	identitytest.Enrol(t, taking.store, "gw")
	await.True(s, "both to be ready", func() bool {
		a, _ := get(taking, "/readyz")
		b, _ := get(serving, "/readyz")
		return a == http.StatusOK && b == http.StatusOK
	})
	if code, _ := get(taking, "/api/v1/alarms"); code != http.StatusNotFound {
		t.Errorf("the process without the API answers %d", code)
	}

	response, err := http.Get(serving.url() + "/api/v1/stream?after=0")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	next := func(what string) string {
		t.Helper()
		for deadline := time.After(time.Minute); ; {
			select {
			case line, ok := <-lines:
				if !ok {
					t.Fatalf("the stream ends before %s", what)
				}
				if strings.Contains(line, what) {
					return line
				}
			case <-deadline:
				t.Fatalf("waited too long for %s", what)
			}
		}
	}

	born := record.Birth{Gateway: "gw", Table: "000000000000abcd", Version: 1, Parts: 1,
		Signals: []telemetry.Signal{{ID: 1, Device: "m", Name: "PhV", Unit: "V", Kind: telemetry.Gauge}}}
	s.send(&kgo.Record{Topic: names.Births(), Key: []byte(born.Key()), Value: s.encode(born)})
	var encoder telemetry.Encoder
	block, err := encoder.AppendBlock(nil, telemetry.TableRef{Table: 0xabcd, Version: 1},
		[]telemetry.Sample{{Signal: 1, Time: telemetry.MicrosOf(time.Now()), Value: telemetry.FloatValue(231.25)}})
	if err != nil {
		t.Fatal(err)
	}
	s.sendRecord(names.Telemetry(), record.Record{Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry}, Format: record.FormatBlock, Payload: block})
	next("231.25")

	now := telemetry.MicrosOf(time.Now())
	for n, e := range []telemetry.Event{
		{Kind: telemetry.GatewayStarted, Time: now, Decided: now, Lifecycle: &telemetry.Lifecycle{Start: 1}},
		{Kind: telemetry.AlarmRaised, Time: now, Decided: now, Alarm: &telemetry.AlarmChange{ID: "a-1", Rule: "r", Asset: "f", Priority: telemetry.High, Summary: "broken"}},
	} {
		s.sendRecord(names.Events(), record.Record{Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Events, First: uint64(n), Last: uint64(n)},
			Format: record.FormatEvent, Payload: s.encode(e)})
	}
	next("broken")
	answer, err := http.Post(serving.url()+"/api/v1/alarms/a-1/acknowledge", "application/json", strings.NewReader(`{"by": "Ana"}`))
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatalf("acknowledging: %s %s", answer.Status, body)
	}
	next(`"acknowledged":true`)
	commands, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.config.Log.Kafka.Brokers...)}, kgo.ConsumeTopics(names.Commands()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer commands.Close()
	told := false
	await.True(s, "the gateway to be told", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		commands.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			told = told || strings.Contains(string(r.Value), `"a-1"`)
		})
		return told
	})

	// Each tells up to when all is stored, whoever does it.
	for _, c := range []*Cloud{taking, serving} {
		await.True(s, "the progress", func() bool {
			_, text := get(c, "/metrics")
			return strings.Contains(text, "\nbusbar_cloud_ingest_through_timestamp_seconds ") && strings.Contains(text, "\nbusbar_cloud_alarm_through_timestamp_seconds ")
		})
	}
	_, text := get(taking, "/metrics")
	for _, want := range []string{`work_parts{work="ingest"} 2`, `work_parts{work="alarm"} 1`, `work_processes{work="ingest"} 1`} {
		if !strings.Contains(text, "\nbusbar_cloud_"+want+"\n") {
			t.Errorf("no %s in the metrics", want)
		}
	}
	go stop()
	next("retry: ")
}

// A second process of everything stands by, is healthy, and takes over from the first.
func TestAReplicaTakesOver(t *testing.T) {
	s := newSite(t)
	first, stop := s.start(0)
	holds := func(c *Cloud) string {
		text := ""
		for _, target := range []Target{TargetIngest, TargetAlarm, TargetAnalytics} {
			text += fmt.Sprint(len(c.sharing[target].State().Share.Parts))
		}
		return text
	}
	await.True(s, "one to have all", func() bool { return holds(first) == "211" })
	second, _ := s.start(0)
	await.True(s, "the parts to be divided", func() bool { return holds(first)[0] == '1' && holds(second) == "100" })
	await.True(s, "the second to be ready", func() bool { code, _ := get(second, "/readyz"); return code == http.StatusOK })
	// A start of long ago excuses nobody: the alarms' consumer stands by.
	await.True(s, "the second to be healthy", func() bool { return len(second.unhealthy(time.Now().Add(-time.Hour))) == 0 })
	stop()
	await.True(s, "the second to have all", func() bool {
		if reasons := second.unhealthy(time.Now().Add(-time.Hour)); len(reasons) > 0 {
			t.Fatalf("while it takes over: %s", reasons)
		}
		return holds(second) == "211"
	})
	if reasons := second.unhealthy(time.Now().Add(-time.Hour)); len(reasons) > 0 {
		t.Errorf("having taken over: %s", reasons)
	}
}

// A process that is told to stop isn't ready any more, and answers for a while.
func TestDrains(t *testing.T) {
	s := newSite(t)
	c, stop := s.start(time.Hour, TargetAPI)
	drained := sync.OnceFunc(func() { close(s.drained) })
	t.Cleanup(drained)
	url := c.url()
	status := func(path string) int {
		response, err := http.Get(url + path)
		if err != nil {
			return 0
		}
		response.Body.Close()
		return response.StatusCode
	}
	if code := status("/readyz"); code != http.StatusOK {
		t.Fatalf("/readyz: %d", code)
	}
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	await.True(s, "it not to be ready", func() bool { return status("/readyz") == http.StatusServiceUnavailable })
	if live, alarms := status("/livez"), status("/api/v1/alarms"); live != http.StatusOK || alarms != http.StatusOK {
		t.Errorf("/livez: %d, alarms: %d", live, alarms)
	}
	drained()
	<-stopped
	if code := status("/livez"); code != 0 {
		t.Errorf("it answers %d after its end", code)
	}
}

// A database that doesn't answer makes a process unready, and not dead.
func TestWithoutItsDatabaseItIsNotReady(t *testing.T) {
	config := embedded(t)
	dir := t.TempDir()
	config.Store.Path = "cloud.db"
	c, err := New(t.Context(), config, Options{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if code, text := get(c, "/readyz"); code != http.StatusServiceUnavailable || text != "log: it couldn't be read yet\n" {
		t.Errorf("before it runs: %d %s", code, text)
	}
	close(c.prepared)
	if code, text := get(c, "/readyz"); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	if code, text := get(c, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "store: it doesn't answer") {
		t.Errorf("%s: %d %s", filepath.Join(dir, "cloud.db"), code, text)
	}
	if code, _ := get(c, "/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
}
