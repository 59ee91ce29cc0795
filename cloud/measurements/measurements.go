// Package measurements writes what the store takes in to a topic of the log, one JSON
// object a sample, for consumers that know nothing of Busbar. Each sample that is stored
// once is read there once by who reads what is committed: the records, and up to which
// chunk of the store they go, are one transaction of Kafka's.
package measurements

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// follower is what the store calls this reader of its chunks.
const follower = "measurements"

const (
	together  = 20_000   // samples of a transaction
	onTheWay  = 32 << 20 // bytes of a transaction that wait for the brokers
	lookEvery = 250 * time.Millisecond
	passEvery = 10 * time.Second // what the store may delete may be late
	known     = time.Minute      // after that a series is looked at anew
	// unfinished is after how long the brokers end a transaction whose process is gone;
	// another process that begins does so at once.
	unfinished = time.Minute
)

// Config says what to write and where.
type Config struct {
	Log     []kgo.Opt // how to reach the brokers
	Topics  record.Topics
	Store   *store.Store
	Logger  *slog.Logger   // nil: slog.Default
	Signals []store.Choice // none: all
}

// Runner writes measurements. Of several on one log, the one that began last writes, and
// the others fail until they begin again.
type Runner struct {
	cfg Config

	mu    sync.Mutex
	stats Stats
}

// New is a Runner. What is stored after it was made first is written.
func New(ctx context.Context, cfg Config) (*Runner, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	_, err := cfg.Store.Follow(ctx, follower)
	return &Runner{cfg: cfg, stats: Stats{Through: time.Now()}}, err
}

// Stats counts since the Runner was made.
type Stats struct {
	Measurements uint64 // committed
	Transactions uint64
	// Through is when nothing that had been stored was waiting last, at first when the
	// Runner was made.
	Through time.Time
}

// Stats may be called at any time.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Run writes until ctx ends. It tries again whatever fails for a while, from the cursor
// in the log.
func (r *Runner) Run(ctx context.Context) {
	log.Sessions(ctx, r.cfg.Logger.With("consumer", follower), r.run)
}

// Forget has the store keep nothing for a Runner, where there is none any more.
func Forget(ctx context.Context, s *store.Store) error { return s.Unfollow(ctx, follower) }

// session is what a Runner does with one client.
type session struct {
	*Runner
	client  *kgo.Client
	f       store.Follower
	decoder telemetry.Decoder
	block   []telemetry.Sample
	samples []telemetry.Sample             // of a transaction
	sources map[telemetry.SignalID]*source // nil: none of its are written
	since   time.Time                      // of the sources
	text    []byte
	passed  time.Time
}

func (r *Runner) run(ctx context.Context, ok func()) error {
	client, err := kgo.NewClient(append(r.cfg.Log[:len(r.cfg.Log):len(r.cfg.Log)],
		kgo.TransactionalID(r.cfg.Topics.Measurements()), kgo.TransactionTimeout(unfinished),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()), kgo.MaxBufferedRecords(together), kgo.MaxBufferedBytes(onTheWay))...)
	if err != nil {
		return fmt.Errorf("measurements: Kafka client: %w", err)
	}
	defer client.Close()
	// From here on no other process commits, and what one left open is ended.
	if _, _, err := client.ProducerID(ctx); err != nil {
		return fmt.Errorf("measurements: begin to write: %w", err)
	}
	s := session{Runner: r, client: client}
	if err := s.resume(ctx); err != nil {
		return err
	}
	for {
		more, err := s.write(ctx)
		if err != nil {
			return err
		}
		ok()
		if !more {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(lookEvery):
			}
		}
	}
}

// resume finds where the log says that another session has stopped.
func (s *session) resume(ctx context.Context) error {
	c, err := readCursor(ctx, s.cfg.Log, s.cfg.Topics.MeasurementsCursor())
	if err != nil {
		return err
	}
	if s.f, err = s.cfg.Store.Follow(ctx, follower); err != nil {
		return err
	}
	same := c.Database == s.f.Database
	if same {
		// One that has been put back into an earlier state hasn't got so far.
		s.f.Next = min(max(s.f.Next, c.Next), s.f.Newest+1)
	}
	if c.Database != "" && (!same || c.Next > s.f.Newest+1) {
		s.cfg.Logger.Warn("the database isn't the one that measurements were written from; they go on with what is stored from now on")
	}
	return nil
}

// write writes what comes next in the store, and reports whether there was something.
func (s *session) write(ctx context.Context) (more bool, err error) {
	began := time.Now()
	chunks, err := s.cfg.Store.StoredFrom(ctx, s.f.Next, together)
	if err != nil {
		return false, err
	}
	if len(chunks) == 0 {
		s.update(func(stats *Stats) { stats.Through = began })
		return false, s.pass(ctx)
	}
	if err := s.decode(ctx, chunks); err != nil {
		return false, err
	}
	next := chunks[len(chunks)-1].Number + 1
	n, err := s.commit(ctx, next)
	if err != nil {
		return false, err
	}
	if n > 0 {
		s.update(func(stats *Stats) {
			stats.Measurements, stats.Transactions = stats.Measurements+n, stats.Transactions+1
		})
	}
	s.f.Next = next
	return true, s.pass(ctx)
}

// pass lets the store delete what has been written.
func (s *session) pass(ctx context.Context) error {
	if time.Since(s.passed) < passEvery {
		return nil
	}
	s.passed = time.Now()
	return s.cfg.Store.Pass(ctx, follower, s.f.Next)
}

func (s *session) update(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

// decode reads the samples of chunks, and learns of which series they are.
func (s *session) decode(ctx context.Context, chunks []store.Stored) (err error) {
	s.samples = s.samples[:0]
	for _, c := range chunks {
		if _, s.block, err = s.decoder.Block(c.Block, s.block); err != nil {
			return fmt.Errorf("measurements: chunk %d: %w", c.Number, err)
		}
		s.samples = append(s.samples, s.block...)
	}
	return s.learn(ctx)
}

// learn looks up the series of samples that aren't known.
func (s *session) learn(ctx context.Context) error {
	if time.Since(s.since) > known {
		s.sources, s.since = map[telemetry.SignalID]*source{}, time.Now()
	}
	var ask []telemetry.SignalID
	for _, sample := range s.samples {
		if _, has := s.sources[sample.Signal]; !has {
			s.sources[sample.Signal] = nil
			ask = append(ask, sample.Signal)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	found, err := s.cfg.Store.Sources(ctx, ask)
	if err != nil {
		return err
	}
	for _, of := range found {
		if of.Chosen(s.cfg.Signals) {
			s.sources[of.ID] = sourceOf(of)
		}
	}
	return nil
}

// commit writes the samples that are selected and where they end, in one transaction, and
// reports how many they are. Without any there is none. After an error the session is of
// no more use: the next one finds out whether it was committed.
func (s *session) commit(ctx context.Context, next int64) (n uint64, err error) {
	written := kgo.AbortingFirstErrPromise(s.client)
	for _, sample := range s.samples {
		of := s.sources[sample.Signal]
		if of == nil {
			continue
		}
		if n == 0 {
			if err := s.client.BeginTransaction(); err != nil {
				return 0, fmt.Errorf("measurements: begin a transaction: %w", err)
			}
		}
		n++
		s.text = of.append(s.text[:0], sample)
		// It waits while too much is on its way.
		s.client.Produce(ctx, &kgo.Record{Topic: s.cfg.Topics.Measurements(), Key: of.key, Value: bytes.Clone(s.text)}, written.Promise())
	}
	if n == 0 {
		return 0, nil
	}
	s.client.Produce(ctx, s.cursor(next), written.Promise())
	err = s.client.Flush(ctx)
	if err == nil {
		err = written.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("measurements: write: %w", err)
	}
	if err := s.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return 0, fmt.Errorf("measurements: commit: %w", err)
	}
	return n, nil
}
