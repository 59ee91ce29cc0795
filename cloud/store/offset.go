package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ErrFenced says that another process has moved the offset that a transaction
// started from. Nothing of the transaction is stored; the consumer reads its
// offsets again and goes on from there.
var ErrFenced = errors.New("another consumer has moved the offset")

// Offsets is where a consumer goes on reading, by topic and partition.
func (s *Store) Offsets(ctx context.Context, consumer string) (map[string]map[int32]int64, error) {
	offsets := map[string]map[int32]int64{}
	err := s.Read(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var topic string
			var partition int32
			var next int64
			err := r.Scan(&topic, &partition, &next)
			if offsets[topic] == nil {
				offsets[topic] = map[int32]int64{}
			}
			offsets[topic][partition] = next
			return err
		}, `SELECT topic, partition, next FROM consumer_offset WHERE consumer = ?`, consumer)
	})
	if err != nil {
		return nil, fmt.Errorf("store: read the offsets of %s: %w", consumer, err)
	}
	return offsets, nil
}

// NoOffset stands for a partition that the consumer has never committed.
const NoOffset = -1

// Advance moves a consumer's offset from from to next, or returns ErrFenced if
// it isn't at from.
func (t *Tx) Advance(consumer, topic string, partition int32, from, next int64) error {
	var res sql.Result
	var err error
	if from == NoOffset {
		res, err = t.Exec(`INSERT INTO consumer_offset (consumer, topic, partition, next) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			consumer, topic, partition, next)
	} else {
		res, err = t.Exec(`UPDATE consumer_offset SET next = ? WHERE consumer = ? AND topic = ? AND partition = ? AND next = ?`,
			next, consumer, topic, partition, from)
	}
	var moved int64
	if err == nil {
		moved, err = res.RowsAffected()
	}
	if err != nil {
		return fmt.Errorf("store: advance %s in %s/%d: %w", consumer, topic, partition, err)
	}
	if moved != 1 {
		return fmt.Errorf("store: advance %s in %s/%d from %d: %w", consumer, topic, partition, from, ErrFenced)
	}
	return nil
}

// Skip sets a consumer's offset to resume because the log no longer holds the
// one it wanted, and keeps an entry of that in the quarantine.
func (s *Store) Skip(ctx context.Context, consumer string, gap Quarantined, resume int64) error {
	return s.Write(ctx, func(t *Tx) error {
		if _, err := t.Exec(`INSERT INTO consumer_offset (consumer, topic, partition, next) VALUES (?, ?, ?, ?)
			ON CONFLICT (consumer, topic, partition) DO UPDATE SET next = excluded.next`,
			consumer, gap.Topic, gap.Partition, resume); err != nil {
			return fmt.Errorf("store: skip to %d in %s/%d: %w", resume, gap.Topic, gap.Partition, err)
		}
		return t.Quarantine(gap)
	})
}
