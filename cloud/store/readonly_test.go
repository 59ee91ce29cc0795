package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenReadOnly(t *testing.T) {
	onEngines(t, func(t *testing.T, open opener) {
		s := open(t)
		write(t, s, func(tx *Tx) error {
			_, err := tx.AddFact("test", 1, "x")
			return err
		})
		c, ok := configs.Load(s)
		if !ok {
			t.Fatal("where is it?")
		}
		r, err := OpenReadOnly(t.Context(), c.(Config))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if facts, err := r.Facts(t.Context(), 0, 10); err != nil || len(facts) != 1 {
			t.Errorf("%+v, %v", facts, err)
		}
		if err := r.Write(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, ErrReadOnly) {
			t.Errorf("it writes: %v", err)
		}
		if err := r.Read(t.Context(), func(tx *Tx) error { _, err := tx.Exec(`DELETE FROM fact`); return err }); err == nil {
			t.Error("what reads deletes")
		}
		write(t, s, func(tx *Tx) error {
			_, err := tx.Exec(`DELETE FROM goose_db_version WHERE version_id > 13`)
			return err
		})
		if _, err := OpenReadOnly(t.Context(), c.(Config)); err == nil || !strings.Contains(err.Error(), "version 13") {
			t.Errorf("an older schema: %v", err)
		}
	})
	if _, err := OpenReadOnly(t.Context(), Config{Path: filepath.Join(t.TempDir(), "none.db")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
}

// A cloud that has stopped leaves a file alone, one that was killed leaves its log beside it.
func TestOpenReadOnlyWithoutACloud(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "busbar.db")
	s := openAt(t, path)
	write(t, s, func(tx *Tx) error { _, err := tx.AddFact("test", 1, "x"); return err })
	killed := func(suffixes ...string) string {
		to := filepath.Join(t.TempDir(), "busbar.db")
		for _, suffix := range suffixes {
			data, err := os.ReadFile(path + suffix)
			if err == nil {
				err = os.WriteFile(to+suffix, data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return to
	}
	paths := []string{killed("", "-wal", "-shm"), killed("", "-wal")}
	s.Close()
	for _, path := range append(paths, path) {
		r, err := OpenReadOnly(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if facts, err := r.Facts(t.Context(), 0, 10); err != nil || len(facts) != 1 {
			t.Errorf("%+v, %v", facts, err)
		}
		r.Close()
	}
}
