// Package ingest takes telemetry from the log into the store, each sample once:
// the samples, the sequence numbers received and the offsets read are committed
// in one transaction. What can't be taken is set aside and doesn't stop the rest.
package ingest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/retake"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Consumer names the ingest's offsets and progress in the store.
const Consumer = "ingest"

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

// Runner reads the topics of telemetry, of its backfill, and of births, or a share of
// their partitions. One session reads all of a gateway, whose partition is the same in
// both topics, because a gateway's sequence is judged by one ledger.
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
	r.stats.Partitions = map[Partition]Taken{}
	return r
}

// Stats may be called at any time.
func (r *Runner) Stats() Stats { return r.stats.snapshot() }

// Run ingests until ctx ends, and then commits what it has read. It tries again whatever
// fails for a while, from the offsets in the store.
func (r *Runner) Run(ctx context.Context) { r.RunShare(ctx, store.Share{}) }

// RunShare is Run of a share of the partitions, of which the telemetry topic has as many
// as it is divided into. Others work on the rest.
func (r *Runner) RunShare(ctx context.Context, share store.Share) {
	log.Sessions(ctx, r.cfg.Logger.With("consumer", Consumer), func(ctx context.Context, ok func()) error { return r.run(ctx, share, ok) })
	r.stats.update(func(st *Stats) { st.Lags, st.Lag, st.Backlog, st.Through = nil, 0, 0, time.Time{} }) // nothing is known any more
}

const (
	pollLimit  = 64 // records
	keepHouse  = time.Minute
	forgetStep = 2000

	// While there is backfill, current telemetry waits for at most this much work
	// on it at a time, and a record more.
	backfillPart = 20 * time.Millisecond
	// How long backfill that is on its way from the broker keeps the session from
	// waiting for current telemetry alone.
	backfillWait = 5 * time.Millisecond

	// How long the session waits for current telemetry before it looks whether
	// something is to be taken again.
	lookEvery = time.Second

	// How often others are told up to when all is stored.
	tellEvery = time.Second

	// How long what was read may take to be committed after the session's end.
	lastFlush = 5 * time.Second
)

func (r *Runner) run(ctx context.Context, share store.Share, ok func()) error {
	offsets, err := r.cfg.Store.Offsets(ctx, Consumer)
	if err != nil {
		return err
	}
	ids, err := r.cfg.Store.TopicIDs(ctx, Consumer)
	if err != nil {
		return err
	}
	for _, partitions := range offsets {
		maps.DeleteFunc(partitions, func(p int32, _ int64) bool { return !share.Has(p) })
	}
	s := newSession(r, offsets)
	s.share, s.committed = share, ok
	open := func(topics ...string) (*log.Reader, error) {
		reader, err := log.OpenShare(ctx, r.cfg.Log, topics, share, offsets, ids)
		if err != nil {
			return nil, r.explain(ctx, err, ids)
		}
		for _, topic := range topics {
			s.topicIDs[topic] = reader.TopicID(topic)
		}
		return reader, nil
	}
	current, err := open(r.cfg.Topics.Telemetry(), r.cfg.Topics.Births())
	if err != nil {
		return err
	}
	defer current.Close()
	backfill, err := open(r.cfg.Topics.Backfill())
	if err != nil {
		return err
	}
	defer backfill.Close()
	feed := retake.Start(retake.Config{Log: r.cfg.Log, Store: r.cfg.Store, Consumer: Consumer, Share: share, First: r.cfg.Topics.Births(), Logger: r.cfg.Logger})
	defer feed.Close()
	return r.read(ctx, s, current, backfill, feed)
}

// read takes current telemetry first in each round, and then a part of the
// backfill and of what is to be taken again, so that neither delays a current value
// for long.
//
// When it is to end, it commits what it has read: what it does until then isn't broken off
// in the middle.
func (r *Runner) read(ending context.Context, s *session, current, backfill *log.Reader, feed *retake.Feed) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ending))
	defer cancel()
	defer context.AfterFunc(ending, func() { time.AfterFunc(lastFlush, cancel) })()
	var backlog []*kgo.Record
	var again []retake.Again
	var kept, told time.Time
	for due := time.Now(); ; {
		wait := time.Until(due)
		switch {
		case len(backlog) > 0 || len(again) > 0:
			wait = 0
		case backfill.Lag() > 0:
			wait = min(wait, backfillWait)
		}
		wait = min(wait, lookEvery)
		if ending.Err() != nil {
			return errors.Join(ending.Err(), s.flush(ctx))
		}
		records, err := r.poll(ending, s, current, wait)
		if err == nil {
			err = s.take(ctx, records)
		}
		if err == nil && len(backlog) == 0 {
			s.abreast = !backfill.Through().IsZero() && backfill.Lag() == 0
			backlog, err = r.poll(ending, s, backfill, 0)
		}
		for began := time.Now(); err == nil && len(backlog) > 0 && time.Since(began) < backfillPart; backlog = backlog[1:] {
			err = s.take(ctx, backlog[:1])
		}
		if err == nil && len(again) == 0 {
			again = feed.Portion()
		}
		if len(again) > 0 && err == nil {
			if again, err = s.retakePart(ctx, again); err == nil && len(again) == 0 {
				if err = s.flush(ctx); err == nil {
					feed.Taken()
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case time.Now().Before(due):
			continue
		}
		if r.cfg.Store.Shared() && time.Since(told) >= tellEvery {
			told, s.through = time.Now(), current.Through()
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
		if !s.share.All() {
			if err := s.unparkAll(ctx); err != nil { // births come to others
				return err
			}
		}
		due = time.Now().Add(r.cfg.FlushEvery)
		lags := map[Partition]int64{}
		for _, reader := range []*log.Reader{current, backfill} {
			reader.Lags(func(topic string, partition int32, lag int64) { lags[Partition{topic, partition}] = lag })
		}
		for _, waiting := range backlog {
			lags[Partition{waiting.Topic, waiting.Partition}]++
		}
		r.stats.update(func(st *Stats) {
			st.Lags = lags
			st.Lag, st.Backlog = current.Lag(), backfill.Lag()+int64(len(backlog))
			st.Current, st.Through = current.Fetched(), current.Through()
		})
		if time.Since(kept) < keepHouse {
			continue
		}
		kept = time.Now()
		if err := s.keepHouse(ctx); err != nil {
			return err
		}
	}
}

// poll reads records. What was read before is committed before an error is
// explained, so that the log can be read from behind it.
func (r *Runner) poll(ctx context.Context, s *session, from *log.Reader, wait time.Duration) ([]*kgo.Record, error) {
	records, err := from.Poll(ctx, wait, pollLimit)
	if err == nil {
		return records, nil
	}
	if ctx.Err() != nil {
		return nil, nil // it is to end
	}
	if flushed := s.flush(ctx); flushed != nil {
		return nil, errors.Join(err, flushed)
	}
	return nil, r.explain(ctx, err, s.topicIDs)
}

// retakePart takes some of what is to be taken again, and returns the rest.
func (s *session) retakePart(ctx context.Context, again []retake.Again) ([]retake.Again, error) {
	for began := time.Now(); len(again) > 0 && time.Since(began) < backfillPart; again = again[1:] {
		if err := s.retake(ctx, again[:1]); err != nil {
			return again, err
		}
	}
	return again, nil
}

// explain keeps what the log has lost, if that is why it can't be read on; the
// next session then can. Ids are those of the topics that were read.
func (r *Runner) explain(ctx context.Context, cause error, ids map[string]string) error {
	reason, err := log.Lost(ctx, r.cfg.Store, Consumer, cause, ids)
	if reason != "" {
		r.stats.update(func(st *Stats) { st.Quarantined[reason]++ })
	}
	return errors.Join(cause, err)
}
