// Package compact turns what ingest has stored a flush at a time into hours, keeps what
// sums them up, and deletes what has been kept for long enough.
package compact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Delay is how long after its end a quarter-hour is packed and summed up: twice the
// longest time that a gateway may leave between two commits. What comes later than that
// is taken with the next quarter-hour.
const Delay = 2 * time.Minute

// Consumer names the progress in the store.
const Consumer = "analytics"

const (
	quarter   = 15 * time.Minute
	day       = 24 * time.Hour
	lookEvery = 10 * time.Second // at the clock, which may be set
	tryAgain  = time.Minute
	mostTries = 100 // of what corrections come between
)

// Config says what to work on.
type Config struct {
	Store  *store.Store
	Logger *slog.Logger // nil: slog.Default
	// Keep is how many days each of store.Levels is kept; one that is missing, or 0,
	// is kept for ever.
	Keep map[string]int
}

// Runner packs all that lies before the last quarter-hour that ended Delay ago, once for
// each of them. Of several on one database, in as many processes, one works at a time;
// the others see a minute later whether it has left them anything.
type Runner struct {
	cfg    Config
	packer *store.Packer

	retained map[string]time.Time // from when on each level is kept, as far as that has been seen to

	mu    sync.Mutex
	stats Stats
}

func New(cfg Config) *Runner {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	r := &Runner{cfg: cfg, packer: cfg.Store.NewPacker(), retained: map[string]time.Time{}, stats: Stats{Deleted: map[string]int64{}}}
	for _, level := range store.Levels {
		r.stats.Deleted[level] = 0 // counted from there, so that the first rows are an increase
	}
	return r
}

// Stats counts since the Runner was made.
type Stats struct {
	Passes  uint64
	Backlog int           // hours of bundles that the pass under way has yet to pack
	Packed  uint64        // hours of bundles that were packed, each time
	Chunks  uint64        // rows that went into them
	Samples uint64        // that were in them then
	Rows    uint64        // that sum them up
	Failed  uint64        // hours of bundles that couldn't be packed, each time
	Again   uint64        // what was done again, as reads were corrected meanwhile
	Swept   uint64        // chunks deleted, as they were packed
	Busy    time.Duration // spent on all this, without pauses
	Longest time.Duration // transaction, which others wait for
	// Through is the instant up to which all that had come is summed up.
	Through time.Time
	Deleted map[string]int64 // rows that had been kept for long enough, by level
}

// Stats may be called at any time.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Deleted = maps.Clone(s.Deleted)
	return s
}

func (r *Runner) update(f func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
	r.stats.Longest = r.packer.Longest()
}

// Run works until ctx ends. What it was at then is done again, or not at all: nothing is
// half done.
func (r *Runner) Run(ctx context.Context) {
	var done time.Time // the quarter-hour up to which all is packed
	failed := ""
	for {
		wait := lookEvery
		if cut := Cut(time.Now()); !cut.Equal(done) {
			err := r.Pass(ctx, time.Now())
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				done, failed = cut, ""
			case errors.Is(err, store.ErrFenced) && !errors.Is(err, store.ErrCorrected):
				wait = tryAgain
			default:
				wait = tryAgain
				if text := fmt.Sprint(err); text != failed {
					failed = text
					r.cfg.Logger.Error("stored samples can't be summed up, trying again", "error", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Cut is the end of the last quarter-hour that is packed at the instant now.
func Cut(now time.Time) time.Time { return now.Add(-Delay).Truncate(quarter) }

// Pass packs and sums up what is due at the instant now, and deletes what has been kept
// for long enough. After each hour of a bundle it rests for as long as that took. What
// fails doesn't keep it from the rest; the first error is returned. But if another process
// packs it ends at once, with store.ErrFenced.
func (r *Runner) Pass(ctx context.Context, now time.Time) error {
	defer r.packer.Release()
	cut := store.MinuteOf(telemetry.MicrosOf(Cut(now)))
	defer r.update(func(s *Stats) { s.Backlog = 0 })
	work, first := r.list(ctx, cut)
	var over error
	do := func(work func() error) {
		if over != nil {
			return
		}
		err := r.timed(ctx, work)
		for tries := 1; tries < mostTries && errors.Is(err, store.ErrCorrected); tries++ {
			r.update(func(s *Stats) { s.Again++ })
			err = r.timed(ctx, work)
		}
		switch {
		case ctx.Err() != nil:
			over = context.Cause(ctx)
		case errors.Is(err, store.ErrFenced):
			over = err
		case first == nil:
			first = err
		}
	}
	for _, w := range work {
		for _, bundle := range w.bundles {
			do(func() error { return r.pack(ctx, bundle, w.hour, cut) })
		}
		do(func() error {
			n, err := r.packer.Sweep(ctx, w.hour)
			r.update(func(s *Stats) { s.Swept += uint64(n) })
			return err
		})
	}
	do(func() error { return r.retain(ctx, now) })
	if over != nil {
		return over
	}
	if first == nil && r.cfg.Store.Shared() {
		first = r.cfg.Store.Write(ctx, func(t *store.Tx) error {
			return t.SaveProgress(Consumer, store.Share{}, telemetry.MicrosOf(Cut(now)))
		})
	}
	if first == nil {
		r.update(func(s *Stats) { s.Passes, s.Through = s.Passes+1, Cut(now) })
	}
	return first
}

func (r *Runner) pack(ctx context.Context, bundle, hour, cut int64) error {
	done, err := r.packer.Pack(ctx, bundle, hour, cut)
	if errors.Is(err, store.ErrCorrected) {
		return err
	}
	r.update(func(s *Stats) {
		s.Backlog--
		if err != nil {
			if !errors.Is(err, store.ErrFenced) {
				s.Failed++
			}
		} else if done.Chunks > 0 {
			s.Packed++
			s.Chunks += uint64(done.Chunks)
			s.Samples += uint64(done.Samples)
			s.Rows += uint64(done.Rows)
		}
	})
	return err
}

type hourOfBundles struct {
	hour    int64
	bundles []int64
}

func (r *Runner) list(ctx context.Context, cut int64) (work []hourOfBundles, err error) {
	n := 0
	err = r.timed(ctx, func() error {
		for from := store.FirstHour; ; {
			hour, bundles, err := r.packer.Unpacked(ctx, from, cut)
			if err != nil || len(bundles) == 0 {
				return err
			}
			work = append(work, hourOfBundles{hour, bundles})
			n += len(bundles)
			from = hour + 1
		}
	})
	r.update(func(s *Stats) { s.Backlog = n })
	return work, err
}

// timed counts the time of work and rests for as long.
func (r *Runner) timed(ctx context.Context, work func() error) error {
	began := time.Now()
	err := work()
	took := time.Since(began)
	r.update(func(s *Stats) { s.Busy += took })
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(took):
		return nil
	}
}

func (r *Runner) retain(ctx context.Context, now time.Time) error {
	for _, level := range store.Levels {
		days := r.cfg.Keep[level]
		before := now.UTC().Truncate(day).AddDate(0, 0, -days)
		if days == 0 || r.retained[level].Equal(before) {
			continue
		}
		n, err := r.packer.Retain(ctx, level, telemetry.MicrosOf(before))
		r.update(func(s *Stats) { s.Deleted[level] += n })
		if n > 0 {
			r.cfg.Logger.Info("deleted what has been kept for long enough", "level", level, "days", days,
				"before", before.Format(time.DateOnly), "rows", n)
		}
		if err != nil {
			return err
		}
		r.retained[level] = before
	}
	return nil
}
