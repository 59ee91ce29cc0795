package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Member is a process among those that divide a kind of work, such as what a consumer
// reads, on one database. Who is there, and who has which part, are advisory locks of
// one session of PostgreSQL: they end with it, when the process is killed, when its
// machine is gone, and when it hasn't asked for anything for memberSilence. After an
// error nothing holds any more: leave, and begin a new one. It belongs to one goroutine.
type Member struct {
	conn            *pgx.Conn
	number          int64
	members, shares int32 // what the locks of the work are called
}

const (
	memberSilence = "15s"
	askTimeout    = 10 * time.Second
	// firstMember is beyond every part, which are called by their own numbers.
	firstMember = 1 << 16
)

// Join makes the process a member, of a Shared store.
func (s *Store) Join(ctx context.Context, work string) (*Member, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("store: join %s: %w", work, err)
	}
	m := &Member{conn: conn, members: lockName("members of " + work), shares: lockName("parts of " + work)}
	// PostgreSQL 13 doesn't know it: a process that hangs then keeps its parts.
	if _, err = conn.Exec(ctx, `SET idle_session_timeout = '`+memberSilence+`'`); err == nil || conn.Ping(ctx) == nil {
		err = m.enter(ctx)
	}
	if err != nil {
		m.Leave()
		return nil, fmt.Errorf("store: join %s: %w", work, err)
	}
	return m, nil
}

func lockName(text string) int32 {
	h := fnv.New32a()
	h.Write([]byte(text))
	return int32(h.Sum32() >> 1)
}

// enter gets a number above those of the members that are there, so that whoever comes
// takes nothing from those that have it.
func (m *Member) enter(ctx context.Context) error {
	for {
		members, _, err := m.look(ctx)
		if err != nil {
			return err
		}
		m.number = firstMember
		if n := len(members); n > 0 {
			m.number = members[n-1] + 1
		}
		if entered, err := m.lock(ctx, m.members, int32(m.number)); entered || err != nil {
			return err
		}
	}
}

func (m *Member) lock(ctx context.Context, name, number int32) (taken bool, err error) {
	err = m.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, $2)`, name, number).Scan(&taken)
	return taken, err
}

// Leave ends the membership, and gives back what it had.
func (m *Member) Leave() { end(m.conn) }

// Look says how many members there are, how many of them have been there for longer than
// this one, and which parts somebody has.
func (m *Member) Look(ctx context.Context) (rank, members int, taken map[int]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	all, taken, err := m.look(ctx)
	rank, found := slices.BinarySearch(all, m.number)
	if err == nil && !found {
		err = errors.New("the membership has ended")
	}
	if err != nil {
		return 0, 0, nil, fmt.Errorf("store: look who shares the work: %w", err)
	}
	return rank, len(all), taken, nil
}

func (m *Member) look(ctx context.Context) (members []int64, taken map[int]bool, err error) {
	rows, err := m.conn.Query(ctx, `SELECT classid::bigint, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid::bigint IN ($1, $2)`, int64(m.members), int64(m.shares))
	if err != nil {
		return nil, nil, err
	}
	taken = map[int]bool{}
	var name, number int64
	_, err = pgx.ForEachRow(rows, []any{&name, &number}, func() error {
		if name == int64(m.members) {
			members = append(members, number)
		} else {
			taken[int(number)] = true
		}
		return nil
	})
	slices.Sort(members)
	return members, taken, err
}

// Take has a part, or reports false if another member has it.
func (m *Member) Take(ctx context.Context, part int) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	taken, err := m.lock(ctx, m.shares, int32(part))
	if err != nil {
		return false, fmt.Errorf("store: take part %d of the work: %w", part, err)
	}
	return taken, nil
}

// Give gives a part back.
func (m *Member) Give(ctx context.Context, part int) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if _, err := m.conn.Exec(ctx, `SELECT pg_advisory_unlock($1, $2)`, m.shares, int32(part)); err != nil {
		return fmt.Errorf("store: give part %d of the work back: %w", part, err)
	}
	return nil
}
