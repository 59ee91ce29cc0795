package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/log"
)

// Replay takes what the log has from the offsets in the store up to those in until, and
// returns when all of it is stored: births first and then topic by topic, so that it
// comes to the same whenever it is done. Nothing is retaken, and nothing forgotten. It
// doesn't wait for a log that can't be read.
func (r *Runner) Replay(ctx context.Context, until log.Offsets) error {
	for _, topic := range []string{r.cfg.Topics.Births(), r.cfg.Topics.Telemetry(), r.cfg.Topics.Backfill()} {
		for {
			err := r.replay(ctx, topic, until)
			var truncated *log.TruncatedError
			if errors.As(err, &truncated) && truncated.Oversized {
				// It was left out when it came, too.
				if err = r.leaveOut(ctx, truncated); err == nil {
					continue
				}
			}
			if err != nil {
				return fmt.Errorf("ingest: replay %s: %w", topic, err)
			}
			break
		}
	}
	return nil
}

func (r *Runner) leaveOut(ctx context.Context, batch *log.TruncatedError) error {
	_, err := log.Lost(ctx, r.cfg.Store, Consumer, batch, nil)
	return err
}

func (r *Runner) replay(ctx context.Context, topic string, until log.Offsets) error {
	offsets, err := r.cfg.Store.Offsets(ctx, Consumer)
	if err != nil {
		return err
	}
	s := newSession(r, offsets)
	reader, err := log.OpenReader(ctx, r.cfg.Log, []string{topic}, offsets, nil)
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := reader.ReadTo(ctx, until, pollLimit, func(records []*kgo.Record) error { return s.take(ctx, records) }); err != nil {
		return errors.Join(err, s.flush(context.WithoutCancel(ctx)))
	}
	return s.flush(ctx)
}
