package alarm

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Replay takes the events that the log has from the offset in the store up to that in
// until, and returns when all of them are stored. Nobody is judged by his silence, and
// nothing is retaken. It doesn't wait for a log that can't be read.
func (r *Runner) Replay(ctx context.Context, until log.Offsets) error {
	for {
		err := r.replay(ctx, until)
		var truncated *log.TruncatedError
		if errors.As(err, &truncated) && truncated.Oversized {
			// It was left out when it came, too.
			if _, err = log.Lost(ctx, r.cfg.Store, Consumer, truncated, nil); err == nil {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("alarm: replay: %w", err)
		}
		return nil
	}
}

func (r *Runner) replay(ctx context.Context, until log.Offsets) error {
	offsets, err := r.cfg.Store.Offsets(ctx, Consumer)
	if err != nil {
		return err
	}
	topic := r.cfg.Topics.Events()
	reader, err := log.OpenReader(ctx, r.cfg.Log, []string{topic}, offsets, nil)
	if err != nil {
		return err
	}
	defer reader.Close()
	if offsets[topic] == nil {
		offsets[topic] = map[int32]int64{}
	}
	s := &session{Runner: r, topic: topic, offsets: offsets[topic], ledger: r.cfg.Store.NewLedger(), keys: identity.NewKeys(r.cfg.Store)}
	return reader.ReadTo(ctx, until, pollLimit, func(records []*kgo.Record) error { return s.take(ctx, records) })
}

// Parse reads the event in a record of the log whose signature is left to the caller.
func Parse(r *kgo.Record) (record.Record, telemetry.Event, error) {
	rec, err := record.ParseHeaders(log.Headers(r), r.Value)
	if err != nil {
		return rec, telemetry.Event{}, err
	}
	e, _, err := parse(rec)
	return rec, e, err
}
