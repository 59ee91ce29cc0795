package buffer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// commitSamples is how many samples are committed together at the latest.
const commitSamples = 10_000

// maxPending bounds the samples in memory while the disk doesn't take any.
const maxPending = 50 * commitSamples

// Ledger counts samples on their way into the buffer. Its state is committed in
// one transaction with what it has counted, as the state of the telemetry chain.
type Ledger interface {
	// Count takes the samples of the next commit, once: a commit that fails is
	// tried again with the same samples.
	Count(samples []telemetry.Sample, slots []account.Slot)
	// Discard takes samples that will never be committed. It doesn't block, and is
	// called from any goroutine.
	Discard(samples []telemetry.Sample, slots []account.Slot)
	// State is to be committed with what was counted; when no samples wait, idle is
	// true, and nil says that nothing needs to be committed.
	State(idle bool) []byte
	// Committed says that what State returned last is on disk.
	Committed()
}

// Writer commits samples to the telemetry chain in groups: every interval, or
// 10,000 at a time. Until their group is committed they are not accepted.
type Writer struct {
	buffer   *Buffer
	interval time.Duration
	log      *slog.Logger
	declare  func([]telemetry.Loss) error
	ledger   Ledger

	wake chan struct{}

	mu        sync.Mutex
	pending   []telemetry.Sample
	slots     []account.Slot // of the pending samples
	discarded uint64
	failing   bool
}

// NewWriter makes a writer that commits at least every interval. declare enters
// into the ledger what was given up to make room, or found unreadable; it is
// called on Run's goroutine. The ledger counts every sample that is added.
func (b *Buffer) NewWriter(interval time.Duration, declare func([]telemetry.Loss) error, ledger Ledger) *Writer {
	return &Writer{buffer: b, interval: interval, declare: declare, ledger: ledger, log: b.log, wake: make(chan struct{}, 1)}
}

// Add copies samples and the slots in which they were read. It never blocks on the disk: when more than half a
// million wait for it, further ones are discarded and counted.
func (w *Writer) Add(samples []telemetry.Sample, slots []account.Slot) {
	w.mu.Lock()
	fits := min(len(samples), max(0, maxPending-len(w.pending)))
	w.pending = append(w.pending, samples[:fits]...)
	if fits > 0 || len(samples) == 0 {
		w.slots = append(w.slots, slots...)
		slots = nil
	}
	if fits < len(samples) {
		w.ledger.Discard(samples[fits:], slots)
	}
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
	var slots []account.Slot
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
			slots, w.slots = w.slots, slots[:0]
			w.mu.Unlock()
			w.ledger.Count(group, slots)
		}
		if err := w.commit(&encoder, group); err != nil {
			w.setFailing(true, err)
			continue // group is kept and tried again
		}
		w.setFailing(false, nil)
		w.ledger.Committed()
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
	state := w.ledger.State(len(samples) == 0)
	if len(samples) == 0 && state == nil {
		return nil
	}
	if err := w.buffer.MakeRoom(w.declare); err != nil {
		return err
	}
	var items []Item
	if len(samples) > 0 {
		var err error
		if items, err = w.encode(encoder, nil, samples); err != nil {
			return err
		}
	}
	err := w.buffer.Telemetry.Commit(items, state)
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

// maxBlockBytes keeps a block well below a log's usual 1 MB record limit.
const maxBlockBytes = 512 << 10

// encode appends samples as one block, or as several if one would be too large
// for the log.
func (w *Writer) encode(encoder *telemetry.Encoder, items []Item, samples []telemetry.Sample) ([]Item, error) {
	if len(samples) > 2*commitSamples {
		half := len(samples) / 2
		items, err := w.encode(encoder, items, samples[:half])
		if err != nil {
			return nil, err
		}
		return w.encode(encoder, items, samples[half:])
	}
	block, err := encoder.AppendBlock(nil, w.buffer.table.Ref(), samples)
	if err != nil {
		return nil, err
	}
	if len(block) > maxBlockBytes && len(samples) > 1 {
		half := len(samples) / 2
		items, err := w.encode(encoder, items, samples[:half])
		if err != nil {
			return nil, err
		}
		return w.encode(encoder, items, samples[half:])
	}
	return append(items, Item{Format: record.FormatBlock, Payload: block, Count: uint64(len(samples))}), nil
}
