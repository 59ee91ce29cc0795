package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"
)

var sqliteDialect = dialect{name: goose.DialectSQLite3, folder: "sqlite", catalog: sqliteCatalog}

// openSQLite opens the file at path, which is made if it is missing.
func openSQLite(ctx context.Context, path string) (*Store, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := newStore(sqliteDialect)
	writer, err := openFile(path, url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}})
	if err != nil {
		return nil, err
	}
	s.writer = writer
	s.writer.SetMaxOpenConns(1)
	if err := s.migrateBeside(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	for _, pool := range []**sql.DB{&s.reader, &s.asker} {
		if *pool, err = openFile(path, url.Values{"_pragma": {"busy_timeout(5000)", "query_only(1)"}}); err != nil {
			s.Close()
			return nil, err
		}
	}
	s.limitReaders()
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

func openFile(path string, options url.Values) (*sql.DB, error) {
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
