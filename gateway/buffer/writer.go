package buffer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// commitSamples is how many samples are committed together at the latest.
const commitSamples = 10_000

// maxPending bounds the samples in memory while the disk doesn't take any.
const maxPending = 50 * commitSamples

// Writer commits samples to the telemetry chain in groups: every interval, or
// 10,000 at a time. Until their group is committed they are not accepted.
type Writer struct {
	// Boot is the boot that times of quality telemetry.SinceBoot count from.
	Boot record.Boot

	buffer   *Buffer
	interval time.Duration
	log      *slog.Logger
	declare  func([]telemetry.Loss) error

	wake chan struct{}

	mu        sync.Mutex
	pending   []telemetry.Sample
	discarded uint64
	failing   bool
}

// NewWriter makes a writer that commits at least every interval. declare enters
// into the ledger what was given up to make room, or found unreadable; it is
// called on Run's goroutine.
func (b *Buffer) NewWriter(interval time.Duration, declare func([]telemetry.Loss) error) *Writer {
	return &Writer{buffer: b, interval: interval, declare: declare, log: b.log, wake: make(chan struct{}, 1)}
}

// Add copies samples. It never blocks on the disk: when more than half a
// million wait for it, further ones are discarded and counted.
func (w *Writer) Add(samples []telemetry.Sample) {
	w.mu.Lock()
	fits := min(len(samples), max(0, maxPending-len(w.pending)))
	w.pending = append(w.pending, samples[:fits]...)
	w.discarded += uint64(len(samples) - fits)
	full := len(w.pending) >= commitSamples
	w.mu.Unlock()
	if full {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Discarded counts the samples that were never accepted because the disk
// didn't keep up.
func (w *Writer) Discarded() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.discarded
}

// Failing reports whether the last commit failed.
func (w *Writer) Failing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failing
}

// Run commits until ctx ends, and then once more.
func (w *Writer) Run(ctx context.Context) {
	ticker := time.NewTicker(w.interval)
	defer ticker.Stop()
	var group []telemetry.Sample
	var encoder telemetry.Encoder
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-ticker.C:
		case <-w.wake:
		}
		if len(group) == 0 {
			w.mu.Lock()
			group, w.pending = w.pending, group
			w.mu.Unlock()
		}
		if err := w.commit(&encoder, group); err != nil {
			w.setFailing(true, err)
			continue // group is kept and tried again
		}
		w.setFailing(false, nil)
		group = group[:0]
		if ended {
			w.mu.Lock()
			ended = len(w.pending) == 0
			w.mu.Unlock()
		}
		w.keepBooks()
	}
}

func (w *Writer) keepBooks() {
	for _, c := range []*Chain{w.buffer.Events, w.buffer.Telemetry} {
		if gaps := c.Gaps(); len(gaps) > 0 {
			if err := w.declare(gaps); err != nil {
				w.log.Error("a loss can't be entered into the ledger", "losses", gaps, "error", err)
			}
		}
	}
	if err := w.buffer.Save(); err != nil {
		w.log.Warn("buffer", "error", err)
	}
}

func (w *Writer) setFailing(failing bool, err error) {
	w.mu.Lock()
	changed := w.failing != failing
	w.failing = failing
	w.mu.Unlock()
	switch {
	case changed && failing:
		w.log.Error("samples can't be committed; they are kept in memory and tried again", "error", err)
	case changed:
		w.log.Info("samples are committed again")
	}
}

func (w *Writer) commit(encoder *telemetry.Encoder, samples []telemetry.Sample) error {
	if len(samples) == 0 {
		return nil
	}
	if err := w.buffer.MakeRoom(w.declare); err != nil {
		return err
	}
	items, err := w.encode(encoder, samples)
	if err != nil {
		return err
	}
	err = w.buffer.Telemetry.Commit(items, nil)
	if !errors.Is(err, syscall.ENOSPC) || w.buffer.Telemetry.Stats().Waiting == 0 {
		return err
	}
	// The disk is smaller than max_size. Its room is needed to record the loss.
	var losses []telemetry.Loss
	drop := w.buffer.Telemetry.dropOldest(func(l []telemetry.Loss) error {
		losses = l
		return nil
	})
	if drop == nil && len(losses) > 0 {
		w.log.Warn("the disk is full; the oldest samples were given up")
		drop = w.declare(losses)
	}
	return errors.Join(err, drop)
}
