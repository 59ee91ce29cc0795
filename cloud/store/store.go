// Package store is the cloud's database: what was received and from where, the
// samples, and the stream of facts. Whatever a consumer of the log concludes is
// committed together with its offset, so nothing is stored twice or skipped.
//
// The database is a SQLite file, for one machine, or one of a PostgreSQL server. With
// both, transactions that write take turns, those of other processes included: SQLite
// has one writer, and with PostgreSQL each of them begins by taking one advisory lock,
// which ends with it. So whatever a transaction reads is still so when it commits, facts
// and whatever else is numbered become visible in the order of their numbers, and none
// has to be repeated because of another. A process that had its turn while another took
// its place is fenced: whoever writes what follows from its earlier reading moves
// or holds an offset in the same transaction, see Tx.Advance. Reading takes no turn: it
// is of one snapshot.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// Config says where the database is.
type Config struct {
	Path     string    // of the SQLite file; it and its directory are created if missing, for this user alone
	Postgres *Postgres // in place of the file
	// Via is how those who make changes are known, for the audit, where the context
	// doesn't say. Default: it is the cloud itself that makes them.
	Via string
}

// Store is safe for concurrent use. Writers take turns, in the order in which
// they came; readers don't wait for them. What consumers of the log and the
// stream of facts read never waits for what operators ask.
type Store struct {
	dialect dialect
	writer  *sql.DB                                  // one connection: waiting for a turn here is fair
	reader  *sql.DB                                  // of consumers and of the stream of facts
	asker   *sql.DB                                  // of operators
	scans   chan struct{}                            // holds one for each of scan that runs
	stop    func()                                   // ends what runs beside; nil: nothing does
	connect func(context.Context) (*pgx.Conn, error) // makes a session of its own; nil with SQLite
	via     string                                   // see Config

	mu      sync.Mutex
	changed chan struct{}  // closed at the next commit that adds facts
	newest  map[int64]bool // bundles whose newest samples have changed, see LatestChanged
	missed  bool           // there may be more of these
}

const (
	readers = 4 // connections of each kind
	// How many of the operators' questions may decode or count samples at once;
	// the other connections are for the quick ones.
	mostScans = 2
)

// Open opens the database and brings its schema up to date.
func Open(ctx context.Context, c Config) (s *Store, err error) {
	if c.Postgres != nil {
		s, err = openPostgres(ctx, *c.Postgres)
	} else {
		s, err = openSQLite(ctx, c.Path)
	}
	if err == nil {
		s.via = cmp.Or(c.Via, "cloud")
	}
	return s, err
}

func newStore(d dialect) *Store {
	return &Store{dialect: d, scans: make(chan struct{}, mostScans), changed: make(chan struct{}), newest: map[int64]bool{}}
}

func (s *Store) limitReaders() {
	for _, pool := range []*sql.DB{s.reader, s.asker} {
		pool.SetMaxOpenConns(readers)
		pool.SetMaxIdleConns(readers)
	}
}

// migrateBeside tries again what fails because another process makes the schema
// of the same new database at the same time.
func (s *Store) migrateBeside(ctx context.Context) (err error) {
	for range 3 {
		if err = s.migrate(ctx); err == nil || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return err
}

func (s *Store) migrate(ctx context.Context) error {
	provider, has, err := s.schema(ctx)
	if err != nil {
		return err
	}
	known, err := newestVersion()
	if err != nil {
		return err
	}
	if has > known {
		return newerSchema(has, known)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// schema is what changes the database's schema, and the version that it has.
func (s *Store) schema(ctx context.Context) (*goose.Provider, int64, error) {
	dir, err := fs.Sub(migrations, "migrations/"+s.dialect.folder)
	if err != nil {
		return nil, 0, err
	}
	provider, err := goose.NewProvider(s.dialect.name, s.writer, dir)
	if err != nil {
		return nil, 0, err
	}
	has, err := provider.GetDBVersion(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("read the version of the schema: %w", err)
	}
	return provider, has, nil
}

func newerSchema(has, known int64) error {
	return fmt.Errorf("the database has version %d of the schema, this program knows up to version %d: it needs a newer Busbar", has, known)
}

// Close waits for the transactions that are under way.
func (s *Store) Close() error {
	if s.stop != nil {
		s.stop()
	}
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.asker, s.writer} { // the last one tidies up the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// Tx is one transaction. It belongs to the function it was given to.
type Tx struct {
	ctx     context.Context
	conn    *sql.Conn
	tx      *sql.Tx
	dialect dialect
	via     string
	stmts   map[string]*sql.Stmt
	numbers map[string]string // statements as numbered makes them
	later   []statement
	facts   bool
	newest  []int64 // bundles whose newest samples it has saved
}

type statement struct {
	text string
	args []any
}

// Write runs do in a transaction that is on disk when Write returns nil, and
// that never was when it returns an error; but one that PostgreSQL was asked to
// commit when the connection to it broke may be either. Do must not call the Store.
func (s *Store) Write(ctx context.Context, do func(*Tx) error) error {
	if s.writer == nil {
		return ErrReadOnly
	}
	t, err := s.run(ctx, s.writer, s.dialect.writing, func(t *Tx) error {
		if s.dialect.turn != "" {
			if _, err := t.Exec(s.dialect.turn); err != nil {
				return fmt.Errorf("store: wait for a turn: %w", err)
			}
		}
		err := do(t)
		if err == nil && t.facts && s.dialect.announce != "" {
			_, err = t.Exec(s.dialect.announce)
		}
		if err == nil && s.dialect.announceLatest != "" {
			err = t.announceLatest(s.dialect.announceLatest)
		}
		return err
	})
	if err == nil && t.facts {
		s.wake()
	}
	return err
}

func (s *Store) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Read runs do on one snapshot of the database. It is for consumers and for the
// stream of facts.
func (s *Store) Read(ctx context.Context, do func(*Tx) error) error {
	_, err := s.run(ctx, s.reader, s.dialect.reading, do)
	return err
}

// Ask is Read for what operators ask. It waits while others ask too much.
func (s *Store) Ask(ctx context.Context, do func(*Tx) error) error {
	_, err := s.run(ctx, s.asker, s.dialect.reading, do)
	return err
}

// scan is Ask for what takes time in proportion to the samples.
func (s *Store) scan(ctx context.Context, do func(*Tx) error) error {
	select {
	case s.scans <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.scans }()
	return s.Ask(ctx, do)
}

func (s *Store) run(ctx context.Context, db *sql.DB, options *sql.TxOptions, do func(*Tx) error) (*Tx, error) {
	conn, tx, err := begin(ctx, db, options)
	if err != nil {
		return nil, fmt.Errorf("store: begin: %w", err)
	}
	defer conn.Close()
	defer tx.Rollback()
	t := &Tx{ctx: ctx, conn: conn, tx: tx, dialect: s.dialect, via: s.via, stmts: map[string]*sql.Stmt{}, numbers: map[string]string{}}
	err = do(t)
	if err == nil {
		err = t.sendLater()
	}
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("store: commit: %w", err)
	}
	return t, nil
}

// begin tries once more with a new connection if the server has dropped an idle one.
func begin(ctx context.Context, db *sql.DB, options *sql.TxOptions) (*sql.Conn, *sql.Tx, error) {
	for again := true; ; again = false {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		tx, err := conn.BeginTx(ctx, options)
		if err == nil {
			return conn, tx, nil
		}
		conn.Close()
		if !again || !errors.Is(err, driver.ErrBadConn) {
			return nil, nil, err
		}
	}
}

// Exec, Query and QueryRow prepare a query once in a transaction, or once in a
// connection. Queries keep to what SQLite and PostgreSQL share, with ? for parameters.
// Of one query all rows are read before the next.
func (t *Tx) Exec(query string, args ...any) (sql.Result, error) {
	if err := t.sendLater(); err != nil {
		return nil, err
	}
	args = storable(args)
	if t.dialect.numbers {
		return t.tx.ExecContext(t.ctx, t.numbered(query), args...)
	}
	stmt, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(t.ctx, args...)
}

func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	if err := t.sendLater(); err != nil {
		return nil, err
	}
	args = storable(args)
	if t.dialect.numbers {
		return t.tx.QueryContext(t.ctx, t.numbered(query), args...)
	}
	stmt, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(t.ctx, args...)
}

// QueryRow scans the one row of a query into dest; sql.ErrNoRows if there is none.
func (t *Tx) QueryRow(query string, args []any, dest ...any) error {
	if err := t.sendLater(); err != nil {
		return err
	}
	args = storable(args)
	if t.dialect.numbers {
		return t.tx.QueryRowContext(t.ctx, t.numbered(query), args...).Scan(dest...)
	}
	stmt, err := t.prepare(query)
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(t.ctx, args...).Scan(dest...)
}

func (t *Tx) numbered(query string) string {
	text, ok := t.numbers[query]
	if !ok {
		text = numbered(query)
		t.numbers[query] = text
	}
	return text
}

func (t *Tx) prepare(query string) (*sql.Stmt, error) {
	if stmt := t.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := t.tx.PrepareContext(t.ctx, query)
	if err == nil {
		t.stmts[query] = stmt
	}
	return stmt, err
}

// Each calls scan for every row of a query.
func (t *Tx) Each(scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := t.Query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
