package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Verdict is what a record's identity says about it.
type Verdict int

const (
	New       Verdict = iota
	Duplicate         // received before, with the same contents as far as that is remembered
	Conflict          // its numbers were received before, under another identity or with other contents
	// Merge is a thinned record some of whose numbers were received before, or a record
	// that was replaced by a thinned one which came first. Which of its samples are
	// stored can't be told by numbers any more.
	Merge
)

// Ledger tells the records of one consumer apart by the intervals of sequence
// numbers received so far. What it learns is saved in the transaction that
// stores the records' contents, and confirmed after it. What it remembers of
// the database is valid as long as no other ledger writes of the same sequences: one
// that has is noticed by SaveLedger. After any failed transaction begin a new Ledger. It
// belongs to one goroutine.
type Ledger struct {
	store     *Store
	sequences map[sequence]*received
	// What was noted since the last Confirm.
	changed  map[sequence]*received
	records  map[recordKey]receipt
	thinned  []record.Identity // of records
	gateways map[string]heard
}

type sequence struct {
	gateway string
	epoch   record.Epoch
	stream  record.Stream
}

type received struct {
	now, saved            Intervals
	revision              int64 // of the sequence, in the database
	duplicates, conflicts int64 // since the last Confirm
}

// recordKey names a record: one that was thinned may have the numbers of another.
type recordKey struct {
	record.Identity
	thinned bool
}

type receipt struct {
	checksum uint32
	at       telemetry.Micros
}

// NewLedger begins from what the database holds.
func (s *Store) NewLedger() *Ledger {
	return &Ledger{store: s, sequences: map[sequence]*received{}, changed: map[sequence]*received{},
		records: map[recordKey]receipt{}, gateways: map[string]heard{}}
}

func sequenceOf(id record.Identity) sequence { return sequence{id.Gateway, id.Epoch, id.Stream} }

func (l *Ledger) load(ctx context.Context, q sequence) (*received, error) {
	if r := l.sequences[q]; r != nil {
		return r, nil
	}
	r := &received{}
	err := l.store.Read(ctx, func(t *Tx) error {
		err := t.QueryRow(`SELECT revision FROM sequence WHERE gateway = ? AND epoch = ? AND stream = ?`,
			[]any{q.gateway, q.epoch.String(), string(q.stream)}, &r.revision)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return t.Each(func(rows *sql.Rows) error {
			var i Interval
			err := rows.Scan(&i.First, &i.Last)
			r.saved = append(r.saved, i)
			return err
		}, `SELECT i.seq_first, i.seq_last FROM received_interval i JOIN sequence q ON q.id = i.sequence
			WHERE q.gateway = ? AND q.epoch = ? AND q.stream = ? ORDER BY i.seq_first`, q.gateway, q.epoch.String(), string(q.stream))
	})
	if err != nil {
		return nil, fmt.Errorf("store: read what was received of %s/%s/%s: %w", q.gateway, q.epoch, q.stream, err)
	}
	r.now = slices.Clone(r.saved)
	l.sequences[q] = r
	return r, nil
}

// Judge says whether a record with this identity and checksum is new. It
// remembers nothing.
//
// A gateway that is killed may have forgotten, of the last seconds or minutes, what
// the log has. If it then thins that, what it sends overlaps with what was received,
// and says nothing of which samples are meant. A thinned record all of whose numbers
// were received is a Duplicate all the same: all that it was made of is stored.
func (l *Ledger) Judge(ctx context.Context, id record.Identity, checksum uint32, thinned bool) (Verdict, error) {
	r, err := l.load(ctx, sequenceOf(id))
	if err != nil {
		return New, err
	}
	all := Interval{id.First, id.Last}
	if !r.now.Overlaps(all) {
		return New, nil
	}
	if thinned && r.now.Covers(all) {
		return Duplicate, nil
	}
	if known, pending := l.records[recordKey{id, thinned}]; pending {
		return sameContents(known.checksum == checksum), nil
	}
	replaced := slices.ContainsFunc(l.thinned, func(other record.Identity) bool {
		return sequenceOf(other) == sequenceOf(id) && other.First <= id.Last && other.Last >= id.First
	})
	var exact, thinner bool
	var known uint32
	var last uint64 // of the stored record that begins last among those that can overlap
	err = l.store.Read(ctx, func(t *Tx) error {
		var sequence int64
		err := t.QueryRow(`SELECT id FROM sequence WHERE gateway = ? AND epoch = ? AND stream = ?`, []any{id.Gateway, id.Epoch.String(), string(id.Stream)}, &sequence)
		if err != nil {
			return err
		}
		err = t.QueryRow(`SELECT checksum FROM received_record WHERE sequence = ? AND seq_first = ? AND seq_last = ? AND thinned = ?`, []any{sequence, id.First, id.Last, thinned}, &known)
		if exact = err == nil; exact || !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err = t.QueryRow(`SELECT EXISTS (SELECT 1 FROM received_record WHERE thinned AND sequence = ? AND seq_first BETWEEN ? AND ? AND seq_last >= ?)`,
			[]any{sequence, max(id.First, record.MaxCount) - record.MaxCount, id.Last, id.First}, &thinner); err != nil {
			return err
		}
		return t.QueryRow(`SELECT seq_last FROM received_record WHERE sequence = ? AND seq_first <= ? ORDER BY seq_first DESC LIMIT 1`,
			[]any{sequence, id.Last}, &last)
	})
	nothing := errors.Is(err, sql.ErrNoRows)
	switch {
	case err != nil && !nothing:
		return New, fmt.Errorf("store: look up record %s: %w", id, err)
	case exact:
		return sameContents(known == checksum), nil
	case thinned || thinner || replaced:
		return Merge, nil
	case !nothing && last >= id.First:
		return Conflict, nil
	}
	// The checksum is forgotten, and that all of it was received is not.
	return sameContents(r.saved.Covers(all)), nil
}

func sameContents(same bool) Verdict {
	if same {
		return Duplicate
	}
	return Conflict
}

// Note remembers a record that Judge was asked about last: a New one or a Merge as
// received, the others in their counts. Written is when the log got it, now is
// when it was read. Fresh is that it hadn't waited before: its gateway was heard then.
func (l *Ledger) Note(id record.Identity, checksum uint32, thinned bool, v Verdict, written, now telemetry.Micros, fresh bool) {
	q := sequenceOf(id)
	r := l.sequences[q]
	l.changed[q] = r
	switch v {
	case New, Merge:
		r.now = r.now.Add(Interval{id.First, id.Last})
		l.records[recordKey{id, thinned}] = receipt{checksum, now}
		if thinned {
			l.thinned = append(l.thinned, id)
		}
	case Duplicate:
		r.duplicates++
	case Conflict:
		r.conflicts++
	}
	h := l.gateways[id.Gateway]
	h.written = max(h.written, min(written, now))
	if fresh {
		h.read = now
	}
	l.gateways[id.Gateway] = h
}

// SaveLedger writes what the ledger has noted since the last Confirm, or returns ErrFenced
// if another has written of the same sequences since this one has read them.
func (t *Tx) SaveLedger(l *Ledger) error {
	if err := t.saveLedger(l); err != nil {
		return fmt.Errorf("store: save the ledger: %w", err)
	}
	return nil
}

func (t *Tx) saveLedger(l *Ledger) error {
	for id, h := range l.gateways {
		if err := t.hearGateway(id, h); err != nil {
			return err
		}
	}
	ids := map[sequence]int64{}
	for q, r := range l.changed {
		id, revision, err := t.sequence(q, r.duplicates, r.conflicts, 1)
		if err == nil && revision != r.revision+1 {
			err = fmt.Errorf("%s/%s/%s: %w", q.gateway, q.epoch, q.stream, ErrFenced)
		}
		if err != nil {
			return err
		}
		ids[q] = id
		if err := t.saveIntervals(id, r); err != nil {
			return err
		}
	}
	for id, r := range l.records {
		if err := t.execLater(`INSERT INTO received_record (sequence, seq_first, seq_last, checksum, at, thinned) VALUES (?, ?, ?, ?, ?, ?)`,
			ids[sequenceOf(id.Identity)], id.First, id.Last, r.checksum, int64(r.at), id.thinned); err != nil {
			return err
		}
	}
	return nil
}

// heard is when a gateway's newest record was written, by its own clock, and when its
// last fresh one was read, by the cloud's: which counts also if that clock was set back.
type heard struct{ written, read telemetry.Micros }

func (t *Tx) hearGateway(id string, h heard) error {
	_, err := t.Exec(`INSERT INTO gateway (id, last_record, heard) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE
		SET last_record = CASE WHEN excluded.last_record > gateway.last_record THEN excluded.last_record ELSE gateway.last_record END,
			heard = CASE WHEN excluded.heard > 0 THEN excluded.heard ELSE gateway.heard END`, id, int64(h.written), int64(h.read))
	return err
}

// touchGateway makes the gateway's row, if there is none.
func (t *Tx) touchGateway(id string) error { return t.hearGateway(id, heard{}) }

// sequence finds or makes the row of q and adds to its counts and its revision, which it
// returns. The gateway's row exists.
func (t *Tx) sequence(q sequence, duplicates, conflicts, revisions int64) (id, revision int64, err error) {
	err = t.QueryRow(`INSERT INTO sequence (gateway, epoch, stream, duplicates, conflicts, revision) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (gateway, epoch, stream) DO UPDATE
		SET duplicates = sequence.duplicates + excluded.duplicates, conflicts = sequence.conflicts + excluded.conflicts,
			revision = sequence.revision + excluded.revision RETURNING id, revision`,
		[]any{q.gateway, q.epoch.String(), string(q.stream), duplicates, conflicts, revisions}, &id, &revision)
	return id, revision, err
}

// saveIntervals writes the intervals that differ from those saved: rows are by
// their first number, so one that has grown replaces itself.
func (t *Tx) saveIntervals(id int64, r *received) error {
	last := make(map[uint64]uint64, len(r.saved))
	for _, i := range r.saved {
		last[i.First] = i.Last
	}
	for _, i := range r.now {
		saved, ok := last[i.First]
		delete(last, i.First)
		if ok && saved == i.Last {
			continue
		}
		if err := t.execLater(`INSERT INTO received_interval (sequence, seq_first, seq_last) VALUES (?, ?, ?)
			ON CONFLICT (sequence, seq_first) DO UPDATE SET seq_last = excluded.seq_last`, id, i.First, i.Last); err != nil {
			return err
		}
	}
	for first := range last {
		if err := t.execLater(`DELETE FROM received_interval WHERE sequence = ? AND seq_first = ?`, id, first); err != nil {
			return err
		}
	}
	return nil
}

// Confirm says that the transaction of the last SaveLedger was committed.
func (l *Ledger) Confirm() {
	for _, r := range l.changed {
		r.revision++
		r.duplicates, r.conflicts = 0, 0
		r.saved = append(r.saved[:0], r.now...)
	}
	clear(l.changed)
	clear(l.records)
	l.thinned = l.thinned[:0]
	clear(l.gateways)
}

// IdentitiesKept is how long the checksum of a received record is kept, in µs.
// A record that comes again later is a Duplicate by its numbers alone.
const IdentitiesKept = 7 * 24 * 3600 * 1_000_000

// ForgetIdentities deletes at most limit checksums of records received before
// the given instant and says how many.
func (s *Store) ForgetIdentities(ctx context.Context, before telemetry.Micros, limit int) (n int64, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		res, err := t.Exec(`DELETE FROM received_record WHERE (sequence, seq_first, seq_last, thinned) IN
			(SELECT sequence, seq_first, seq_last, thinned FROM received_record WHERE at < ? ORDER BY at LIMIT ?)`, int64(before), limit)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: forget identities: %w", err)
	}
	return n, nil
}
