package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// NotifyTarget is how far somebody has been told of facts.
type NotifyTarget struct {
	Name    string
	After   int64            // the number of the last fact that is done with
	Failing telemetry.Micros // since when the next one can't be delivered; 0: it can
}

// Refusal is a fact that a target has refused for good.
type Refusal struct {
	Fact  int64
	At    telemetry.Micros
	Cause string
}

// mostRefusals bounds those that are kept of a target, and refusalCause the bytes of each.
const (
	mostRefusals = 1000
	refusalCause = 500
)

// NotifyTarget is how far a target has been told. One that is new has been told of all
// that there is.
func (s *Store) NotifyTarget(ctx context.Context, name string) (n NotifyTarget, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		n.Name = name
		err := t.QueryRow(`SELECT after, failing FROM notify_target WHERE target = ?`, []any{name}, &n.After, &n.Failing)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if n.After, err = t.LastFact(); err != nil {
			return err
		}
		_, err = t.Exec(`INSERT INTO notify_target (target, after) VALUES (?, ?)`, name, n.After)
		return err
	})
	if err != nil {
		return NotifyTarget{}, fmt.Errorf("store: read how far %s has been told: %w", name, err)
	}
	return n, nil
}

// Forgotten is a target that was forgotten, and how many facts it hadn't come to.
type Forgotten struct {
	Name   string
	Behind int64
}

// KeepNotifyTargets forgets the targets that aren't among names.
func (s *Store) KeepNotifyTargets(ctx context.Context, names []string) (gone []Forgotten, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		gone = nil
		last, err := t.LastFact()
		if err != nil {
			return err
		}
		err = t.Each(func(r *sql.Rows) error {
			var name string
			var after int64
			err := r.Scan(&name, &after)
			if !slices.Contains(names, name) {
				gone = append(gone, Forgotten{name, last - after})
			}
			return err
		}, `SELECT target, after FROM notify_target ORDER BY target`)
		for _, f := range gone {
			for _, table := range []string{"notify_refusal", "notify_target"} {
				if err == nil {
					_, err = t.Exec(`DELETE FROM `+table+` WHERE target = ?`, f.Name)
				}
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: forget targets: %w", err)
	}
	return gone, nil
}

// MoveNotifyTarget makes a target that is at from.After what to says, and keeps what it
// has refused. It returns ErrFenced if the target isn't there.
func (s *Store) MoveNotifyTarget(ctx context.Context, from, to NotifyTarget, refused ...Refusal) error {
	err := s.Write(ctx, func(t *Tx) error {
		res, err := t.Exec(`UPDATE notify_target SET after = ?, failing = ? WHERE target = ? AND after = ?`, to.After, int64(to.Failing), from.Name, from.After)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, ErrFenced)
		}
		for _, r := range refused {
			_, err := t.Exec(`INSERT INTO notify_refusal (target, fact, at, cause) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				from.Name, r.Fact, int64(r.At), r.Cause[:min(len(r.Cause), refusalCause)])
			if err == nil {
				_, err = t.Exec(`DELETE FROM notify_refusal WHERE target = ? AND fact <=
					(SELECT fact FROM notify_refusal WHERE target = ? ORDER BY fact DESC LIMIT 1 OFFSET ?)`, from.Name, from.Name, mostRefusals)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: move %s from %d to %d: %w", from.Name, from.After, to.After, err)
	}
	return nil
}
