package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/busbar/busbar/cloud/backup"
	"github.com/busbar/busbar/configfile"
)

var (
	// ErrNotEmpty says that a database that would be restored has something in it.
	ErrNotEmpty = errors.New("the database isn't empty")
	// ErrInUse says that somebody works on it.
	ErrInUse = errors.New("the database is in use: stop the cloud first")
)

// Restore makes a database of a backup, of whichever engine that is. It has the schema of
// the backup first, and is brought up to date then. Nothing of it is there after an error:
// a file is made under another name, and PostgreSQL takes all in one transaction. With
// force what was in the database is deleted, otherwise that is ErrNotEmpty. Told is called
// as that of Backup.
func Restore(ctx context.Context, c Config, in io.Reader, force bool, told func(backup.Rows)) ([]backup.Rows, error) {
	r, err := backup.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("store: restore: %w", err)
	}
	defer r.Close()
	known, err := newestVersion()
	if err == nil && r.Header.Schema > known {
		err = fmt.Errorf("the backup has version %d of the schema, this program knows up to version %d: it needs a newer Busbar", r.Header.Schema, known)
	}
	if err == nil && c.Postgres != nil {
		err = restorePostgres(ctx, *c.Postgres, r, force, told)
	} else if err == nil {
		err = restoreFile(ctx, c.Path, r, force, told)
	}
	if err != nil {
		return nil, fmt.Errorf("store: restore: %w", err)
	}
	return r.Counts(), nil
}

func restoreFile(ctx context.Context, path string, r *backup.Reader, force bool, told func(backup.Rows)) (err error) {
	if _, err := inTheWay(ctx, path, force); err != nil {
		return err
	}
	beside := path + ".restoring"
	remove := func() {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			os.Remove(beside + suffix)
		}
	}
	remove()
	defer func() {
		if err != nil {
			remove()
		}
	}()
	if err := create(beside); err != nil {
		return err
	}
	s := newStore(sqliteDialect)
	// The file counts only once it is whole, so it is synced once.
	if s.writer, err = openFile(beside, url.Values{"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(OFF)", "foreign_keys(0)"}}); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	load := func() error {
		if err := s.migrateTo(ctx, r.Header.Schema); err != nil {
			return err
		}
		if err := s.load(ctx, r, told); err != nil {
			return err
		}
		return errors.Join(s.migrate(ctx), s.checkFile(ctx))
	}
	if err := errors.Join(load(), s.Close()); err != nil {
		return err
	}
	if err := syncFile(beside); err != nil {
		return err
	}
	// Somebody may have made one meanwhile.
	left, err := inTheWay(ctx, path, force)
	if err != nil {
		return err
	}
	for _, file := range left {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return configfile.Rename(beside, path)
}

// inTheWay returns ErrNotEmpty if there is a database at path, or what is left of one, and
// with force ErrInUse if somebody has it open. Left are the files beside it that SQLite
// would take for those of another one at path: of one that is gone, or is damaged.
func inTheWay(ctx context.Context, path string, force bool) (left []string, err error) {
	switch _, err := os.Stat(path); {
	case err == nil && !force:
		return nil, fmt.Errorf("%s: %w", path, ErrNotEmpty)
	case err == nil:
		if err := detach(ctx, path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		switch _, err := os.Lstat(path + suffix); {
		case err == nil && !force:
			return nil, fmt.Errorf("%s is left of a database whose file is gone, and would change the restored one: %w", path+suffix, ErrNotEmpty)
		case err == nil:
			left = append(left, path+suffix)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return left, nil
}

// detach makes a database one file that nobody has open. One that is damaged stays as it is.
func detach(ctx context.Context, path string) error {
	db, err := openFile(path, url.Values{})
	if err != nil {
		return err
	}
	defer db.Close()
	var mode string
	err = db.QueryRowContext(ctx, `PRAGMA journal_mode = DELETE`).Scan(&mode)
	var failed *sqlite.Error
	if errors.As(err, &failed) {
		switch failed.Code() & 0xff { // the rest says more of it
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return fmt.Errorf("%w (%w)", ErrInUse, err)
		case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
			return nil
		}
	}
	if err != nil {
		return err
	}
	if mode != "delete" {
		return ErrInUse
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// checkFile has SQLite look at the whole file.
func (s *Store) checkFile(ctx context.Context) error {
	var found string
	if err := s.writer.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found); err != nil || found != "ok" {
		return errors.Join(fmt.Errorf("the new file isn't sound: %s", found), err)
	}
	rows, err := s.writer.QueryContext(ctx, `PRAGMA foreign_key_check`)
	if err != nil {
		return err
	}
	defer rows.Close()
	if rows.Next() {
		return errors.New("rows of the backup refer to others that aren't there")
	}
	return rows.Err()
}

// migrateTo gives an empty database a version of the schema.
func (s *Store) migrateTo(ctx context.Context, version int64) error {
	provider, has, err := s.schema(ctx)
	switch {
	case err != nil:
		return err
	case has == version:
		return nil
	case has != 0:
		return fmt.Errorf("the database has version %d of the schema, the backup version %d: it needs an empty database", has, version)
	}
	if _, err := provider.UpTo(ctx, version); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// loadStep bounds the rows of a transaction of SQLite.
const loadStep = 5_000

// load fills the tables of a file, in as many transactions as it takes.
func (s *Store) load(ctx context.Context, r *backup.Reader, told func(backup.Rows)) error {
	l := loader{Reader: r, told: told}
	var insert string
	for more := true; more; {
		err := s.Write(ctx, func(t *Tx) (err error) {
			for n := 0; n < loadStep; n++ {
				if l.table.Name == "" {
					if more, err = l.nextTable(t); err != nil || !more {
						return err
					}
					insert = `INSERT INTO ` + quoted(l.table.Name) + ` (` + quoted(l.table.Columns...) + `) VALUES (?` + strings.Repeat(`, ?`, len(l.table.Columns)-1) + `)`
				}
				row, err := l.row()
				if err == io.EOF {
					if err := l.endTable(t); err != nil {
						return err
					}
					continue
				}
				if err == nil {
					_, err = t.Exec(insert, row...)
				}
				if err != nil {
					return fmt.Errorf("table %s: %w", l.table.Name, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// loader reads a backup whose tables are those of a database.
type loader struct {
	*backup.Reader
	told   func(backup.Rows)
	known  []string // tables of the database that haven't come
	begun  bool
	table  backup.Table
	rows   int64
	number map[string]numbering
}

// nextTable begins a table, after checking that the database has it and that it is empty.
// At the end it checks that all have come.
func (l *loader) nextTable(t *Tx) (more bool, err error) {
	if !l.begun {
		l.begun = true
		if l.known, err = t.tables(); err != nil {
			return false, err
		}
		if l.number, err = t.numberings(); err != nil {
			return false, err
		}
	}
	table, err := l.Table()
	if err == io.EOF {
		if len(l.known) > 0 {
			return false, fmt.Errorf("the backup lacks the tables %s", strings.Join(l.known, ", "))
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	at := slices.Index(l.known, table.Name)
	if at < 0 {
		return false, fmt.Errorf("the backup has a table %q, which version %d of the schema doesn't know", table.Name, l.Header.Schema)
	}
	l.known = slices.Delete(l.known, at, at+1)
	rows, err := t.Query(`SELECT * FROM ` + quoted(table.Name) + ` LIMIT 1`)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return false, err
	}
	if rows.Next() {
		return false, fmt.Errorf("table %s: %w", table.Name, ErrNotEmpty)
	}
	// Engines need not have them in one order.
	if have := slices.Sorted(slices.Values(table.Columns)); !slices.Equal(have, slices.Sorted(slices.Values(columns))) {
		return false, fmt.Errorf("the backup's table %s has the columns %v, expected %v", table.Name, table.Columns, columns)
	}
	l.table, l.rows = table, 0
	return true, rows.Err()
}

func (l *loader) row() ([]any, error) {
	row, err := l.Row()
	if err == nil {
		if l.rows++; l.told != nil && l.rows%toldEvery == 0 {
			l.told(backup.Rows{Table: l.table.Name, Rows: l.rows})
		}
	}
	return row, err
}

// endTable checks that all rows are there, and has the engine go on with its numbers.
func (l *loader) endTable(t *Tx) error {
	name := l.table.Name
	var n int64
	if err := t.QueryRow(`SELECT COUNT(*) FROM `+quoted(name), nil, &n); err != nil {
		return err
	}
	if n != l.rows {
		return fmt.Errorf("table %s has %d rows, of %d", name, n, l.rows)
	}
	if name == "consumer_offset" {
		// Where they were in the database that the backup is of isn't where they are in this.
		if err := t.forgetFollowers(); err != nil {
			return err
		}
	}
	last := l.table.Last
	l.table = backup.Table{}
	if number, ok := l.number[name]; ok {
		return t.goOn(name, number.column, last)
	}
	return nil
}

// goOn has the engine number the rows that come behind last, and behind those that are
// there.
func (t *Tx) goOn(table, column string, last int64) error {
	if !t.dialect.numbers {
		// It has seen those that are there.
		if last == 0 {
			return nil
		}
		_, err := t.Exec(`DELETE FROM sqlite_sequence WHERE name = ? AND seq < ?`, table, last)
		if err == nil {
			_, err = t.Exec(`INSERT INTO sqlite_sequence (name, seq) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)`, table, last, table)
		}
		return err
	}
	var has int64
	if err := t.QueryRow(`SELECT COALESCE(MAX(`+quoted(column)+`), 0) FROM `+quoted(table), nil, &has); err != nil {
		return err
	}
	if last = max(last, has); last == 0 {
		return nil
	}
	_, err := t.Exec(`SELECT setval(pg_get_serial_sequence(?, ?), ?)`, quoted(table), column, last)
	return err
}

func restorePostgres(ctx context.Context, p Postgres, r *backup.Reader, force bool, told func(backup.Rows)) error {
	config, err := p.connection()
	if err != nil {
		return err
	}
	s := newStore(postgresDialect)
	s.writer = stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(p.login))
	err = s.inTurn(ctx, func(conn *sql.Conn) error {
		if err := alone(ctx, conn); err != nil {
			return err
		}
		if err := s.migrateTo(ctx, r.Header.Schema); err != nil {
			return err
		}
		// This connection has the turn.
		t, err := s.run(ctx, s.writer, s.dialect.writing, func(t *Tx) error { return t.copyAll(r, force, told) })
		if err != nil || t == nil {
			return err
		}
		return s.migrate(ctx)
	})
	if err := errors.Join(err, s.Close()); err != nil {
		return fmt.Errorf("%s: %w", placeOf(config), err)
	}
	return nil
}

// alone returns ErrInUse if a cloud or one of its commands is connected. The server takes
// a moment to notice that one has gone.
func alone(ctx context.Context, conn *sql.Conn) error {
	for tries := 0; ; tries++ {
		var others int
		err := conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'busbar-cloud'
			AND pid <> pg_backend_pid()`).Scan(&others)
		switch {
		case err != nil || others == 0:
			return err
		case tries == 20:
			return ErrInUse
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// copyAll fills the tables, in the transaction.
func (t *Tx) copyAll(r *backup.Reader, force bool, told func(backup.Rows)) error {
	if force {
		names, err := t.tables()
		if err != nil {
			return err
		}
		if _, err := t.Exec(`TRUNCATE ` + quoted(names...)); err != nil {
			return err
		}
	}
	l := loader{Reader: r, told: told}
	for {
		more, err := l.nextTable(t)
		if err != nil || !more {
			return err
		}
		var failed error
		rows := pgx.CopyFromFunc(func() ([]any, error) {
			row, err := l.row()
			if err == io.EOF {
				return nil, nil
			}
			failed = err
			return row, err
		})
		err = t.conn.Raw(func(conn any) error {
			_, err := conn.(*stdlib.Conn).Conn().CopyFrom(t.ctx, pgx.Identifier{l.table.Name}, l.table.Columns, rows)
			return err
		})
		if failed != nil {
			err = failed
		}
		if err == nil {
			err = l.endTable(t)
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", l.table.Name, err)
		}
	}
}
