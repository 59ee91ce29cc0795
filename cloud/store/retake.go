package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Due lists at most limit records that a consumer is to take again: those that
// somebody has asked for and, with keys, those whose keys have become valid. What is
// in the topic first comes first; otherwise they are in the order of one partition
// after another. Only partitions of the share count.
func (s *Store) Due(ctx context.Context, consumer string, share Share, first string, keys bool, limit int) (list []Quarantined, err error) {
	mine, args := share.where()
	of := func(more ...any) []any { return append(more, args...) }
	err = s.Read(ctx, func(t *Tx) error {
		if list, err = t.inOrder(first, limit, `state = 'asked' AND consumer = ?`+mine, of(consumer)...); err != nil || len(list) > 0 || !keys {
			return err
		}
		var due []string
		err := t.Each(func(r *sql.Rows) error {
			var id string
			err := r.Scan(&id)
			due = append(due, id)
			return err
		}, `SELECT k.key_id FROM gateway_key k WHERE k.revoked_at IS NULL
			AND EXISTS (SELECT 1 FROM quarantine q WHERE q.state = 'keyless' AND q.key_id = k.key_id AND q.consumer = ?`+mine+`) LIMIT 1`, of(consumer)...)
		if err == nil && len(due) > 0 {
			list, err = t.inOrder(first, limit, `state = 'keyless' AND consumer = ? AND key_id = ?`+mine, of(consumer, due[0])...)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list what %s is to take again: %w", consumer, err)
	}
	return list, nil
}

func (t *Tx) inOrder(first string, limit int, which string, args ...any) ([]Quarantined, error) {
	list, err := t.quarantined(selectQuarantined+`WHERE `+which+` AND topic = ? ORDER BY partition, log_offset LIMIT ?`, append(slices.Clone(args), first, limit)...)
	if err != nil || len(list) > 0 {
		return list, err
	}
	return t.quarantined(selectQuarantined+`WHERE `+which+` ORDER BY topic, partition, log_offset LIMIT ?`, append(slices.Clone(args), limit)...)
}

// Hold returns ErrFenced unless a consumer's offsets in its share of the partitions are
// where it left them. It fences what moves none of them.
func (t *Tx) Hold(consumer string, share Share, offsets map[string]map[int32]int64) error {
	held := 0
	err := t.Each(func(r *sql.Rows) error {
		var topic string
		var partition int32
		var next int64
		if err := r.Scan(&topic, &partition, &next); err != nil {
			return err
		}
		if !share.Has(partition) {
			return nil
		}
		if at, ok := offsets[topic][partition]; !ok || at != next {
			return fmt.Errorf("%s/%d is at %d: %w", topic, partition, next, ErrFenced)
		}
		held++
		return nil
	}, `SELECT topic, partition, next FROM consumer_offset WHERE consumer = ?`, consumer)
	for _, partitions := range offsets {
		held -= len(partitions)
	}
	if err == nil && held != 0 {
		err = ErrFenced
	}
	if err != nil {
		return fmt.Errorf("store: hold the offsets of %s: %w", consumer, err)
	}
	return nil
}

// SetAside says which of the records of a gateway that stand in the quarantine are
// meant: those that name it, or that one of its keys is said to have signed.
type SetAside struct {
	Gateway string
	Reasons []Reason // none: any
}

func (w SetAside) where() (string, []any) {
	query := `(gateway = ? OR key_id IN (SELECT key_id FROM gateway_key WHERE gateway = ?))`
	args := []any{w.Gateway, w.Gateway}
	if len(w.Reasons) > 0 {
		query += ` AND reason IN (?` + strings.Repeat(`, ?`, len(w.Reasons)-1) + `)`
		for _, r := range w.Reasons {
			args = append(args, string(r))
		}
	}
	return query, args
}

// AsideCount counts records that stand in the quarantine, of one partition, one
// reason, one key and one state.
type AsideCount struct {
	Topic, TopicID string
	Partition      int32
	Reason         Reason
	KeyID          record.KeyID // zero: none
	Valid          bool         // the key is enrolled, and not revoked
	State          QuarantineState
	Records        int64
	First, Last    telemetry.Micros // when they were set aside
	Before         int64            // of Records: those whose offsets lie before the log's beginning
}

// CountAside counts what is meant. Begin is where each partition of the log begins,
// as far as that is known.
func (s *Store) CountAside(ctx context.Context, which SetAside, begin func(topic string, partition int32) int64) (list []AsideCount, err error) {
	where, args := which.where()
	err = s.Ask(ctx, func(t *Tx) error {
		err := t.Each(func(r *sql.Rows) error {
			var c AsideCount
			var key string
			err := r.Scan(&c.Topic, &c.TopicID, &c.Partition, &c.Reason, &key, &c.State, &c.Records, &c.First, &c.Last)
			if err == nil && key != "" {
				c.KeyID, err = record.ParseKeyID(key)
			}
			list = append(list, c)
			return err
		}, `SELECT topic, topic_id, partition, reason, key_id, state, COUNT(*), MIN(at), MAX(at) FROM quarantine WHERE `+where+`
			GROUP BY topic, topic_id, partition, reason, key_id, state ORDER BY topic, topic_id, partition, reason, key_id, state`, args...)
		for i := range list {
			c := &list[i]
			key := ""
			if c.KeyID != (record.KeyID{}) {
				key = c.KeyID.String()
			}
			if err == nil {
				err = t.QueryRow(`SELECT (SELECT COUNT(*) FROM gateway_key WHERE key_id = ? AND revoked_at IS NULL) > 0,
					(SELECT COUNT(*) FROM quarantine WHERE topic = ? AND topic_id = ? AND partition = ? AND reason = ? AND key_id = ? AND state = ? AND log_offset < ? AND `+where+`)`,
					append([]any{key, c.Topic, c.TopicID, c.Partition, string(c.Reason), key, string(c.State), begin(c.Topic, c.Partition)}, args...), &c.Valid, &c.Before)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: count the quarantine of gateway %s: %w", which.Gateway, err)
	}
	return list, nil
}

// askStep bounds a transaction, for which others wait.
const askStep = 10_000

// AskAside has the records taken again that are meant, and returns their number.
func (s *Store) AskAside(ctx context.Context, which SetAside) (asked int64, err error) {
	where, args := which.where()
	for n := int64(askStep); n == askStep; asked += n {
		err := s.Write(ctx, func(t *Tx) error {
			res, err := t.Exec(`UPDATE quarantine SET state = 'asked' WHERE id IN
				(SELECT id FROM quarantine WHERE state IN ('kept', 'keyless') AND `+where+` LIMIT ?)`, append(slices.Clone(args), askStep)...)
			if err == nil {
				n, err = res.RowsAffected()
			}
			return err
		})
		if err != nil {
			return asked, fmt.Errorf("store: ask for the quarantine of gateway %s: %w", which.Gateway, err)
		}
	}
	return asked, nil
}
