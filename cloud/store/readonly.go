package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// ErrReadOnly is what Write returns of a Store that OpenReadOnly has opened.
var ErrReadOnly = errors.New("store: the database is open for reading only")

// OpenReadOnly opens the database of a cloud, which may be running, and changes nothing of
// it: its schema must be the one that this program knows. Who follows the facts isn't
// woken by them.
func OpenReadOnly(ctx context.Context, c Config) (s *Store, err error) {
	where := c.Path
	if c.Postgres == nil {
		s, err = readFile(c.Path)
	} else {
		s, where, err = readPostgres(*c.Postgres)
	}
	if err != nil {
		return nil, err
	}
	s.limitReaders()
	if err := s.checkVersion(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("store: %s: %w", where, err)
	}
	return s, nil
}

func readFile(path string) (*Store, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := newStore(sqliteDialect)
	var err error
	for _, db := range []**sql.DB{&s.reader, &s.asker} {
		if *db, err = openFile(path, url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}}); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func readPostgres(p Postgres) (*Store, string, error) {
	config, err := p.connection()
	if err != nil {
		return nil, "", fmt.Errorf("store: PostgreSQL: %w", err)
	}
	config.RuntimeParams["default_transaction_read_only"] = "on"
	s := newStore(postgresDialect)
	s.reader, s.asker = stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(p.login)), stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(p.login))
	return s, placeOf(config), nil
}

// checkVersion fails unless the schema is the one that this program knows.
func (s *Store) checkVersion(ctx context.Context) error {
	known, err := newestVersion()
	if err != nil {
		return err
	}
	var has int64
	err = s.Read(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`, nil, &has)
	})
	switch {
	case err != nil:
		return fmt.Errorf("read the version of the schema: %w", err)
	case has < known:
		return fmt.Errorf("the database has version %d of the schema, this program needs version %d: run its cloud on it first", has, known)
	case has > known:
		return newerSchema(has, known)
	}
	return nil
}

// newestVersion is the version of the schema that this program knows, which is that of
// both engines.
func newestVersion() (newest int64, err error) {
	files, err := fs.ReadDir(migrations, "migrations/sqlite")
	for _, f := range files {
		if n, err := goose.NumericComponent(f.Name()); err == nil {
			newest = max(newest, n)
		}
	}
	return newest, err
}
