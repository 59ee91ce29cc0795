// Package ingest takes telemetry from the log into the store, each sample once:
// the samples, the sequence numbers received and the offsets read are committed
// in one transaction. What can't be taken is set aside and doesn't stop the rest.
package ingest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumer names the ingest's offsets in the store.
const consumer = "ingest"

// Config says what to read and where to store it.
type Config struct {
	Log    []kgo.Opt // how to reach the brokers
	Topics record.Topics
	Store  *store.Store
	Logger *slog.Logger // nil: slog.Default

	FlushEvery time.Duration // the longest that a sample waits for its transaction; 0: 1 s
	MaxSamples int           // that a transaction waits for; 0: 200,000

	// OnLatest gets the newest sample of each series that has a newer one, after
	// it was committed. Signal is the series' id. It must return soon and keep
	// nothing of the slice.
	OnLatest func([]telemetry.Sample)
}

// Runner reads the telemetry and births topics.
type Runner struct {
	cfg   Config
	stats counters
}

func New(cfg Config) *Runner {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.FlushEvery = cmp.Or(cfg.FlushEvery, time.Second)
	cfg.MaxSamples = cmp.Or(cfg.MaxSamples, 200_000)
	r := &Runner{cfg: cfg}
	r.stats.Quarantined = map[store.Reason]uint64{}
	return r
}

// Stats may be called at any time.
func (r *Runner) Stats() Stats { return r.stats.snapshot() }

// Run ingests until ctx ends. It tries again whatever fails for a while, from
// the offsets in the store.
func (r *Runner) Run(ctx context.Context) {
	log.Sessions(ctx, r.cfg.Logger.With("consumer", consumer), r.run)
}

const (
	pollLimit  = 64 // records
	keepHouse  = time.Minute
	forgetStep = 2000
)

func (r *Runner) run(ctx context.Context, ok func()) error {
	offsets, err := r.cfg.Store.Offsets(ctx, consumer)
	if err != nil {
		return err
	}
	reader, err := log.OpenReader(ctx, r.cfg.Log, []string{r.cfg.Topics.Telemetry(), r.cfg.Topics.Births()}, offsets)
	if err != nil {
		return err
	}
	defer reader.Close()
	s := newSession(r, offsets)
	var kept time.Time
	for due := time.Now(); ; {
		records, err := reader.Poll(ctx, time.Until(due), pollLimit)
		var truncated *log.TruncatedError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &truncated):
			return errors.Join(err, r.skip(ctx, truncated))
		case err != nil:
			return err
		}
		if err := s.take(ctx, records); err != nil {
			return err
		}
		if s.batch.stats.Samples < uint64(r.cfg.MaxSamples) && time.Now().Before(due) {
			continue
		}
		if !s.batch.empty() {
			if err := s.flush(ctx); err != nil {
				return err
			}
			ok()
		}
		due = time.Now().Add(r.cfg.FlushEvery)
		r.stats.update(func(st *Stats) { st.Lag = reader.Lag() })
		if time.Since(kept) < keepHouse {
			continue
		}
		kept = time.Now()
		if err := s.keepHouse(ctx); err != nil {
			return err
		}
	}
}

func (r *Runner) skip(ctx context.Context, t *log.TruncatedError) error {
	r.stats.update(func(st *Stats) { st.Quarantined[store.LogTruncated]++ })
	return r.cfg.Store.Skip(ctx, consumer, store.Quarantined{
		Topic: t.Topic, Partition: t.Partition, Offset: t.Next,
		Reason: store.LogTruncated, Detail: t.Error(), At: telemetry.MicrosOf(time.Now()),
	}, t.Resume)
}
