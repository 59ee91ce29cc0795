package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	ossignal "os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/share"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/test/await"
)

// runShare is a process that has its share of ingesting and of packing, until it is told
// to stop.
func runShare(c child, s *store.Store) {
	ctx, stop := ossignal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	config := c.config(s)
	ingesting := share.New(share.Config{Store: s, Work: Consumer, Logger: slog.Default(), Parts: func(ctx context.Context) (int, error) {
		client, err := kgo.NewClient(config.Log...)
		if err != nil {
			return 0, err
		}
		defer client.Close()
		return log.CountPartitions(ctx, client, topics.Telemetry())
	}})
	ingesting.Run(ctx, func(ctx context.Context, mine store.Share) {
		packing := make(chan struct{})
		go func() {
			defer close(packing)
			for r := compact.New(compact.Config{Store: s}); mine.Has(0) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
				if err := r.Pass(ctx, time.Now()); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFenced) {
					fmt.Println(err)
					os.Exit(1)
				}
			}
		}()
		New(config).RunShare(ctx, mine)
		<-packing
	})
}

// replicas are processes that share the work.
type replicas struct {
	*load
	running []*exec.Cmd
}

func (r *replicas) join() {
	r.Helper()
	cmd := r.launch(true)
	r.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	r.running = append(r.running, cmd)
}

// leave ends the one that has been there for longest.
func (r *replicas) leave(how os.Signal) {
	r.Helper()
	cmd := r.running[0]
	r.running = r.running[1:]
	if err := cmd.Process.Signal(how); err != nil {
		r.Fatal(err)
	}
	err := cmd.Wait()
	if how == syscall.SIGTERM && err != nil {
		r.Errorf("a process that was told to stop: %v", err)
	}
}

// balanced sends until the parts are divided among all that run.
func (r *replicas) balanced() {
	r.Helper()
	var took map[int64]int64 // by process
	await.True(r, "the parts to be divided", func() bool {
		r.sendOne()
		took = map[int64]int64{}
		err := r.store.Read(context.Background(), func(t *store.Tx) error {
			return t.Each(func(rows *sql.Rows) error {
				var pid, n int64
				err := rows.Scan(&pid, &n)
				took[pid] = n
				return err
			}, `SELECT pid, COUNT(*) FILTER (WHERE objid::bigint < ?) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY pid`, partitions)
		})
		if err != nil {
			r.Fatal(err)
		}
		total, least := int64(0), int64(partitions)
		for _, n := range took {
			total, least = total+n, min(least, n)
		}
		return len(took) == len(r.running) && total == partitions && least == int64(partitions/len(r.running))
	})
}

// Processes come and go, on their own and killed, while gateways send: each sample is
// stored once.
func TestReplicasComeAndGo(t *testing.T) { replicasComeAndGo(t, 3) }

func TestTortureReplicasComeAndGo(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("set BUSBAR_TORTURE for twenty rounds of joining and leaving")
	}
	replicasComeAndGo(t, 20)
}

func replicasComeAndGo(t *testing.T, rounds int) {
	if !storetest.OnPostgres() {
		t.Skip("it runs with PostgreSQL")
	}
	r := &replicas{load: newLoad(newWorld(t))}
	r.join()
	r.balanced()
	for i := range rounds {
		r.join()
		r.balanced()
		r.awaitCommit()
		r.leave([]os.Signal{syscall.SIGTERM, syscall.SIGKILL}[i%2])
		if i%3 != 2 {
			r.balanced()
		}
		r.awaitCommit()
	}
	r.leave(syscall.SIGTERM)
	r.storedOnce()
}

// A process that reads partitions of another beside it, as one does that hasn't noticed
// yet that it has lost them, stores nothing twice.
func TestAZombieIsFenced(t *testing.T) {
	l := newLoad(newWorld(t))
	config := l.config()
	config.FlushEvery = time.Millisecond
	for _, share := range []store.Share{{}, {Of: partitions, Parts: []int{0, 1}}, {Of: partitions, Parts: []int{1, 2}}} {
		r := New(config)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { r.RunShare(ctx, share); close(done) }()
		defer func() { cancel(); <-done }()
	}
	for range 3 {
		l.awaitCommit()
	}
	for !l.enough() {
		l.sendOne()
	}
	await.True(l, "the rest", l.caughtUp)
	for g, sent := range l.sent {
		l.exactlyOnce(l.name(g), sent)
	}
}

func (l *load) enough() bool {
	for _, sent := range l.sent {
		if sent <= unborn {
			return false
		}
	}
	return true
}

// A share is taken and nothing else, also of what is parked; the rest waits for others.
func TestAShareIsTakenAndNothingElse(t *testing.T) {
	w := newWorld(t)
	var gateways [partitions]string // of each partition
	for n := 0; slices.Contains(gateways[:], ""); n++ {
		g := fmt.Sprintf("gw-%d", n)
		gateways[partitioner.Partition(&kgo.Record{Key: []byte(g)}, partitions)] = g
	}
	stored := func() (text string) {
		for _, g := range gateways {
			text += fmt.Sprint(len(w.stored(g)), " ")
		}
		return text
	}
	run := func(parts ...int) (stop func()) {
		r := New(w.config())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { r.RunShare(ctx, store.Share{Of: partitions, Parts: parts}); close(done) }()
		stop = sync.OnceFunc(func() { cancel(); <-done })
		t.Cleanup(stop)
		return stop
	}
	for _, g := range gateways {
		w.send(blockRecord(w, g, 1, 0, 9, 7))
	}
	offsets := func(topic string) map[int32]int64 {
		all, err := w.store.Offsets(t.Context(), Consumer)
		if err != nil {
			t.Fatal(err)
		}
		return all[topic]
	}
	// The one without part 0, which has the births, parks what it reads.
	stop := run(1, 2)
	await.True(w, "two partitions", func() bool { return len(offsets(topics.Telemetry())) == 2 })
	stop()
	for _, g := range gateways {
		w.send(birthRecord(w, g, signals(7)...))
	}
	stop = run(0)
	await.True(w, "the births", func() bool { return offsets(topics.Births())[0] == partitions && len(offsets(topics.Telemetry())) == 3 })
	await.True(w, "what part 0 has parked", func() bool { return stored() == "10 0 0 " })
	stop()
	if got := stored(); got != "10 0 0 " {
		t.Errorf("stored are %s", got)
	}
	run(1, 2)
	await.True(w, "what was parked", func() bool { return stored() == "10 10 10 " })
}

// polled counts the records of telemetry that a consumer has got.
type polled struct{ n atomic.Int64 }

func (p *polled) OnFetchRecordUnbuffered(r *kgo.Record, polled bool) {
	if polled && r.Topic == topics.Telemetry() {
		p.n.Add(1)
	}
}

// A session that ends commits what it has read, though its time hasn't come yet.
func TestTheLastSamplesAreCommitted(t *testing.T) {
	w := newWorld(t)
	var got polled
	config := w.config()
	config.FlushEvery, config.MaxSamples = time.Hour, 1<<20
	config.Log = append(slices.Clone(config.Log), kgo.WithHooks(&got))
	w.send(birthRecord(w, "gw", signals(7)...))
	r, stop := w.start(config)
	await.True(w, "the births", func() bool { return r.Stats().Births == 1 })
	const records = 4
	for n := range uint64(records) {
		w.send(blockRecord(w, "gw", 1, n*10, n*10+9, 7))
	}
	await.True(w, "the records to be read", func() bool { return got.n.Load() == records })
	if n := r.Stats().Samples; n != 0 {
		t.Fatalf("%d samples are committed already", n)
	}
	stop()
	w.exactlyOnce("gw", records*10)
}

// Each process tells of its partitions how much it has read and how much is left, and of
// no other's.
func TestThroughputAndLagByPartition(t *testing.T) {
	w := newWorld(t)
	var sent [partitions]Taken
	for n := range 3 * partitions {
		g := fmt.Sprintf("gw-%d", n)
		w.send(birthRecord(w, g, signals(7)...))
		for i := range uint64(n + 1) {
			r := blockRecord(w, g, 1, i*10, i*10+9, 7)
			w.send(r)
			sent[r.Partition].add(1, uint64(len(r.Value)))
		}
	}
	r := New(w.config())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.RunShare(ctx, store.Share{Of: partitions, Parts: []int{0, 2}}); close(done) }()
	of := func(number int32) Partition { return Partition{topics.Telemetry(), number} }
	await.True(w, "two partitions", func() bool {
		s := r.Stats()
		lag, read := s.Lags[of(2)]
		return s.Partitions[of(0)] == sent[0] && s.Partitions[of(2)] == sent[2] && read && lag == 0
	})
	s := r.Stats()
	if _, read := s.Lags[of(1)]; read || s.Partitions[of(1)] != (Taken{}) {
		t.Errorf("of another's partition: %+v, %+v", s.Partitions, s.Lags)
	}
	if births := s.Partitions[Partition{topics.Births(), 0}]; births.Records != 3*partitions {
		t.Errorf("of births: %+v", births)
	}
	cancel()
	<-done
	if lags := r.Stats().Lags; len(lags) > 0 {
		t.Errorf("lags without a session: %+v", lags)
	}
}
