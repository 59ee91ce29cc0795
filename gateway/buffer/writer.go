package buffer

import (
	"context"
	"log/slog"
	"sync"
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
	buffer   *Buffer
	interval time.Duration
	log      *slog.Logger
	// onLoss is told what was given up to make room.
	onLoss func([]telemetry.Loss)

	wake chan struct{}

	mu        sync.Mutex
	pending   []telemetry.Sample
	discarded uint64
	failing   bool
}

// NewWriter makes a writer that commits at least every interval. onLoss is
// called on Run's goroutine.
func (b *Buffer) NewWriter(interval time.Duration, onLoss func([]telemetry.Loss)) *Writer {
	return &Writer{buffer: b, interval: interval, onLoss: onLoss, log: b.log, wake: make(chan struct{}, 1)}
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
		if err := w.buffer.Save(); err != nil {
			w.log.Warn("buffer", "error", err)
		}
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
	losses, err := w.buffer.MakeRoom()
	if len(losses) > 0 {
		w.onLoss(losses)
	}
	if err != nil {
		return err
	}
	items, err := w.encode(encoder, nil, samples)
	if err != nil {
		return err
	}
	return w.buffer.Telemetry.Commit(items, nil)
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
