// Package storetest gives tests databases of both engines.
package storetest

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/test/postgres"
)

var onPostgres bool

// Main, called by a package's TestMain, runs its tests with SQLite and then with
// PostgreSQL, for which New then makes databases. Benchmarks and short tests run once.
func Main(m *testing.M) int {
	flag.Parse()
	code := m.Run()
	value := func(name string) string { return flag.Lookup(name).Value.String() }
	if code == 0 && !testing.Short() && value("test.list") == "" && value("test.fuzz") == "" && value("test.bench") == "" {
		fmt.Println("with PostgreSQL:")
		onPostgres = true
		code = m.Run()
	}
	postgres.Stop()
	return code
}

// New is a new database of the engine that is tested.
func New(t testing.TB) store.Config {
	t.Helper()
	if onPostgres {
		return Postgres(t)
	}
	return SQLite(t)
}

// Open opens New until the test ends.
func Open(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// OnPostgres reports whether that is PostgreSQL.
func OnPostgres() bool { return onPostgres }

// SQLite is a new database in a file.
func SQLite(t testing.TB) store.Config {
	return store.Config{Path: filepath.Join(t.TempDir(), "busbar.db")}
}

// Postgres is a new database of a server that the tests of this process share. The test
// is skipped, or fails in CI, if PostgreSQL isn't installed.
func Postgres(t testing.TB) store.Config {
	t.Helper()
	return store.Config{Postgres: &store.Postgres{URL: postgres.Database(t, migrate)}}
}

func migrate(url string) error {
	s, err := store.Open(context.Background(), store.Config{Postgres: &store.Postgres{URL: url}})
	if err != nil {
		return err
	}
	return s.Close()
}
