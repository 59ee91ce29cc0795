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

// Births sends a signal table, and returns when it is acknowledged. It is tried
// again until ctx ends.
func Births(ctx context.Context, client *kgo.Client, topic string, b record.Birth, log *slog.Logger) error {
	var records []*kgo.Record
	for _, part := range record.SplitBirth(b) {
		value, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("forward: birth: %w", err)
		}
		records = append(records, &kgo.Record{
			Topic: topic, Key: []byte(part.Key()), Value: value,
			Headers: []kgo.RecordHeader{
				{Key: "gateway", Value: []byte(b.Gateway)},
				{Key: "format", Value: []byte(record.FormatBirth)},
			},
		})
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
