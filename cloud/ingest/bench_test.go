package ingest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/postgres"
	"github.com/twmb/franz-go/pkg/kgo"
)

// meters are gateways with meters of 50 signals each: voltages with a noise of
// 0.2 V in steps of 0.1 V, polled once a second with some ms of jitter.
type meters struct {
	signals int
	random  *rand.Rand
	as      func(*kgo.Record) *kgo.Record // how fill sends records; nil: as they are
}

const (
	signalsPerMeter   = 50
	signalsPerGateway = 1000
)

func (m meters) gateways() int { return max(1, m.signals/signalsPerGateway) }

func (m meters) perGateway() int { return m.signals / m.gateways() }

func (m meters) table() []telemetry.Signal {
	list := make([]telemetry.Signal, m.perGateway())
	for i := range list {
		list[i] = telemetry.Signal{ID: telemetry.SignalID(i), Device: fmt.Sprintf("meter-%03d", i/signalsPerMeter), Name: fmt.Sprintf("PhV%02d", i%signalsPerMeter), Unit: "V", Kind: telemetry.Gauge}
	}
	return list
}

// seconds are the samples of one gateway over some seconds.
func (m meters) seconds(from, n int) []telemetry.Sample {
	var samples []telemetry.Sample
	for second := from; second < from+n; second++ {
		var at telemetry.Micros
		for i := range m.perGateway() {
			if i%signalsPerMeter == 0 {
				at = 1_700_000_000_000_000 + telemetry.Micros(second)*1_000_000 + telemetry.Micros(m.random.IntN(5000))
			}
			v := math.Round((230+0.2*m.random.NormFloat64())*10) / 10
			samples = append(samples, telemetry.Sample{Signal: telemetry.SignalID(i), Time: at, Value: telemetry.FloatValue(v)})
		}
	}
	return samples
}

// born sends the births and waits until they are stored.
func (m meters) born(w *world) {
	for g := range m.gateways() {
		w.send(birthRecord(w, fmt.Sprintf("gw-%d", g), m.table()...))
	}
	_, stop := w.start(w.config())
	await.True(w, "births", w.caughtUp)
	stop()
}

// fill writes seconds of every gateway to the log, each record with perBlock of
// them, and returns the number of samples.
func (m meters) fill(w *world, seconds, perBlock int) int {
	n := 0
	for second := 0; second < seconds; second += perBlock {
		for g := range m.gateways() {
			samples := m.seconds(second, perBlock)
			first := uint64(second * m.perGateway())
			r := logRecord(record.Record{Identity: record.Identity{Gateway: fmt.Sprintf("gw-%d", g), Epoch: 1, Stream: record.Telemetry,
				First: first, Last: first + uint64(len(samples)) - 1}, Format: record.FormatBlock, Payload: block(w, samples)})
			if m.as != nil {
				r = m.as(r)
			}
			w.send(r)
			n += len(samples)
		}
	}
	return n
}

// fetched is a record as it comes from the log at an offset.
func fetched(r *kgo.Record, offset int) []*kgo.Record {
	r.Offset = int64(offset)
	return []*kgo.Record{r}
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// size is the bytes of the database: of SQLite's pages in use, or of PostgreSQL's tables
// and indexes.
func size(b *testing.B, database store.Config) (bytes int64) {
	driver, name, query := "sqlite", "file:"+database.Path, `SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size`
	if database.Postgres != nil {
		driver, name, query = "pgx", database.Postgres.URL, `SELECT SUM(pg_total_relation_size(oid))::BIGINT FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(&bytes); err != nil {
		b.Fatal(err)
	}
	return bytes
}

// settle does what PostgreSQL would do by itself some time later, about what was stored
// so far.
func settle(b *testing.B, database store.Config) {
	if database.Postgres == nil {
		return
	}
	db, err := sql.Open("pgx", database.Postgres.URL)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`VACUUM ANALYZE`); err != nil {
		b.Fatal(err)
	}
}

var engines = []struct {
	name string
	new  func(testing.TB) store.Config
}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}}

// Catching up on a backlog in an in-process broker, whose CPU is counted too; that of
// PostgreSQL's processes is told apart.
func BenchmarkCatchUp(b *testing.B) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	for _, c := range []struct {
		signals, seconds, perBlock int
		packing                    bool // what was stored, beside
	}{{5_000, 240, 2, false}, {5_000, 240, 2, true}, {100_000, 20, 2, false}, {100_000, 20, 10, false}} {
		for _, engine := range engines {
			b.Run(fmt.Sprintf("%s/signals=%d/seconds=%d/packing=%v", engine.name, c.signals, c.perBlock, c.packing), func(b *testing.B) {
				b.ReportAllocs()
				var packed compact.Stats
				var samples int
				var used, server, longest time.Duration
				var bytes int64
				for range b.N {
					b.StopTimer()
					w := newWorldIn(b, engine.new(b))
					m := meters{c.signals, rand.New(rand.NewPCG(1, 2)), nil}
					m.born(w)
					n := m.fill(w, c.seconds, c.perBlock)
					settle(b, w.database)
					empty := size(b, w.database)
					b.StartTimer()
					before, serverBefore := cpu(), postgres.CPU()
					finish := func() compact.Stats { return compact.Stats{} }
					if c.packing {
						finish = packing(w)
					}
					r, stop := w.start(Config{Log: w.opts, Topics: topics, Store: w.store})
					await.True(w, "catching up", func() bool { return r.Stats().Samples == uint64(n) })
					used += cpu() - before
					server += postgres.CPU() - serverBefore
					packed = finish()
					b.StopTimer()
					stop()
					w.store.Close()
					bytes += size(b, w.database) - empty
					samples += n
					longest = max(longest, r.Stats().LongestTime)
				}
				b.ReportMetric(float64(samples)/used.Seconds(), "samples/CPU-s")
				if server > 0 {
					b.ReportMetric(float64(samples)/(used+server).Seconds(), "samples/CPU-s-with-server")
				}
				b.ReportMetric(float64(bytes)/float64(samples), "B/sample")
				b.ReportMetric(longest.Seconds()*1000, "longest-tx-ms")
				if c.packing {
					b.ReportMetric(float64(packed.Samples), "packed-samples")
					b.ReportMetric(packed.Busy.Seconds(), "packing-s")
					b.ReportMetric(packed.Longest.Seconds()*1000, "longest-packing-tx-ms")
				}
			})
		}
	}
}

// packing packs whatever is stored until the function that it returns is called.
func packing(w *world) (finish func() compact.Stats) {
	ctx, stop := context.WithCancel(context.Background())
	r := compact.New(compact.Config{Store: w.store})
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			if err := r.Pass(ctx, time.Now()); err != nil && ctx.Err() == nil {
				w.Error(err)
			}
		}
	})
	return func() compact.Stats {
		stop()
		running.Wait()
		return r.Stats()
	}
}

// Current telemetry, a record of each gateway a second, beside the drain of a
// backlog: from the moment it is in the log to the moment it is stored.
func BenchmarkCurrentBesideBacklog(b *testing.B) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	const signals, seconds = 5_000, 1200
	var samples int
	var used, longest time.Duration
	var latencies []time.Duration
	for range b.N {
		b.StopTimer()
		w := newWorld(b)
		m := meters{signals, rand.New(rand.NewPCG(1, 2)), nil}
		m.born(w)
		m.as = backfilled
		backlog := m.fill(w, seconds, 2)
		m.as = nil
		stored := make(chan struct{}, m.gateways())
		current := telemetry.Micros(0)
		config := Config{Log: w.opts, Topics: topics, Store: w.store, OnLatest: func(list []telemetry.Sample) {
			for _, s := range list {
				if s.Time >= current && s.Signal%signalsPerGateway == 1 {
					stored <- struct{}{}
				}
			}
		}}
		b.StartTimer()
		before := cpu()
		r, stop := w.start(config)
		for second := seconds; r.Stats().Samples < uint64(backlog); second++ {
			current = 1_700_000_000_000_000 + telemetry.Micros(second)*1_000_000
			began := time.Now()
			for g := range m.gateways() {
				list := m.seconds(second, 1)
				first := uint64(second * m.perGateway())
				w.send(logRecord(record.Record{Identity: record.Identity{Gateway: fmt.Sprintf("gw-%d", g), Epoch: 1, Stream: record.Telemetry,
					First: first, Last: first + uint64(len(list)) - 1}, Format: record.FormatBlock, Payload: block(w, list)}))
				samples += len(list)
			}
			for range m.gateways() {
				<-stored
			}
			latencies = append(latencies, time.Since(began))
		}
		used += cpu() - before
		b.StopTimer()
		stop()
		samples += backlog
		longest = max(longest, r.Stats().LongestTime)
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(samples)/used.Seconds(), "samples/CPU-s")
	b.ReportMetric(latencies[len(latencies)/2].Seconds()*1000, "current-ms-p50")
	b.ReportMetric(latencies[(len(latencies)-1)*99/100].Seconds()*1000, "current-ms-p99")
	b.ReportMetric(longest.Seconds()*1000, "longest-tx-ms")
}

// One second of a meter reading a transaction, as it is online.
func BenchmarkOnline(b *testing.B) {
	m := meters{5_000, rand.New(rand.NewPCG(1, 2)), nil}
	w := newWorld(b)
	m.born(w)
	r := New(Config{Log: w.opts, Topics: topics, Store: w.store})
	s := newSession(r, map[string]map[int32]int64{})
	ctx := context.Background()
	empty := size(b, w.database)
	b.ReportAllocs()
	before := cpu()
	second := 0
	for b.Loop() {
		for g := range m.gateways() {
			samples := m.seconds(second, 1)
			first := uint64(second * m.perGateway())
			rec := logRecord(record.Record{Identity: record.Identity{Gateway: fmt.Sprintf("gw-%d", g), Epoch: 1, Stream: record.Telemetry,
				First: first, Last: first + uint64(len(samples)) - 1}, Format: record.FormatBlock, Payload: block(w, samples)})
			if err := s.take(ctx, fetched(rec, second*m.gateways()+g)); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.flush(ctx); err != nil {
			b.Fatal(err)
		}
		second++
	}
	samples := float64(second * m.signals)
	b.ReportMetric(samples/(cpu()-before).Seconds(), "samples/CPU-s")
	w.store.Close()
	b.ReportMetric(float64(size(b, w.database)-empty)/samples, "B/sample")
	b.ReportMetric(r.Stats().LongestTime.Seconds()*1000, "longest-tx-ms")
}

// The same samples as one row each, in transactions of 200,000.
func BenchmarkRowPerSample(b *testing.B) {
	m := meters{5_000, rand.New(rand.NewPCG(1, 2)), nil}
	path := filepath.Join(b.TempDir(), "rows.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE sample (series BIGINT, time BIGINT, value DOUBLE, quality BIGINT, PRIMARY KEY (series, time)) WITHOUT ROWID`); err != nil {
		b.Fatal(err)
	}
	const seconds = 40
	samples := m.seconds(0, seconds)
	rows := 0
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		stmt, err := tx.Prepare(`INSERT INTO sample VALUES (?, ?, ?, ?)`)
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range samples {
			v, _ := s.Value.Float()
			shift := int64(rows / len(samples) * seconds * 1_000_000)
			if _, err := stmt.Exec(int64(s.Signal), int64(s.Time)+shift, v, int64(s.Quality)); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
		rows += len(samples)
	}
	b.ReportMetric(float64(rows)/(cpu()-before).Seconds(), "samples/CPU-s")
	db.Close()
	b.ReportMetric(float64(size(b, store.Config{Path: path}))/float64(rows), "B/sample")
}

// Reading the last ten minutes of a signal that was stored a second at a time.
func BenchmarkReadTenMinutes(b *testing.B) {
	for _, engine := range engines {
		b.Run(engine.name, func(b *testing.B) {
			m := meters{1_000, rand.New(rand.NewPCG(1, 2)), nil}
			w := newWorldIn(b, engine.new(b))
			m.born(w)
			s := newSession(New(Config{Store: w.store, Topics: topics}), map[string]map[int32]int64{})
			ctx := context.Background()
			for second := range 900 {
				samples := m.seconds(second, 1)
				first := uint64(second * m.perGateway())
				rec := logRecord(record.Record{Identity: record.Identity{Gateway: "gw-0", Epoch: 1, Stream: record.Telemetry, First: first, Last: first + uint64(len(samples)) - 1},
					Format: record.FormatBlock, Payload: block(w, samples)})
				if err := s.take(ctx, fetched(rec, second)); err != nil {
					b.Fatal(err)
				}
				if err := s.flush(ctx); err != nil {
					b.Fatal(err)
				}
			}
			series, err := w.store.Series(ctx)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_, samples, err := w.store.Samples(ctx, series[500].ID, 1_700_000_000_000_000+300_000_000, 1_700_000_000_000_000+900_000_000)
				if err != nil || len(samples) != 600 {
					b.Fatal(len(samples), err)
				}
			}
		})
	}
}
