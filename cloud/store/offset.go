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

// TopicIDs is what Kafka called the topics that a consumer's offsets are about; a
// topic whose brokers gave it no id is missing.
func (s *Store) TopicIDs(ctx context.Context, consumer string) (map[string]string, error) {
	ids := map[string]string{}
	err := s.Read(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var topic, id string
			err := r.Scan(&topic, &id)
			ids[topic] = id
			return err
		}, `SELECT topic, MAX(topic_id) FROM consumer_offset WHERE consumer = ? AND topic_id <> '' GROUP BY topic`, consumer)
	})
	if err != nil {
		return nil, fmt.Errorf("store: read the topics of %s: %w", consumer, err)
	}
	return ids, nil
}

// Partition is one of a topic's logs. TopicID is what Kafka calls the topic,
// empty if the brokers give topics no ids.
type Partition struct {
	Topic, TopicID string
	Number         int32
}

func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Number) }

// NoOffset stands for a partition that the consumer has never committed.
const NoOffset = -1

// Advance moves a consumer's offset from from to next, or returns ErrFenced if
// it isn't at from in the topic with this id.
func (t *Tx) Advance(consumer string, p Partition, from, next int64) error {
	var res sql.Result
	var err error
	if from == NoOffset {
		res, err = t.Exec(`INSERT INTO consumer_offset (consumer, topic, partition, topic_id, next) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			consumer, p.Topic, p.Number, p.TopicID, next)
	} else {
		res, err = t.Exec(`UPDATE consumer_offset SET next = ?, topic_id = ? WHERE consumer = ? AND topic = ? AND partition = ? AND next = ? AND topic_id IN (?, '')`,
			next, p.TopicID, consumer, p.Topic, p.Number, from, p.TopicID)
	}
	var moved int64
	if err == nil {
		moved, err = res.RowsAffected()
	}
	if err != nil {
		return fmt.Errorf("store: advance %s in %s: %w", consumer, p, err)
	}
	if moved != 1 {
		return fmt.Errorf("store: advance %s in %s from %d: %w", consumer, p, from, ErrFenced)
	}
	return nil
}

// Skip moves a consumer's offset from from to resume because the log doesn't give
// what is between, and keeps an entry of that in the quarantine. It returns
// ErrFenced if the consumer isn't there.
func (s *Store) Skip(ctx context.Context, consumer string, from int64, gap Quarantined, resume int64) error {
	return s.Write(ctx, func(t *Tx) error {
		if err := t.Advance(consumer, Partition{gap.Topic, gap.TopicID, gap.Partition}, from, resume); err != nil {
			return err
		}
		return t.Quarantine(gap)
	})
}

// StartAgain forgets a consumer's offsets in the topic that had the id topicID,
// because another has taken its name, and keeps an entry of that in the
// quarantine. It returns ErrFenced if there are none.
func (s *Store) StartAgain(ctx context.Context, consumer, topicID string, gap Quarantined) error {
	return s.Write(ctx, func(t *Tx) error {
		res, err := t.Exec(`DELETE FROM consumer_offset WHERE consumer = ? AND topic = ? AND topic_id = ?`, consumer, gap.Topic, topicID)
		var n int64
		if err == nil {
			n, err = res.RowsAffected()
		}
		if err == nil && n == 0 {
			err = ErrFenced
		}
		if err != nil {
			return fmt.Errorf("store: start %s again in %s: %w", consumer, gap.Topic, err)
		}
		return t.Quarantine(gap)
	})
}
