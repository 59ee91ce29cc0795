// Package store is the cloud's database: what was received and from where, the
// samples, and the stream of facts. Whatever a consumer of the log concludes is
// committed together with its offset, so nothing is stored twice or skipped.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"
)

//go:embed migrations
var migrations embed.FS

// Config says where the database is.
type Config struct {
	Path string // of the SQLite file; it and its directory are created if missing, for this user alone
}

// Store is safe for concurrent use. Writers take turns, in the order in which
// they came; readers don't wait for them. What consumers of the log and the
// stream of facts read never waits for what operators ask.
type Store struct {
	writer *sql.DB       // one connection: SQLite has one writer, and waiting here is fair
	reader *sql.DB       // of consumers and of the stream of facts
	asker  *sql.DB       // of operators
	scans  chan struct{} // holds one for each of scan that runs

	mu      sync.Mutex
	changed chan struct{} // closed at the next commit that adds facts
}

const (
	readers = 4 // connections of each kind
	// How many of the operators' questions may decode or count samples at once;
	// the other connections are for the quick ones.
	mostScans = 2
)

// Open opens the database and brings its schema up to date.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := create(c.Path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	writer, err := open(c.Path, url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}})
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	if err := migrateBeside(ctx, writer); err != nil {
		writer.Close()
		return nil, fmt.Errorf("store: %s: %w", c.Path, err)
	}
	s := &Store{writer: writer, scans: make(chan struct{}, mostScans), changed: make(chan struct{})}
	for _, pool := range []**sql.DB{&s.reader, &s.asker} {
		if *pool, err = open(c.Path, url.Values{"_pragma": {"busy_timeout(5000)", "query_only(1)"}}); err != nil {
			s.Close()
			return nil, err
		}
		(*pool).SetMaxOpenConns(readers)
		(*pool).SetMaxIdleConns(readers)
	}
	return s, nil
}

// create makes the file, if it is missing, so that nobody else can read it.
// SQLite gives the files that it puts beside it the same mode.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// One that exists isn't opened: closing it again would drop the locks that
	// this process may have on it.
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return &os.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return f.Close()
}

func open(path string, options url.Values) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", path, err)
	}
	return db, nil
}

// migrateBeside tries again what fails because another process makes the schema
// of the same new database at the same time.
func migrateBeside(ctx context.Context, db *sql.DB) (err error) {
	for range 3 {
		if err = migrate(ctx, db); err == nil || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return err
}

func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return err
	}
	has, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the schema: %w", err)
	}
	sources := provider.ListSources()
	if known := sources[len(sources)-1].Version; has > known {
		return fmt.Errorf("the database has version %d of the schema, this program knows up to version %d: it needs a newer Busbar", has, known)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Close waits for the transactions that are under way.
func (s *Store) Close() error {
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
	ctx   context.Context
	tx    *sql.Tx
	stmts map[string]*sql.Stmt
	facts bool
}

// Write runs do in a transaction that is on disk when Write returns nil, and
// that never was when it returns an error. Do must not call the Store.
func (s *Store) Write(ctx context.Context, do func(*Tx) error) error {
	t, err := run(ctx, s.writer, do)
	if err == nil && t.facts {
		s.mu.Lock()
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
	}
	return err
}

// Read runs do on one snapshot of the database. It is for consumers and for the
// stream of facts.
func (s *Store) Read(ctx context.Context, do func(*Tx) error) error {
	_, err := run(ctx, s.reader, do)
	return err
}

// Ask is Read for what operators ask. It waits while others ask too much.
func (s *Store) Ask(ctx context.Context, do func(*Tx) error) error {
	_, err := run(ctx, s.asker, do)
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

func run(ctx context.Context, db *sql.DB, do func(*Tx) error) (*Tx, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("store: begin: %w", err)
	}
	defer tx.Rollback()
	t := &Tx{ctx: ctx, tx: tx, stmts: map[string]*sql.Stmt{}}
	if err := do(t); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("store: commit: %w", err)
	}
	return t, nil
}

// Exec, Query and QueryRow prepare a query once in a transaction. Queries keep
// to what SQLite and PostgreSQL share, with ? for parameters.
func (t *Tx) Exec(query string, args ...any) (sql.Result, error) {
	stmt, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(t.ctx, args...)
}

func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	stmt, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(t.ctx, args...)
}

// QueryRow scans the one row of a query into dest; sql.ErrNoRows if there is none.
func (t *Tx) QueryRow(query string, args []any, dest ...any) error {
	stmt, err := t.prepare(query)
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(t.ctx, args...).Scan(dest...)
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
