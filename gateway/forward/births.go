package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry/record"
)

// Births sends a signal table whose parts are signed by sign under their keys in
// the log, and returns when it is acknowledged. It is tried again until ctx ends.
func Births(ctx context.Context, client *kgo.Client, topic string, b record.Birth, sign func(key, value []byte) record.Seal, log *slog.Logger) error {
	var records []*kgo.Record
	for _, part := range record.SplitBirth(b) {
		value, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("forward: birth: %w", err)
		}
		r := &kgo.Record{
			Topic: topic, Key: []byte(part.Key()), Value: value,
			Headers: []kgo.RecordHeader{
				{Key: "gateway", Value: []byte(b.Gateway)},
				{Key: "format", Value: []byte(record.FormatBirth)},
			},
		}
		for _, h := range sign(r.Key, r.Value).Headers() {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		records = append(records, r)
	}
	refusal := ""
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := client.ProduceSync(ctx, records...).FirstErr()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if text := err.Error(); text != refusal {
			refusal = text
			log.Warn("the log refused the signal table; it is tried again", "topic", topic, "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
