package store

import (
	"errors"
	"io/fs"
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
