package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"

	"github.com/busbar/busbar/telemetry"
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

	// What a record's signature is worth.
	Unsigned     Reason = "unsigned"      // there is none
	UnknownKey   Reason = "unknown-key"   // by a key that isn't enrolled
	BadSignature Reason = "bad-signature" // it doesn't fit, or is none
	ForeignKey   Reason = "foreign-key"   // by another gateway's key
	RevokedKey   Reason = "revoked-key"   // by a key that was revoked
)

// MaxQuarantinedBytes bounds what is kept of one record. The whole record stays
// in the log for as long as its topic keeps records.
const MaxQuarantinedBytes = 64 << 10

// MaxRefusedBytes is that bound for a record whose signature is worth nothing: what
// anybody may write to the log shouldn't fill the database.
const MaxRefusedBytes = 1 << 10

// Quarantined is a record that was set aside.
type Quarantined struct {
	Topic     string
	Partition int32
	Offset    int64
	Reason    Reason
	Detail    string
	Payload   []byte // its first MaxQuarantinedBytes
	At        telemetry.Micros
}

// Excerpt is what is kept of a record's payload: a copy, so that nothing else of
// the record is held in memory until it is stored.
func Excerpt(payload []byte) []byte {
	return bytes.Clone(payload[:min(len(payload), MaxQuarantinedBytes)])
}

// Quarantine sets a record aside.
func (t *Tx) Quarantine(q Quarantined) error {
	payload := q.Payload[:min(len(q.Payload), MaxQuarantinedBytes)]
	if _, err := t.Exec(`INSERT INTO quarantine (topic, partition, log_offset, reason, detail, payload, at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		q.Topic, q.Partition, q.Offset, string(q.Reason), q.Detail, payload, int64(q.At)); err != nil {
		return fmt.Errorf("store: quarantine %s/%d@%d: %w", q.Topic, q.Partition, q.Offset, err)
	}
	return nil
}

// Quarantined lists the records set aside last, newest first.
func (s *Store) Quarantined(ctx context.Context, limit int) ([]Quarantined, error) {
	var list []Quarantined
	err := s.Ask(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var q Quarantined
			err := r.Scan(&q.Topic, &q.Partition, &q.Offset, &q.Reason, &q.Detail, &q.Payload, &q.At)
			list = append(list, q)
			return err
		}, `SELECT topic, partition, log_offset, reason, detail, payload, at FROM quarantine ORDER BY id DESC LIMIT ?`, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the quarantine: %w", err)
	}
	return list, nil
}
