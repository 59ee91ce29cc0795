package store

import (
	"context"
	"database/sql"
	"fmt"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Reason is why a record was not taken into the store.
type Reason string

const (
	BadHeaders       Reason = "bad-headers"       // no identity, or not one that belongs in the topic
	CorruptBlock     Reason = "corrupt-block"     // the block fails its CRC or can't be decoded
	WrongCount       Reason = "wrong-count"       // a block with fewer or more samples than its sequence numbers
	CorruptEvent     Reason = "corrupt-event"     // no event, or one without what its kind needs
	CorruptBirth     Reason = "corrupt-birth"     // no part of a signal table
	IdentityConflict Reason = "identity-conflict" // sequence numbers that were received before, with other contents
	LogTruncated     Reason = "log-truncated"     // the log lost records before they were read
	OversizedBatch   Reason = "oversized-batch"   // records that would fill the memory if they were decompressed

	// What a record's signature is worth.
	Unsigned     Reason = "unsigned"      // there is none
	UnknownKey   Reason = "unknown-key"   // by a key that isn't enrolled
	BadSignature Reason = "bad-signature" // it doesn't fit, or is none
	ForeignKey   Reason = "foreign-key"   // by another gateway's key
	RevokedKey   Reason = "revoked-key"   // by a key that was revoked
)

// Reasons are all of them.
var Reasons = []Reason{BadHeaders, CorruptBlock, WrongCount, CorruptEvent, CorruptBirth, IdentityConflict, LogTruncated, OversizedBatch,
	Unsigned, UnknownKey, BadSignature, ForeignKey, RevokedKey}

// QuarantineState is what is to become of a record that was set aside.
type QuarantineState string

const (
	Kept    QuarantineState = "kept"    // nothing, until somebody asks for it
	Keyless QuarantineState = "keyless" // it is taken again by itself, once its key is valid
	Asked   QuarantineState = "asked"   // it is about to be taken again
	Taken   QuarantineState = "taken"   // it was taken again, or had been received otherwise
	Gone    QuarantineState = "gone"    // the log doesn't have it any more
)

// MaxQuarantinedBytes bounds what is kept of one record. The whole record stays
// in the log for as long as its topic keeps records.
const MaxQuarantinedBytes = 64 << 10

// MaxRefusedBytes is that bound for a record whose signature is worth nothing, or
// hasn't been checked: what anybody may write to the log shouldn't fill the database.
const MaxRefusedBytes = 1 << 10

// Quarantined is a record that was set aside.
type Quarantined struct {
	// ID is given by the store. A record that is set aside once more, after it was
	// to be taken again, has it already, and keeps its row.
	ID        int64
	Consumer  string // that set it aside, and takes it again
	Topic     string
	TopicID   string // what Kafka calls the topic; "" if that isn't known
	Partition int32
	Offset    int64
	Gateway   string       // that it names, or whose key it has in the log if that can't be read; "": it isn't one record
	KeyID     record.KeyID // that it names; zero if none
	Reason    Reason
	Detail    string
	Payload   []byte // its first MaxQuarantinedBytes
	At        telemetry.Micros
	State     QuarantineState
}

func stateFor(r Reason) QuarantineState {
	switch r {
	case UnknownKey, RevokedKey:
		return Keyless
	case LogTruncated:
		return Gone
	}
	return Kept
}

// Quarantine sets a record aside. The error is an ErrFenced if the record has an
// ID and was dealt with by another consumer.
func (t *Tx) Quarantine(q Quarantined) error {
	payload := q.Payload[:min(len(q.Payload), MaxQuarantinedBytes)]
	key := ""
	if q.KeyID != (record.KeyID{}) {
		key = q.KeyID.String()
	}
	if !utf8.ValidString(q.Gateway) || len(q.Gateway) > 255 {
		q.Gateway = ""
	}
	var err error
	if q.ID != 0 {
		err = t.settle(q.ID, `UPDATE quarantine SET state = ?, reason = ?, detail = ?, gateway = ?, key_id = ?, payload = ? WHERE id = ? AND state IN ('asked', 'keyless')`,
			string(stateFor(q.Reason)), string(q.Reason), q.Detail, q.Gateway, key, payload, q.ID)
	} else {
		_, err = t.Exec(`INSERT INTO quarantine (consumer, topic, topic_id, partition, log_offset, gateway, key_id, reason, detail, payload, at, state)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, q.Consumer, q.Topic, q.TopicID, q.Partition, q.Offset, q.Gateway, key,
			string(q.Reason), q.Detail, payload, int64(q.At), string(stateFor(q.Reason)))
	}
	if err != nil {
		return fmt.Errorf("store: quarantine %s/%d@%d: %w", q.Topic, q.Partition, q.Offset, err)
	}
	return nil
}

// settle changes one row, or returns ErrFenced if that was done before.
func (t *Tx) settle(id int64, query string, args ...any) error {
	res, err := t.Exec(query, args...)
	var n int64
	if err == nil {
		n, err = res.RowsAffected()
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("row %d: %w", id, ErrFenced)
	}
	return err
}

// EndQuarantine keeps what became of a record that was to be taken again: Taken, or
// Gone. It returns ErrFenced if another consumer has dealt with it.
func (t *Tx) EndQuarantine(id int64, state QuarantineState, at telemetry.Micros) error {
	err := t.settle(id, `UPDATE quarantine SET state = ?, settled = ? WHERE id = ? AND state IN ('asked', 'keyless')`, string(state), int64(at), id)
	if err != nil {
		return fmt.Errorf("store: end the quarantine of a record: %w", err)
	}
	return nil
}

const selectQuarantined = `SELECT id, consumer, topic, topic_id, partition, log_offset, gateway, key_id, reason, detail, payload, at, state FROM quarantine `

func (t *Tx) quarantined(query string, args ...any) (list []Quarantined, err error) {
	err = t.Each(func(r *sql.Rows) error {
		var q Quarantined
		var key string
		err := r.Scan(&q.ID, &q.Consumer, &q.Topic, &q.TopicID, &q.Partition, &q.Offset, &q.Gateway, &key, &q.Reason, &q.Detail, &q.Payload, &q.At, &q.State)
		if err == nil && key != "" {
			q.KeyID, err = record.ParseKeyID(key)
		}
		list = append(list, q)
		return err
	}, query, args...)
	return list, err
}

// Quarantined lists the records set aside last, newest first.
func (s *Store) Quarantined(ctx context.Context, limit int) (list []Quarantined, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		list, err = t.quarantined(selectQuarantined+`ORDER BY id DESC LIMIT ?`, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the quarantine: %w", err)
	}
	return list, nil
}

// refusals lists, for queries, the reasons that say what a signature is worth.
const refusals = `('unsigned', 'unknown-key', 'bad-signature', 'foreign-key', 'revoked-key')`

// MostRefused bounds the records that stand in the quarantine for what their
// signatures are worth, of each consumer: whoever can write to the log could otherwise
// fill the database. Beyond it they are only counted.
const MostRefused = 2_000_000

// CountRefusedAside is how many of these there are.
func (s *Store) CountRefusedAside(ctx context.Context, consumer string) (n int, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT COUNT(*) FROM quarantine WHERE consumer = ? AND reason IN `+refusals, []any{consumer}, &n)
	})
	if err != nil {
		return 0, fmt.Errorf("store: count what was refused: %w", err)
	}
	return n, nil
}

// QuarantineKept is how long the quarantine keeps what was taken again, or refused for
// what its signature is worth, in µs: the log keeps no telemetry for as long.
const QuarantineKept = 30 * 24 * 3600 * 1_000_000

// ForgetQuarantined deletes at most limit of the records that were set aside before
// the given instant and were taken again or refused, and says how many.
func (s *Store) ForgetQuarantined(ctx context.Context, before telemetry.Micros, limit int) (n int64, err error) {
	const old = `SELECT id FROM quarantine WHERE at < ? AND (state = 'taken' OR reason IN ` + refusals + `) ORDER BY id LIMIT ?`
	found := false
	err = s.Read(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT EXISTS (`+old+`)`, []any{int64(before), 1}, &found)
	})
	if err == nil && found {
		err = s.Write(ctx, func(t *Tx) error {
			res, err := t.Exec(`DELETE FROM quarantine WHERE id IN (`+old+`)`, int64(before), limit)
			if err == nil {
				n, err = res.RowsAffected()
			}
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("store: forget what was set aside: %w", err)
	}
	return n, nil
}
