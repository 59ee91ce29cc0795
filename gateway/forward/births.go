package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/busbar/busbar/telemetry/record"
)

// Births sends a signal table whose parts are signed by sign under their keys in
// the log, and returns when it is acknowledged. It is tried again until ctx ends.
func Births(ctx context.Context, sink Sink, b record.Birth, sign func(key, value []byte) record.Seal, log *slog.Logger) error {
	var messages []record.Message
	for _, part := range record.SplitBirth(b) {
		value, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("forward: birth: %w", err)
		}
		m := record.Message{Key: []byte(part.Key()), Value: value, Headers: []record.Header{
			{Key: "gateway", Value: []byte(b.Gateway)},
			{Key: "format", Value: []byte(record.FormatBirth)},
		}}
		m.Headers = append(m.Headers, sign(m.Key, m.Value).Headers()...)
		messages = append(messages, m)
	}
	refusal := ""
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := sendAll(ctx, sink, messages)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if text := err.Error(); text != refusal {
			refusal = text
			log.Warn("the log refused the signal table; it is tried again", "error", err)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// sendAll returns when all messages are acknowledged, or with the first error.
func sendAll(ctx context.Context, sink Sink, messages []record.Message) (err error) {
	answers := make(chan error, len(messages))
	for _, m := range messages {
		sink.Produce(m, func(err error) { answers <- err })
	}
	for range messages {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case answer := <-answers:
			if err == nil {
				err = answer
			}
		}
	}
	return err
}
