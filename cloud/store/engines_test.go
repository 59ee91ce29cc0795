package store

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/busbar/busbar/test/postgres"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// opener opens a new database of the engine that is tested.
type opener func(*testing.T) *Store

// onEngines runs a test with each engine.
func onEngines(t *testing.T, test func(*testing.T, opener)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(t *testing.T) *Store {
			t.Helper()
			return openAt(t, filepath.Join(t.TempDir(), "dir with ?", "busbar.db"))
		})
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, func(t *testing.T) *Store {
			t.Helper()
			return openConfig(t, onPostgres(t))
		})
	})
}

// onPostgres is a new database, with the schema.
func onPostgres(t testing.TB) Config {
	t.Helper()
	return Config{Postgres: &Postgres{URL: postgres.Database(t, func(url string) error {
		s, err := Open(context.Background(), Config{Postgres: &Postgres{URL: url}})
		if err != nil {
			return err
		}
		return s.Close()
	})}}
}

// configs is where the databases of stores are.
var configs sync.Map

func openConfig(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	configs.Store(s, c)
	t.Cleanup(func() { s.Close() })
	return s
}

// beside opens the database of a store as another process does.
func beside(t *testing.T, s *Store) *Store {
	t.Helper()
	c, _ := configs.Load(s)
	return openConfig(t, c.(Config))
}
