// Package measurements writes what the store takes in to a topic of the log, one JSON
// object a sample, for consumers that know nothing of Busbar. Each sample that is stored
// once is read there once by who reads what is committed: the records, and up to which
// chunk of the store they go, are one transaction of Kafka's.
package measurements

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/outbox"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// follower is what the store calls this reader of its chunks.
const follower = "measurements"

const (
	together = outbox.MostRecords // samples of a transaction
	known    = time.Minute        // after that a series is looked at anew
)

// Config says what to write and where.
type Config struct {
	Log     []kgo.Opt // how to reach the brokers
	Topics  record.Topics
	Store   *store.Store
	Logger  *slog.Logger   // nil: slog.Default
	Signals []store.Choice // none: all
}

// Runner writes measurements.
type Runner struct {
	*outbox.Outbox
	cfg Config

	decoder telemetry.Decoder
	block   []telemetry.Sample
	samples []telemetry.Sample             // of a transaction
	sources map[telemetry.SignalID]*source // nil: none of its are written
	since   time.Time                      // of the sources
	text    []byte
}

// New is a Runner. What is stored after it was made first is written.
func New(ctx context.Context, cfg Config) (*Runner, error) {
	out, err := outbox.New(ctx, outbox.Config{Log: cfg.Log, Topic: cfg.Topics.Measurements(), Cursor: cfg.Topics.MeasurementsCursor(),
		Store: cfg.Store, Rows: store.Chunks, Reader: follower, Logger: cfg.Logger})
	return &Runner{Outbox: out, cfg: cfg}, err
}

// Run writes until ctx ends. It tries again whatever fails for a while.
func (r *Runner) Run(ctx context.Context) { r.Outbox.Run(ctx, r.write) }

// Forget has the store keep nothing for a Runner, where there is none any more.
func Forget(ctx context.Context, s *store.Store) error {
	return s.Unfollow(ctx, store.Chunks, follower)
}

// write writes the samples of the chunks from next on that are selected.
func (r *Runner) write(ctx context.Context, w *outbox.Writer, next int64) (int64, error) {
	chunks, err := r.cfg.Store.StoredFrom(ctx, next, together)
	if err != nil || len(chunks) == 0 {
		return next, err
	}
	if err := r.decode(ctx, chunks); err != nil {
		return next, err
	}
	for _, sample := range r.samples {
		if of := r.sources[sample.Signal]; of != nil {
			r.text = of.append(r.text[:0], sample)
			if err := w.Write(ctx, of.key, bytes.Clone(r.text)); err != nil {
				return next, err
			}
		}
	}
	return chunks[len(chunks)-1].Number + 1, nil
}

// decode reads the samples of chunks, and learns of which series they are.
func (r *Runner) decode(ctx context.Context, chunks []store.Stored) (err error) {
	r.samples = r.samples[:0]
	for _, c := range chunks {
		if _, r.block, err = r.decoder.Block(c.Block, r.block); err != nil {
			return fmt.Errorf("chunk %d: %w", c.Number, err)
		}
		r.samples = append(r.samples, r.block...)
	}
	return r.learn(ctx)
}

// learn looks up the series of samples that aren't known.
func (r *Runner) learn(ctx context.Context) error {
	if time.Since(r.since) > known {
		r.sources, r.since = map[telemetry.SignalID]*source{}, time.Now()
	}
	var ask []telemetry.SignalID
	for _, sample := range r.samples {
		if _, has := r.sources[sample.Signal]; !has {
			r.sources[sample.Signal] = nil
			ask = append(ask, sample.Signal)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	found, err := r.cfg.Store.Sources(ctx, ask)
	if err != nil {
		return err
	}
	for _, of := range found {
		if of.Chosen(r.cfg.Signals) {
			r.sources[of.ID] = sourceOf(of)
		}
	}
	return nil
}
