package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cursor is how far rows have been written, as the log holds it.
type cursor struct {
	Database string `json:"database"`
	Next     int64  `json:"next"` // row
}

func (w *Writer) cursor(next int64) *kgo.Record {
	text, err := json.Marshal(cursor{w.f.Database, next})
	if err != nil {
		panic(err) // it is a text and a number
	}
	return &kgo.Record{Topic: w.cfg.Cursor, Key: []byte(w.cfg.Reader), Value: text}
}

// tail is how much of the cursor's topic is read at first: the last cursor is in it, but
// after many transactions that failed.
const tail = 200

// readTimeout is how long the brokers may take to give it.
const readTimeout = 30 * time.Second

// readCursor is the last one that was committed; zero if there is none.
func readCursor(ctx context.Context, opts []kgo.Opt, topic string) (c cursor, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	client, err := kgo.NewClient(opts...)
	if err == nil {
		defer client.Close()
		var first, end int64
		if first, end, err = bounds(ctx, client, topic); err == nil && end > first {
			from := max(first, end-tail)
			if c, err = lastCursor(ctx, opts, topic, from, end); err == nil && c.Database == "" && from > first {
				c, err = lastCursor(ctx, opts, topic, first, end)
			}
		}
	}
	if err != nil {
		return cursor{}, fmt.Errorf("read %s: %w", topic, err)
	}
	return c, nil
}

// bounds are the offsets of the first record and behind the last one that is decided.
func bounds(ctx context.Context, client *kgo.Client, topic string) (first, end int64, err error) {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, 0, err
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err := errors.Join(err, starts.Error(), ends.Error()); err != nil {
		return 0, 0, err
	}
	start, _ := starts.Lookup(topic, 0)
	last, _ := ends.Lookup(topic, 0)
	return start.Offset, last.Offset, nil
}

// lastCursor is the last of those from from on and before end, which is behind the end of
// a transaction.
func lastCursor(ctx context.Context, opts []kgo.Opt, topic string, from, end int64) (c cursor, err error) {
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))...)
	if err != nil {
		return c, err
	}
	defer client.Close()
	for next := from; next < end; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return c, err
		}
		for r := range fetches.RecordsAll() {
			next = r.Offset + 1
			if r.Attrs.IsControl() || r.Offset >= end {
				continue
			}
			if err := json.Unmarshal(r.Value, &c); err != nil {
				return c, fmt.Errorf("offset %d: %w", r.Offset, err)
			}
		}
	}
	return c, nil
}
