package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Share is which partitions of every topic a process works on: those whose number modulo
// Of is among Parts. The zero Share is all of them.
type Share struct {
	Of    int
	Parts []int // from 0 to Of-1, ascending
}

// All reports whether nothing is left to others.
func (s Share) All() bool { return s.Of == 0 || len(s.Parts) == s.Of }

// Has reports whether a partition is in the share.
func (s Share) Has(partition int32) bool {
	return s.Of == 0 || slices.Contains(s.Parts, int(partition)%s.Of)
}

// where is what a query of rows with a partition adds to its conditions.
func (s Share) where() (string, []any) {
	if s.All() {
		return "", nil
	}
	args := []any{s.Of}
	for _, p := range s.Parts {
		args = append(args, p)
	}
	return ` AND partition % CAST(? AS BIGINT) IN (` + placeholders(len(s.Parts)) + `)`, args
}

// placeholders is as many parameters, or NULL in place of none.
func placeholders(n int) string {
	if n == 0 {
		return `NULL`
	}
	return `?` + strings.Repeat(`, ?`, n-1)
}

// Shared reports whether other processes may work on the database as well, and divide
// the work among them.
func (s *Store) Shared() bool { return s.dialect.numbers }

// ahead is by how much a progress must be ahead of now to be wrong, in µs: clocks of two
// processes differ by less. Any other stays true, whatever somebody says later who hasn't
// got so far, such as a process that has lost its share and doesn't know yet.
const ahead = 60_000_000

// SaveProgress keeps up to when all that the log had of a consumer's share is stored, for
// other processes.
func (t *Tx) SaveProgress(consumer string, share Share, through telemetry.Micros) error {
	if share.Of == 0 {
		share = Share{Of: 1, Parts: []int{0}}
	}
	args := []any{int64(through), time.Now().UnixMicro() + ahead, int64(through), consumer, share.Of}
	for _, p := range share.Parts {
		args = append(args, p)
	}
	known := int64(0)
	res, err := t.Exec(`UPDATE consumer_progress SET through = CASE WHEN through < CAST(? AS BIGINT) OR through > CAST(? AS BIGINT) THEN CAST(? AS BIGINT) ELSE through END WHERE consumer = ? AND parts = ? AND part IN (`+placeholders(len(share.Parts))+`)`, args...)
	if err == nil {
		known, err = res.RowsAffected()
	}
	if err == nil && known < int64(len(share.Parts)) {
		// Of a division into another number of parts nothing is known any more.
		_, err = t.Exec(`DELETE FROM consumer_progress WHERE consumer = ? AND parts <> ?`, consumer, share.Of)
		for _, p := range share.Parts {
			if err == nil {
				_, err = t.Exec(`INSERT INTO consumer_progress (consumer, part, parts, through) VALUES (?, ?, ?, ?)
					ON CONFLICT (consumer, part) DO UPDATE SET parts = excluded.parts, through = excluded.through`, consumer, p, share.Of, int64(through))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("store: keep the progress of %s: %w", consumer, err)
	}
	return nil
}

// Progress is up to when all that the log had of a consumer's work is stored, whichever
// processes do it, as SaveProgress has kept it; 0 while that isn't known of every part.
func (s *Store) Progress(ctx context.Context, consumer string) (through telemetry.Micros, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		var known, parts int64
		var at int64
		err := t.QueryRow(`SELECT COUNT(*), COALESCE(MAX(parts), 0), COALESCE(MIN(through), 0) FROM consumer_progress WHERE consumer = ?`,
			[]any{consumer}, &known, &parts, &at)
		if err == nil && known == parts {
			through = telemetry.Micros(at)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: read the progress of %s: %w", consumer, err)
	}
	return through, nil
}
