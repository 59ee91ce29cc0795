package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// Stored is the block of a chunk, and where it stands in the order in which chunks were
// stored. Signals are series.
type Stored struct {
	Number int64 // rises by commit, with gaps
	Block  []byte
}

// Rows are the rows of a table in the order in which they were stored.
type Rows struct{ table, number string }

// What can be followed. The names of the tables are the topics of followers' offsets.
var (
	Chunks   = Rows{"chunk", "id"}
	Evidence = Rows{"outage_evidence", "seq"}
)

// FirstHeld is, in SQL, the number of the first row that a follower hasn't passed.
func (r Rows) FirstHeld() string {
	return fmt.Sprintf(`COALESCE((SELECT MIN(next) FROM consumer_offset WHERE topic = '%s'), %d)`, r.table, int64(math.MaxInt64))
}

var firstHeld = Chunks.FirstHeld()

// Follower reads rows in the order in which they were stored. Those that it hasn't passed are
// kept.
type Follower struct {
	// Database tells the database in which it began from others.
	Database string
	Next     int64 // what is before it was passed
	Newest   int64 // the number of the newest row, 0 if there is none
}

// Follow is where a follower stands. One that is new begins behind the newest row.
func (s *Store) Follow(ctx context.Context, rows Rows, name string) (f Follower, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		if err := t.QueryRow(`SELECT COALESCE(MAX(`+rows.number+`), 0) FROM `+rows.table, nil, &f.Newest); err != nil {
			return err
		}
		err := t.QueryRow(`SELECT topic_id, next FROM consumer_offset WHERE consumer = ? AND topic = ?`, []any{name, rows.table}, &f.Database, &f.Next)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		f.Database, f.Next = rand.Text(), f.Newest+1
		return t.Advance(name, Partition{Topic: rows.table, TopicID: f.Database}, NoOffset, f.Next)
	})
	if err != nil {
		return Follower{}, fmt.Errorf("store: follow as %s: %w", name, err)
	}
	return f, nil
}

// Pass says that a follower has passed what is before next. It never goes back.
func (s *Store) Pass(ctx context.Context, rows Rows, name string, next int64) error {
	err := s.Write(ctx, func(t *Tx) error {
		_, err := t.Exec(`UPDATE consumer_offset SET next = ? WHERE consumer = ? AND topic = ? AND next < ?`, next, name, rows.table, next)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: pass %d as %s: %w", next, name, err)
	}
	return nil
}

// Unfollow forgets a follower, so that nothing is kept for it.
func (s *Store) Unfollow(ctx context.Context, rows Rows, name string) error {
	var there bool
	err := s.Read(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT EXISTS (SELECT 1 FROM consumer_offset WHERE consumer = ? AND topic = ?)`, []any{name, rows.table}, &there)
	})
	if err == nil && there {
		err = s.Write(ctx, func(t *Tx) error {
			_, err := t.Exec(`DELETE FROM consumer_offset WHERE consumer = ? AND topic = ?`, name, rows.table)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("store: forget %s: %w", name, err)
	}
	return nil
}

// forgetFollowers has all of them begin anew.
func (t *Tx) forgetFollowers() error {
	_, err := t.Exec(`DELETE FROM consumer_offset WHERE topic IN (?, ?)`, Chunks.table, Evidence.table)
	return err
}

// mostStored bounds the chunks that StoredFrom lists.
const mostStored = 1000

// StoredFrom lists chunks from a number on, at most as many as have some samples together,
// or one that has more.
func (s *Store) StoredFrom(ctx context.Context, number int64, samples int) (list []Stored, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		last, sum := number, 0
		if err := t.Each(func(r *sql.Rows) error {
			var id int64
			var n int
			err := r.Scan(&id, &n)
			if sum == 0 || sum+n <= samples {
				last = id
			}
			sum += n
			return err
		}, `SELECT id, samples FROM chunk WHERE id >= ? ORDER BY id LIMIT ?`, number, mostStored); err != nil || sum == 0 {
			return err
		}
		return t.Each(func(r *sql.Rows) error {
			var c Stored
			err := r.Scan(&c.Number, &c.Block)
			list = append(list, c)
			return err
		}, `SELECT id, block FROM chunk WHERE id >= ? AND id <= ? ORDER BY id`, number, last)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list chunks from %d on: %w", number, err)
	}
	return list, nil
}

// Sourced is a series and where its gateway is.
type Sourced struct {
	Series     // without its newest sample
	Site, Zone string
}

// mostAsked bounds the parameters of a query that asks for many things by their numbers.
const mostAsked = 500

// Sources is what is known of series, in no order.
func (s *Store) Sources(ctx context.Context, ids []telemetry.SignalID) (list []Sourced, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		for some := range slices.Chunk(ids, mostAsked) {
			args := make([]any, len(some))
			for i, id := range some {
				args[i] = id
			}
			err := t.Each(func(r *sql.Rows) error {
				var of Sourced
				err := of.scan(r, &of.Site, &of.Zone)
				list = append(list, of)
				return err
			}, `SELECT `+seriesColumns+`, g.site, g.zone FROM series s JOIN gateway g ON g.id = s.gateway WHERE s.id IN (`+placeholders(len(args))+`)`, args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: read series: %w", err)
	}
	return list, nil
}
