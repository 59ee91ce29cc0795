package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

// Fact is something that the cloud concluded. Facts have one order: Seq rises
// by commit, with gaps.
type Fact struct {
	Seq  int64
	Kind string
	At   telemetry.Micros
	Data json.RawMessage
}

// AddFact appends a fact whose data is encoded as JSON. It is seen, and those who
// wait for FactsChanged are woken, when the transaction has been committed.
func (t *Tx) AddFact(kind string, at telemetry.Micros, data any) (seq int64, err error) {
	text, err := json.Marshal(data)
	if err == nil {
		err = t.QueryRow(`INSERT INTO fact (kind, at, data) VALUES (?, ?, ?) RETURNING seq`, []any{kind, int64(at), string(text)}, &seq)
	}
	if err != nil {
		return 0, fmt.Errorf("store: add a fact of kind %s: %w", kind, err)
	}
	t.facts = true
	return seq, nil
}

// AddFacts appends facts of one kind in the order of their data, and returns their
// numbers. A statement holds all of them: some hundreds are enough at a time.
func (t *Tx) AddFacts(kind string, at telemetry.Micros, data []any) (seqs []int64, err error) {
	const row = `(?, ?, ?)`
	args := make([]any, 0, 3*len(data))
	for _, d := range data {
		text, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("store: add a fact of kind %s: %w", kind, err)
		}
		args = append(args, kind, int64(at), string(text))
	}
	err = t.Each(func(r *sql.Rows) error {
		var seq int64
		err := r.Scan(&seq)
		seqs = append(seqs, seq)
		return err
	}, `INSERT INTO fact (kind, at, data) VALUES `+row+strings.Repeat(`, `+row, len(data)-1)+` RETURNING seq`, args...)
	if err != nil {
		return nil, fmt.Errorf("store: add %d facts of kind %s: %w", len(data), kind, err)
	}
	slices.Sort(seqs) // numbers are given in the order of the rows, and returned in any
	t.facts = true
	return seqs, nil
}

// LastFact is the number of the newest fact that the snapshot holds, 0 if none.
func (t *Tx) LastFact() (seq int64, err error) {
	err = t.QueryRow(`SELECT seq FROM fact ORDER BY seq DESC LIMIT 1`, nil, &seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("store: find the last fact: %w", err)
	}
	return seq, nil
}

// Facts lists at most limit facts after the number after, oldest first. Those that the
// context hides come without kind and data.
func (s *Store) Facts(ctx context.Context, after int64, limit int) ([]Fact, error) {
	var list []Fact
	err := s.Read(ctx, func(t *Tx) error {
		err := t.Each(func(r *sql.Rows) error {
			var f Fact
			var data string
			err := r.Scan(&f.Seq, &f.Kind, &f.At, &data)
			f.Data = json.RawMessage(data)
			list = append(list, f)
			return err
		}, `SELECT seq, kind, at, data FROM fact WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit)
		if err != nil {
			return err
		}
		return t.hide(list)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list facts after %d: %w", after, err)
	}
	return list, nil
}

// FactsChanged returns a channel that is closed when the next facts have been
// committed by this Store. Take it before reading Facts, then none is missed.
func (s *Store) FactsChanged() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}
