package alarm

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/retake"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Consumer names the alarm runner's offsets and progress in the store.
const Consumer = "alarm"

// Config says what to read and where to store it.
type Config struct {
	Log    []kgo.Opt // how to reach the brokers
	Topics record.Topics
	Store  *store.Store
	Logger *slog.Logger // nil: slog.Default
	// Telemetry is an instant up to which all current telemetry in the log has been
	// stored, the zero Time before there is one. Nil: gateways are heard by events alone.
	Telemetry func() time.Time
	// Flush is how long Telemetry stands still at most while all is well.
	Flush time.Duration
}

// Stats counts committed work since the Runner was made, except for Lag,
// Through and Current.
type Stats struct {
	Events      uint64 // read from the log, whatever became of them
	Duplicates  uint64 // events that came again
	Quarantined map[store.Reason]uint64
	Retaken     uint64 // events that were taken out of the quarantine
	Gone        uint64 // events in the quarantine that the log didn't have any more
	Lag         int64  // events in the log that haven't been read
	// Through is an instant up to which all events in the log have been taken; the zero
	// Time before there is one in this session.
	Through time.Time
	// Current is when the log could last be read and all that was read had been
	// committed.
	Current time.Time
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
	var expiring sync.WaitGroup
	defer expiring.Wait()
	expiring.Go(func() { r.expire(ctx) })
	log.Sessions(ctx, r.cfg.Logger.With("consumer", Consumer), r.run)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Lag, r.stats.Through = 0, time.Time{} // nothing is known any more
}

// expire unshelves what is due until ctx ends, also while the log can't be read.
func (r *Runner) expire(ctx context.Context) {
	ticker := time.NewTicker(expireEvery)
	defer ticker.Stop()
	for failed := false; ; {
		now := telemetry.MicrosOf(time.Now())
		err := errors.Join(expire(ctx, r.cfg.Store, now), release(ctx, r.cfg.Store, now))
		if err != nil && !failed && ctx.Err() == nil {
			r.cfg.Logger.Error("alarms can't be unshelved or announced, trying again", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

const (
	// pollLimit bounds the events of one transaction, so that a backlog of them
	// reaches the operator as it is read.
	pollLimit = 500
	pollWait  = time.Second // so that Current is
)

func (r *Runner) run(ctx context.Context, ok func()) error {
	r.mu.Lock()
	r.stats.Through = time.Time{}
	r.mu.Unlock()
	offsets, err := r.cfg.Store.Offsets(ctx, Consumer)
	if err != nil {
		return err
	}
	ids, err := r.cfg.Store.TopicIDs(ctx, Consumer)
	if err != nil {
		return err
	}
	topic := r.cfg.Topics.Events()
	reader, err := log.OpenReader(ctx, r.cfg.Log, []string{topic}, offsets, ids)
	if err != nil {
		return r.explain(ctx, err, ids)
	}
	defer reader.Close()
	if offsets[topic] == nil {
		offsets[topic] = map[int32]int64{}
	}
	s := &session{Runner: r, topic: topic, topicID: reader.TopicID(topic), offsets: offsets[topic], ledger: r.cfg.Store.NewLedger(), keys: identity.NewKeys(r.cfg.Store)}
	if s.refused, err = r.cfg.Store.CountRefusedAside(ctx, Consumer); err != nil {
		return err
	}
	feed := retake.Start(retake.Config{Log: r.cfg.Log, Store: r.cfg.Store, Consumer: Consumer, Logger: r.cfg.Logger})
	defer feed.Close()
	judged := make(chan error, 1)
	judging, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	// What is judged takes seconds at times, for which no event is to wait.
	running.Go(func() {
		f := &fleet{store: r.cfg.Store, log: r.cfg.Logger, flush: r.cfg.Flush}
		judged <- f.watch(judging, r.through)
	})
	var told time.Time // when what was refused was looked at
	for {
		select {
		case err := <-judged:
			return err
		default:
		}
		records, err := reader.Poll(ctx, pollWait, pollLimit)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return r.explain(ctx, err, map[string]string{topic: s.topicID})
		}
		if len(records) > 0 {
			if err := s.take(ctx, records); err != nil {
				return err
			}
			ok()
		}
		if again := feed.Portion(); len(again) > 0 {
			if err := s.retake(ctx, again); err != nil {
				return err
			}
			feed.Taken()
		}
		if time.Since(told) >= pollWait {
			told = time.Now()
			if err := tellRefused(ctx, r.cfg.Store, told); err != nil {
				return err
			}
			if err := r.tellProgress(ctx, reader.Through()); err != nil {
				return err
			}
		}
		r.mu.Lock()
		r.stats.Lag, r.stats.Through, r.stats.Current = reader.Lag(), reader.Through(), reader.Fetched()
		r.mu.Unlock()
	}
}

// tellProgress keeps for other processes up to when events have been taken.
func (r *Runner) tellProgress(ctx context.Context, through time.Time) error {
	if !r.cfg.Store.Shared() || through.IsZero() {
		return nil
	}
	return r.cfg.Store.Write(ctx, func(t *store.Tx) error {
		return t.SaveProgress(Consumer, store.Share{}, telemetry.MicrosOf(through))
	})
}

// through is an instant up to which all that gateways have sent has been taken.
func (r *Runner) through() time.Time {
	at := r.Stats().Through
	if r.cfg.Telemetry != nil {
		if stored := r.cfg.Telemetry(); stored.Before(at) {
			return stored
		}
	}
	return at
}

// explain keeps what the log has lost, if that is why it can't be read on; the
// next session then can. Ids are those of the topics that were read.
func (r *Runner) explain(ctx context.Context, cause error, ids map[string]string) error {
	reason, err := log.Lost(ctx, r.cfg.Store, Consumer, cause, ids)
	if reason != "" {
		r.mu.Lock()
		r.stats.Quarantined[reason]++
		r.mu.Unlock()
	}
	return errors.Join(cause, err)
}
