package test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"math"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/ingest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// The load of the tests below: gateways whose samples are known by their numbers, some of
// which are sent again, or as backfill, or before their signal table.
const (
	loadGateways = 10
	loadSignals  = 50
	loadUnborn   = 500 // samples of each gateway before its signal table
	loadPause    = 4 * time.Millisecond

	fleetPartitions = 4 // as CreateTopics has them
)

// load sends until it is stopped.
type load struct {
	*fleet
	from telemetry.Micros // the first samples' time, at which an hour begins
	sent []uint64         // by gateway; whoever reads it has stopped the load
	stop func()
}

func (s *ingestSite) load() *load {
	s.Helper()
	seed := uint64(time.Now().UnixNano())
	s.Logf("seed %d", seed)
	l := &load{fleet: s.fleet, from: telemetry.MicrosOf(time.Now().Truncate(time.Hour).Add(-48 * time.Hour)), sent: make([]uint64, s.fleet.gateways)}
	ending := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() { l.send(rand.New(rand.NewPCG(seed, 0)), ending) })
	l.stop = sync.OnceFunc(func() {
		close(ending)
		sending.Wait()
	})
	s.Cleanup(l.stop)
	return l
}

// sample is that of a gateway with a sequence number.
func (l *load) sample(g int, seq uint64) telemetry.Sample {
	s := telemetry.Sample{Signal: telemetry.SignalID(seq % uint64(l.signals)), Time: l.from + telemetry.Micros(seq/uint64(l.signals)*1_000_000+seq%977),
		Value: telemetry.FloatValue(float64(seq)/10 + float64(g)/1000)}
	if seq%11 == 0 {
		s.Quality = telemetry.Substituted
	}
	return s
}

func (l *load) send(random *rand.Rand, ending <-chan struct{}) {
	var encoder telemetry.Encoder
	var samples []telemetry.Sample
	var old []*kgo.Record
	produce := func(r *kgo.Record) {
		l.client.Produce(context.Background(), &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}, func(_ *kgo.Record, err error) {
			if err != nil {
				l.Error(err)
			}
		})
	}
	defer l.client.Flush(context.Background())
	born := false
	for pace := time.NewTicker(loadPause); ; {
		select {
		case <-ending:
			return
		case <-pace.C:
		}
		if !born && l.started() {
			born = true
			l.bear()
		}
		g := random.IntN(l.gateways)
		samples = samples[:0]
		for range 20 + random.IntN(200) {
			samples = append(samples, l.sample(g, l.sent[g]+uint64(len(samples))))
		}
		topic := l.topics.Telemetry()
		if random.IntN(8) == 0 {
			topic = l.topics.Backfill()
		}
		r := l.block(&encoder, topic, g, l.sent[g], samples)
		l.sent[g] += uint64(len(samples))
		produce(r)
		if len(old) < 1000 {
			old = append(old, r)
		} else {
			old[random.IntN(len(old))] = r
		}
		if random.IntN(4) == 0 {
			produce(old[random.IntN(len(old))])
		}
	}
}

// started reports whether every gateway has sent without a signal table.
func (l *load) started() bool {
	for _, sent := range l.sent {
		if sent < loadUnborn {
			return false
		}
	}
	return true
}

// runner keeps a cloud running, as an init system does: one whose database is away when
// it starts ends, and is started again.
type runner struct {
	*ingestSite
	db      *store.Store
	random  *rand.Rand
	program *program
}

func (s *ingestSite) runner() *runner {
	s.Helper()
	db := openStore(s, s.database)
	s.Cleanup(func() { db.Close() })
	r := &runner{ingestSite: s, db: db, random: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))}
	r.up()
	return r
}

func (r *runner) up() {
	r.program = start(r, r.dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
}

// committed is where the consumer's offsets are.
func committed(db *store.Store) (string, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	offsets, err := db.Offsets(ctx, ingest.Consumer)
	return fmt.Sprint(offsets), err == nil
}

// awaitCommit waits until somebody has moved an offset.
func awaitCommit(t testing.TB, db *store.Store, meanwhile func()) {
	t.Helper()
	before, known := "", false
	await(t, "something is stored", 2*time.Minute, func() bool {
		meanwhile()
		now, ok := committed(db)
		switch {
		case !ok:
		case !known:
			before, known = now, true
		default:
			return now != before
		}
		return false
	})
}

func (r *runner) keepUp() {
	select {
	case <-r.program.done:
		r.up()
	default:
	}
}

// A moment under load: most often while transactions follow each other, and else
// shortly after a start.
func (r *runner) moment() {
	r.Helper()
	if r.random.IntN(4) > 0 {
		awaitCommit(r, r.db, r.keepUp)
	}
	time.Sleep(time.Duration(r.random.IntN(300_000)) * time.Microsecond)
}

// The cloud and PostgreSQL are killed by turns at random moments, and now and then both,
// while gateways write to three real brokers. Every sample is stored once, as it was sent.
func TestTortureIngestKills(t *testing.T) {
	if !torture {
		t.Skip("set BUSBAR_TORTURE for 100 kills on real brokers; go test ./cloud/ingest has five without")
	}
	t.Parallel()
	s := newIngestSite(t, true, loadGateways, loadSignals)
	r := s.runner()
	l := s.load()
	began := time.Now()
	var clouds, servers int
	const kills = 100
	for i := range kills {
		r.moment()
		if i%2 == 0 || i%10 == 9 {
			r.program.kill()
			clouds++
		}
		if i%2 == 1 {
			s.server.Kill()
			servers++
			if err := s.server.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		r.keepUp()
	}
	awaitCommit(t, r.db, r.keepUp)
	l.stop()
	t.Logf("%d kills of the cloud and %d of PostgreSQL in %s", clouds, servers, time.Since(began).Round(time.Second))
	l.storedOnce(r.db, r.keepUp)
}

// Two processes come and go under load, stopped and killed by turns.
func TestTortureIngestReplicas(t *testing.T) {
	if !torture {
		t.Skip("set BUSBAR_TORTURE for ten rounds of joining and leaving on real brokers; go test ./cloud/ingest has three without")
	}
	t.Parallel()
	s := newIngestSite(t, true, loadGateways, loadSignals)
	db := openStore(t, s.database)
	defer db.Close()
	l := s.load()
	nothing := func() {}
	var running []*replica
	join := func() {
		running = append(running, s.replica())
		await(t, "the partitions are divided", 2*time.Minute, func() bool {
			for _, r := range running {
				if !reachable(r.console) {
					return false
				}
				m := metrics(t, r.console)
				if m[`busbar_cloud_work_processes{work="ingest"}`] != float64(len(running)) || m[`busbar_cloud_work_parts{work="ingest"}`] != float64(fleetPartitions/len(running)) {
					return false
				}
			}
			return true
		})
		awaitCommit(t, db, nothing)
	}
	join()
	began := time.Now()
	const rounds = 10
	for i := range rounds {
		join()
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		leaving := running[0]
		running = running[1:]
		if i%2 == 0 {
			leaving.cmd.Process.Signal(syscall.SIGTERM)
			<-leaving.done
			if code := leaving.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("a process that was told to stop: exit code %d", code)
			}
		} else {
			leaving.kill()
		}
		awaitCommit(t, db, nothing)
	}
	l.stop()
	t.Logf("%d processes joined and left in %s", rounds, time.Since(began).Round(time.Second))
	l.storedOnce(db, nothing)
}

type replica struct {
	*program
	console string
}

func (s *ingestSite) replica() *replica {
	s.Helper()
	console := freeAddress(s)
	name := fmt.Sprintf("cloud-%d.yaml", time.Now().UnixNano())
	write(s, s.dir, name, fmt.Sprintf("console: {listen: %q}\n%s", console, s.config))
	return &replica{start(s, s.dir, "busbar-cloud", "run", "--config", name, "--target", "ingest,analytics", "--log-level", "error"), console}
}

// storedOnce waits until all that was sent has been taken, and compares it sample by
// sample with what is stored, and with what the ledger and the offsets say.
func (l *load) storedOnce(db *store.Store, meanwhile func()) {
	l.Helper()
	ctx := context.Background()
	ends, err := kadm.NewClient(l.client).ListEndOffsets(ctx, l.topics.Telemetry(), l.topics.Backfill(), l.topics.Births())
	if err != nil {
		l.Fatal(err)
	}
	await(l, "everything is taken", 5*time.Minute, func() bool {
		meanwhile()
		offsets, err := db.Offsets(ctx, ingest.Consumer)
		if err != nil {
			return false
		}
		for _, partitions := range ends.Offsets() {
			for _, p := range partitions {
				if offsets[p.Topic][p.Partition] != p.At {
					return false
				}
			}
		}
		parked, err := db.ParkedTables(ctx)
		return err == nil && len(parked) == 0
	})
	if aside, err := db.Quarantined(ctx, 10); err != nil || len(aside) > 0 {
		l.Errorf("in the quarantine: %+v, %v", aside, err)
	}
	intervals := map[string][]store.Interval{}
	err = db.Read(ctx, func(t *store.Tx) error {
		return t.Each(func(rows *sql.Rows) error {
			var gateway string
			var i store.Interval
			err := rows.Scan(&gateway, &i.First, &i.Last)
			intervals[gateway] = append(intervals[gateway], i)
			return err
		}, `SELECT q.gateway, i.seq_first, i.seq_last FROM received_interval i JOIN sequence q ON q.id = i.sequence`)
	})
	if err != nil {
		l.Fatal(err)
	}
	series, err := db.Series(ctx)
	if err != nil {
		l.Fatal(err)
	}
	stored := map[[2]string]telemetry.SignalID{}
	for _, one := range series {
		stored[[2]string{one.Gateway, one.Device + " " + one.Name}] = one.ID
	}
	if want := l.gateways * l.signals; len(stored) != want {
		l.Fatalf("%d series, want %d", len(stored), want)
	}
	sums := [2]sum{}
	var total uint64
	for g, sent := range l.sent {
		total += sent
		if got := intervals[l.name(g)]; len(got) != 1 || got[0] != (store.Interval{Last: sent - 1}) {
			l.Errorf("%s: received are %v of %d", l.name(g), got, sent)
		}
		for signal := range l.signals {
			id := stored[[2]string{l.name(g), fmt.Sprintf("meter-%03d %s", signal/benchValues, benchName(signal%benchValues))}]
			_, samples, err := db.Samples(ctx, id, 0, 1<<62)
			if err != nil {
				l.Fatal(err)
			}
			for _, s := range samples {
				s.Signal = telemetry.SignalID(signal)
				sums[1].add(g, s)
			}
			for seq := uint64(signal); seq < sent; seq += uint64(l.signals) {
				s := l.sample(g, seq)
				sums[0].add(g, s)
				if len(samples) == 0 || samples[0].Time != s.Time || samples[0].Value != s.Value || samples[0].Quality != s.Quality {
					l.Fatalf("%s, signal %d: sent was %+v, stored are %+v", l.name(g), signal, s, samples[:min(2, len(samples))])
				}
				samples = samples[1:]
			}
			if len(samples) > 0 {
				l.Fatalf("%s, signal %d: %d samples are stored that weren't sent, %+v first", l.name(g), signal, len(samples), samples[0])
			}
		}
	}
	if sums[0] != sums[1] {
		l.Errorf("sent %v, stored %v", sums[0], sums[1])
	}
	l.Logf("%d samples sent, %d stored, each once; checksums %016x and %016x", sums[0].samples, sums[1].samples, sums[0].crc, sums[1].crc)
	if sums[0].samples != total {
		l.Errorf("%d samples compared, %d were sent", sums[0].samples, total)
	}
}

// sum is a checksum over samples, whose values are numbers, in their order.
type sum struct {
	samples uint64
	crc     uint64
}

var crcTable = crc64.MakeTable(crc64.ECMA)

func (s *sum) add(g int, sample telemetry.Sample) {
	var text [32]byte
	v, _ := sample.Value.Float()
	for i, n := range []uint64{uint64(g)<<32 | uint64(sample.Signal), uint64(sample.Time), math.Float64bits(v), uint64(sample.Quality)} {
		binary.BigEndian.PutUint64(text[8*i:], n)
	}
	s.samples++
	s.crc = crc64.Update(s.crc, crcTable, text[:])
}
