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
	MaxSamples int           // that a transaction waits for, give or take a block; 0: 200,000

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
	ids, err := r.cfg.Store.TopicIDs(ctx, consumer)
	if err != nil {
		return err
	}
	topics := []string{r.cfg.Topics.Telemetry(), r.cfg.Topics.Births()}
	reader, err := log.OpenReader(ctx, r.cfg.Log, topics, offsets, ids)
	if err != nil {
		return r.explain(ctx, err, ids)
	}
	defer reader.Close()
	s := newSession(r, offsets)
	s.committed = ok
	for _, topic := range topics {
		s.topicIDs[topic] = reader.TopicID(topic)
	}
	var kept time.Time
	for due := time.Now(); ; {
		records, err := reader.Poll(ctx, time.Until(due), pollLimit)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return r.explain(ctx, err, s.topicIDs)
		}
		if err := s.take(ctx, records); err != nil {
			return err
		}
		if time.Now().Before(due) {
			continue
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
		due = time.Now().Add(r.cfg.FlushEvery)
		r.stats.update(func(st *Stats) { st.Lag, st.Current = reader.Lag(), reader.Fetched() })
		if time.Since(kept) < keepHouse {
			continue
		}
		kept = time.Now()
		if err := s.keepHouse(ctx); err != nil {
			return err
		}
	}
}

// explain keeps what the log has lost, if that is why it can't be read on; the
// next session then can. Ids are those of the topics that were read.
func (r *Runner) explain(ctx context.Context, cause error, ids map[string]string) error {
	lost, err := log.Lost(ctx, r.cfg.Store, consumer, cause, ids)
	if lost {
		r.stats.update(func(st *Stats) { st.Quarantined[store.LogTruncated]++ })
	}
	return errors.Join(cause, err)
}
