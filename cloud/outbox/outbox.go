// Package outbox writes what a store has to a topic of the log, once: the records, and up
// to which row of the store they go, are one transaction of Kafka's.
package outbox

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
)

const (
	// MostRecords bounds the records of a transaction.
	MostRecords = 20_000
	onTheWay    = 32 << 20         // bytes of a transaction that wait for the brokers
	passEvery   = 10 * time.Second // what the store may delete may be late
	lookEvery   = 250 * time.Millisecond
	// unfinished is after how long the brokers end a transaction whose process is gone;
	// another process that begins does so at once.
	unfinished = time.Minute
)

// Config says which rows are written where.
type Config struct {
	Log    []kgo.Opt // how to reach the brokers
	Topic  string    // which is the name of the transactions too
	Cursor string    // the topic of how far that has got
	Store  *store.Store
	Rows   store.Rows
	Reader string       // what the store calls this reader of its rows
	Logger *slog.Logger // nil: slog.Default
}

// Outbox writes the rows of a store to a topic. Of several on one log, the one that began
// last writes, and the others fail until they begin again.
type Outbox struct {
	cfg Config

	mu    sync.Mutex
	stats Stats
}

// Stats counts since the Outbox was made.
type Stats struct {
	Records      uint64 // committed
	Transactions uint64
	// Through is when nothing that had been stored was waiting last, at first when the
	// Outbox was made.
	Through time.Time
}

// New is an Outbox. What is stored after it was made first is written.
func New(ctx context.Context, cfg Config) (*Outbox, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	_, err := cfg.Store.Follow(ctx, cfg.Rows, cfg.Reader)
	return &Outbox{cfg: cfg, stats: Stats{Through: time.Now()}}, err
}

// Stats may be called at any time.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stats
}

// Run has take read rows from one on and write records of them to w; it returns the row
// after those that it has read, which is the same if there is none. Run works until ctx ends.
// It tries again whatever fails for a while, from the cursor in the log.
func (o *Outbox) Run(ctx context.Context, take func(ctx context.Context, w *Writer, next int64) (int64, error)) {
	log.Sessions(ctx, o.cfg.Logger.With("consumer", o.cfg.Reader), func(ctx context.Context, ok func()) error {
		if err := o.run(ctx, ok, take); err != nil {
			return fmt.Errorf("%s: %w", o.cfg.Reader, err)
		}
		return nil
	})
}

// Writer is a client of the log. After an error it is of no more use: the next one finds out
// what was committed.
type Writer struct {
	*Outbox
	client  *kgo.Client
	f       store.Follower
	written *kgo.FirstErrPromise
	records uint64 // of the transaction under way
	passed  time.Time
}

func (o *Outbox) run(ctx context.Context, ok func(), take func(context.Context, *Writer, int64) (int64, error)) error {
	client, err := kgo.NewClient(append(o.cfg.Log[:len(o.cfg.Log):len(o.cfg.Log)],
		kgo.TransactionalID(o.cfg.Topic), kgo.TransactionTimeout(unfinished),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()), kgo.MaxBufferedRecords(MostRecords), kgo.MaxBufferedBytes(onTheWay))...)
	if err != nil {
		return fmt.Errorf("Kafka client: %w", err)
	}
	defer client.Close()
	// From here on no other process commits, and what one left open is ended.
	if _, _, err := client.ProducerID(ctx); err != nil {
		return fmt.Errorf("begin to write: %w", err)
	}
	w := &Writer{Outbox: o, client: client}
	if err := w.resume(ctx); err != nil {
		return err
	}
	for {
		began := time.Now()
		next, err := take(ctx, w, w.f.Next)
		if err != nil {
			return err
		}
		more := next != w.f.Next
		if err := w.commit(ctx, next); err != nil {
			return err
		}
		ok()
		if more {
			continue
		}
		o.update(func(stats *Stats) { stats.Through = began })
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}

func (o *Outbox) update(f func(*Stats)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.stats)
}

// resume finds where the log says that another one has stopped.
func (w *Writer) resume(ctx context.Context) error {
	c, err := readCursor(ctx, w.cfg.Log, w.cfg.Cursor)
	if err != nil {
		return err
	}
	if w.f, err = w.cfg.Store.Follow(ctx, w.cfg.Rows, w.cfg.Reader); err != nil {
		return err
	}
	same := c.Database == w.f.Database
	if same {
		// One that has been put back into an earlier state hasn't got so far.
		w.f.Next = min(max(w.f.Next, c.Next), w.f.Newest+1)
	}
	if c.Database != "" && (!same || c.Next > w.f.Newest+1) {
		w.cfg.Logger.Warn("the database isn't the one that " + w.cfg.Topic + " was written from; it goes on with what is stored from now on")
	}
	return nil
}

// Write adds a record to the transaction under way, or begins one. It waits while too much
// is on its way, and keeps key and value.
func (w *Writer) Write(ctx context.Context, key, value []byte) error {
	if w.records == 0 {
		if err := w.client.BeginTransaction(); err != nil {
			return fmt.Errorf("begin a transaction: %w", err)
		}
		w.written = kgo.AbortingFirstErrPromise(w.client)
	}
	w.records++
	w.client.Produce(ctx, &kgo.Record{Topic: w.cfg.Topic, Key: key, Value: value}, w.written.Promise())
	return nil
}

// commit ends the transaction under way, if there is one, and notes up to where all rows
// are written.
func (w *Writer) commit(ctx context.Context, next int64) error {
	if w.records > 0 {
		w.client.Produce(ctx, w.cursor(next), w.written.Promise())
		err := w.client.Flush(ctx)
		if err == nil {
			err = w.written.Err()
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if err := w.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		w.update(func(stats *Stats) { stats.Records, stats.Transactions = stats.Records+w.records, stats.Transactions+1 })
		w.records = 0
	}
	w.f.Next = next
	if time.Since(w.passed) < passEvery {
		return nil
	}
	w.passed = time.Now()
	return w.cfg.Store.Pass(ctx, w.cfg.Rows, w.cfg.Reader, next)
}
