package test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/postgres"
)

// BenchmarkIngest runs the real cloud, after it was away while 100 gateways of 1,000
// signals each went on writing to three real brokers, until it has stored what they wrote.
// It reports what that costs the cloud's process, PostgreSQL's apart, and the database's
// files, in which nothing is packed yet.
func BenchmarkIngest(b *testing.B) {
	const gateways, signals, seconds = 100, 1000, 300
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, perBlock := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/signals=%d/seconds=%d", engine, gateways*signals, perBlock), func(b *testing.B) {
				s := newIngestSite(b, engine == "postgres", gateways, signals)
				s.takeBirths()
				n := s.fleet.fill(time.Now().Add(-seconds*time.Second), seconds, perBlock)
				s.catchUp(b, n)
			})
		}
	}
}

// ingestSite is a cloud on real brokers, and the fleet that writes to them.
type ingestSite struct {
	testing.TB
	dir, console string
	config       string // but for the console
	database     store.Config
	server       *postgres.Server // nil: SQLite
	fleet        *fleet
}

func newIngestSite(t testing.TB, onPostgres bool, gateways, signals int) *ingestSite {
	t.Helper()
	cluster, prefix := kafka.Shared(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	user, err := cluster.Cloud(ctx, prefix)
	if err != nil {
		t.Fatal(err)
	}
	s := &ingestSite{TB: t, dir: t.TempDir(), console: freeAddress(t)}
	s.database = store.Config{Path: filepath.Join(s.dir, "cloud.db")}
	database := "{path: cloud.db}"
	if onPostgres {
		s.server = postgres.Start(t)
		if err := s.server.Create("busbar", ""); err != nil {
			t.Fatal(err)
		}
		s.database = store.Config{Postgres: &store.Postgres{URL: s.server.URL("busbar")}}
		database = fmt.Sprintf("{postgres: {url: %q}}", s.database.Postgres.URL)
	}
	s.config = fmt.Sprintf("log:\n  kafka:\n%sstore: %s\n", kafka.YAML(user.MTLS(), "    "), database)
	write(t, s.dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\n%s", s.console, s.config))
	s.fleet = newFleet(t, cluster.Brokers(), prefix, gateways, signals)
	s.fleet.enrol(s.database)
	return s
}

func (s *ingestSite) cloud() *program {
	s.Helper()
	p := start(s, s.dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
	await(s, "the cloud runs", time.Minute, func() bool { return reachable(s.console) })
	return p
}

// takeBirths has the cloud store the signal tables and stops it.
func (s *ingestSite) takeBirths() {
	s.Helper()
	s.fleet.bear()
	p := s.cloud()
	db := openStore(s, s.database)
	defer db.Close()
	await(s, "the signal tables are stored", 10*time.Minute, func() bool {
		series, err := db.Series(context.Background())
		return err == nil && len(series) == s.fleet.gateways*s.fleet.signals
	})
	p.stop()
}

// catchUp runs the cloud until it has stored so many samples.
func (s *ingestSite) catchUp(b *testing.B, samples int) {
	s.Helper()
	empty := s.onDisk()
	var server time.Duration
	if s.server != nil {
		server = s.server.CPU()
	}
	began := time.Now()
	p := s.cloud()
	var used usage
	var most uint64
	await(s, "everything is stored", 10*time.Minute, func() bool {
		time.Sleep(200 * time.Millisecond) // answering costs the cloud, too
		used = usageOf(s, p.cmd.Process.Pid)
		most = max(most, used.anonymous)
		return metrics(s, s.console)["busbar_cloud_ingest_samples_total"] >= float64(samples)
	})
	took := time.Since(began)
	if s.server != nil {
		server = s.server.CPU() - server
	}
	p.stop()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(samples)/took.Seconds()/1e6, "M-samples/s")
	b.ReportMetric(float64(samples)/used.cpu.Seconds()/1e6, "M-samples/CPU-s")
	if s.server != nil {
		b.ReportMetric(float64(samples)/(used.cpu+server).Seconds()/1e6, "M-samples/CPU-s-with-server")
	}
	b.ReportMetric(float64(most)/1e6, "MB-anon-most")
	b.ReportMetric(float64(s.onDisk()-empty)/float64(samples), "disk-B/sample")
}

// onDisk is the size of the database's files, while no cloud runs.
func (s *ingestSite) onDisk() (bytes int64) {
	s.Helper()
	if s.server == nil {
		info, err := os.Stat(s.database.Path)
		if err != nil {
			s.Fatal(err)
		}
		return info.Size()
	}
	db, err := sql.Open("pgx", s.database.Postgres.URL)
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(`SELECT pg_database_size(current_database())`).Scan(&bytes); err != nil {
		s.Fatal(err)
	}
	return bytes
}
