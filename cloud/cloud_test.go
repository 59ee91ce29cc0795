package cloud

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/database"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/postgres"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func embedded(t *testing.T) Config {
	return Config{
		Console: Console{Listen: freeAddress(t)},
		Log:     Log{Partitions: 1, Embedded: &Embedded{Listen: freeAddress(t), Path: "log"}},
		Store:   Store{Config: database.Config{Path: "cloud.db"}},
		Ingest:  Ingest{FlushEvery: configfile.Duration(10 * time.Millisecond)},
	}
}

// run runs a cloud until it is stopped or the test ends.
func run(t testing.TB, c *Cloud) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("targets %v: %v", c.options.Targets, err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestAStartThatFailsNamesTheCauseAndClosesWhatItOpened(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cases := map[string]struct {
		change func(*Config, string)
		want   []string
	}{
		"the console's port is in use": {func(c *Config, _ string) { c.Console.Listen = taken.Addr().String() },
			[]string{"console", taken.Addr().String(), "address already in use"}},
		"the log's port is in use": {func(c *Config, _ string) { c.Log.Embedded.Listen = taken.Addr().String() },
			[]string{"embedded log", taken.Addr().String(), "address already in use"}},
		"the CA can't be read": {func(c *Config, _ string) {
			c.Log = Log{Kafka: &kafkaconn.Config{Brokers: []string{"127.0.0.1:1"}, TLS: &kafkaconn.TLS{CA: "nowhere.crt"}}}
		}, []string{"nowhere.crt", "no such file"}},
		"the store is a directory": {func(c *Config, dir string) {
			c.Store.Path = "there"
			if err := os.Mkdir(filepath.Join(dir, "there"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"store", "there", "is a directory"}},
		"the log is where the store is": {func(c *Config, _ string) { c.Log.Embedded.Path = c.Store.Path },
			[]string{"embedded log", "cloud.db", "not a directory"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			config := embedded(t)
			c.change(&config, dir)
			started, err := New(t.Context(), config, Options{Dir: dir, Log: quiet})
			if err == nil {
				started.close()
				t.Fatal("it starts")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q doesn't say %q", err, want)
				}
			}
			if config.Console.Listen == taken.Addr().String() {
				return
			}
			again, err := net.Listen("tcp", config.Console.Listen)
			if err != nil {
				t.Fatalf("the console's port wasn't given back: %v", err)
			}
			again.Close()
		})
	}
}

func TestRefusesForeignHostsEverywhere(t *testing.T) {
	c, err := New(t.Context(), embedded(t), Options{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	handler := c.handler(time.Now())
	for _, path := range []string{"/", "/metrics", "/api/v1/alarms", "/openapi.json"} {
		for host, want := range map[string]int{"rebound.example": http.StatusMisdirectedRequest, "127.0.0.1:8080": http.StatusOK} {
			request := httptest.NewRequest("GET", path, nil)
			request.Host = host
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if answer.Code != want {
				t.Errorf("%s of %s: %d, want %d", path, host, answer.Code, want)
			}
		}
	}
}

func TestUnhealthyConsumersAreNamed(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	for name, c := range map[string]struct {
		now, ingest, alarms time.Time
		want                string
	}{
		"just started":         {at(14), time.Time{}, time.Time{}, ""},
		"never read":           {at(17), time.Time{}, time.Time{}, "telemetry alarms"},
		"all well":             {at(100), at(95), at(99), ""},
		"telemetry is silent":  {at(100), at(80), at(99), "telemetry"},
		"alarms are silent":    {at(100), at(99), at(80), "alarms"},
		"samples are gathered": {at(100), at(84), at(99), ""},
	} {
		var got []string
		for _, reason := range unhealthy(c.now, start, time.Second, c.ingest, c.alarms) {
			who, _, _ := strings.Cut(reason, ":")
			got = append(got, who)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// The state and the counters are those of consumers that run.
func TestHealthAndMetricsFollowTheConsumers(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { healthAndMetrics(t, embedded(t)) })
	t.Run("postgres", func(t *testing.T) {
		config := embedded(t)
		config.Store = Store{Config: database.Config{Postgres: &database.Postgres{URL: storetest.Postgres(t).Postgres.URL}}}
		healthAndMetrics(t, config)
	})
}

func healthAndMetrics(t *testing.T, config Config) {
	c, err := New(t.Context(), config, Options{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	// A start of long ago excuses nobody.
	handler := c.handler(time.Now().Add(-time.Hour))
	get := func(path string) (int, string) {
		request := httptest.NewRequest("GET", path, nil)
		request.Host = "localhost"
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer.Code, answer.Body.String()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		code, body := get("/healthz")
		if code == http.StatusOK && body == "ok\n" {
			break
		}
		if code != http.StatusServiceUnavailable || time.Now().After(deadline) {
			t.Fatalf("%d %s", code, body)
		}
	}
	_, text := get("/metrics")
	for _, name := range []string{"ingest_records_total", `ingest_lag_records{topic="telemetry"}`, `ingest_lag_records{topic="backfill"}`, "alarm_events_total", "alarm_duplicates_total", "alarm_lag_records", "pack_backlog_hours", "packed_hours_total", "packed_samples_total"} {
		if !strings.Contains(text, "\nbusbar_cloud_"+name+" 0\n") {
			t.Errorf("%s is missing", name)
		}
	}
	// These come with the first transaction's time.
	for _, name := range []string{`{partition="0",topic="telemetry"}`, `{partition="0",topic="backfill"}`, `{partition="0",topic="births"}`} {
		await.True(t, "the lag of "+name, func() bool {
			_, text := get("/metrics")
			return strings.Contains(text, "\nbusbar_cloud_ingest_partition_lag_records"+name+" 0\n")
		})
	}
}
