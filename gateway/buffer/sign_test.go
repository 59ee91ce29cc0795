package buffer

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/busbar/busbar/telemetry/record"
)

// Records are signed as they are committed, under their own numbers, and what
// can't be signed isn't committed.
func TestRecordsAreSignedInTheirCommit(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	broken := false
	dir := t.TempDir()
	b, err := Open(Options{Dir: dir, Gateway: "gw", Log: quiet, Sign: func(r *record.Record) error {
		if broken {
			return errors.New("no key")
		}
		r.Sign(key)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		commit(t, c, 1, 2, 3, 4, 5)
		broken = true
		if err := c.Commit([]Item{item(6)}, nil); err == nil {
			t.Error("a record that can't be signed was committed")
		}
		broken = false
		commit(t, c, 6)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir, 0)
	defer b.Close()
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		entries := readAll(t, c, 0)
		if len(entries) != 6 {
			t.Errorf("%d records", len(entries))
		}
		for _, e := range entries {
			if !e.Record.Verify(key.Public().(ed25519.PublicKey)) {
				t.Errorf("record %s isn't signed", e.Record.Identity)
			}
		}
	}
}
