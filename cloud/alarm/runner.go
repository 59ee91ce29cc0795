package alarm

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumer names the alarm runner's offsets in the store.
const consumer = "alarm"

// Config says what to read and where to store it.
type Config struct {
	Log    []kgo.Opt // how to reach the brokers
	Topics record.Topics
	Store  *store.Store
	Logger *slog.Logger // nil: slog.Default
}

// Stats counts committed work since the Runner was made, except for Lag.
type Stats struct {
	Events      uint64 // read from the log, whatever became of them
	Duplicates  uint64 // events that came again
	Quarantined map[store.Reason]uint64
	Lag         int64 // events in the log that haven't been read
}

// Runner reads the events topic. It has its own offsets and transactions, and
// doesn't wait for telemetry.
type Runner struct {
	cfg   Config
	mu    sync.Mutex
	stats Stats
}

func New(cfg Config) *Runner {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Runner{cfg: cfg, stats: Stats{Quarantined: map[store.Reason]uint64{}}}
}

// Stats may be called at any time.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Quarantined = maps.Clone(s.Quarantined)
	return s
}

// Run takes events until ctx ends. It tries again whatever fails for a while,
// from the offsets in the store.
func (r *Runner) Run(ctx context.Context) {
	log.Sessions(ctx, r.cfg.Logger.With("consumer", consumer), r.run)
}

// pollLimit bounds the events of one transaction, so that a backlog of them
// reaches the operator as it is read.
const pollLimit = 500

func (r *Runner) run(ctx context.Context, ok func()) error {
	offsets, err := r.cfg.Store.Offsets(ctx, consumer)
	if err != nil {
		return err
	}
	topic := r.cfg.Topics.Events()
	reader, err := log.OpenReader(ctx, r.cfg.Log, []string{topic}, offsets)
	if err != nil {
		return err
	}
	defer reader.Close()
	if offsets[topic] == nil {
		offsets[topic] = map[int32]int64{}
	}
	s := &session{Runner: r, topic: topic, offsets: offsets[topic], ledger: r.cfg.Store.NewLedger()}
	for {
		records, err := reader.Poll(ctx, time.Minute, pollLimit)
		var truncated *log.TruncatedError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &truncated):
			return errors.Join(err, r.skip(ctx, truncated))
		case err != nil:
			return err
		}
		if len(records) > 0 {
			if err := s.take(ctx, records, reader.Lag()); err != nil {
				return err
			}
			ok()
		}
	}
}

func (r *Runner) skip(ctx context.Context, t *log.TruncatedError) error {
	err := r.cfg.Store.Skip(ctx, consumer, store.Quarantined{
		Topic: t.Topic, Partition: t.Partition, Offset: t.Next,
		Reason: store.LogTruncated, Detail: t.Error(), At: telemetry.MicrosOf(time.Now()),
	}, t.Resume)
	if err == nil {
		r.mu.Lock()
		r.stats.Quarantined[store.LogTruncated]++
		r.mu.Unlock()
	}
	return err
}
