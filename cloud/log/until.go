package log

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// longestStall is for how long brokers may answer and give nothing of what they have.
const longestStall = 30 * time.Second

// ReadTo calls take with all that lies before the offsets in until, at most limit records
// at a time, and returns when there is no more. Of a partition that has no offset there
// it reads nothing. It is called once, in place of Poll, and returns what Poll would.
func (r *Reader) ReadTo(ctx context.Context, until Offsets, limit int, take func([]*kgo.Record) error) error {
	r.until = until
	moved := time.Now()
	for {
		topic, partition, left := r.left()
		if !left {
			return nil
		}
		if r.Fetched().Sub(moved) > longestStall {
			return fmt.Errorf("log: the brokers give nothing of %s/%d from offset %d on", topic, partition, r.wanted(topic, partition))
		}
		records, err := r.Poll(ctx, time.Second, limit)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case len(records) == 0:
			continue
		}
		if err := take(records); err != nil {
			return err
		}
		moved = time.Now()
	}
}

// left is a partition of which something is left to read.
func (r *Reader) left() (topic string, partition int32, left bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, topic := range r.topics {
		for p, until := range r.until[topic] {
			if r.position[topic][p] < until {
				return topic, p, true
			}
		}
	}
	return "", 0, false
}

// within leaves out what lies behind the offsets in until.
func (r *Reader) within(records []*kgo.Record) []*kgo.Record {
	if r.until == nil {
		return records
	}
	return slices.DeleteFunc(records, func(k *kgo.Record) bool {
		if k.Offset < r.until[k.Topic][k.Partition] {
			return false
		}
		r.client.PauseFetchPartitions(map[string][]int32{k.Topic: {k.Partition}})
		return true
	})
}
