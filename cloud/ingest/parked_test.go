package ingest

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry/record"
)

// What is parked is read again when births that others have read name more of its signals,
// and now and then.
func TestWhatIsParkedIsNotReadAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	cfg := w.config()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := newSession(New(cfg), map[string]map[int32]int64{})
	b := blockRecord(t, "gw", 1, 0, 9, 7)
	w.send(b)
	if err := s.take(t.Context(), []*kgo.Record{b}); err != nil {
		t.Fatal(err)
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	write := func(do func(*store.Tx) error) {
		t.Helper()
		if err := w.store.Write(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	write(func(tx *store.Tx) error { // each reading is told
		_, err := tx.Exec(`UPDATE parked_record SET payload = ?`, []byte("damaged"))
		return err
	})
	reads := 0
	for named := 1; named <= 2; named++ {
		r := birthRecord(t, "gw", signals(named)...)
		birth, err := record.ParseBirth(r.Key, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		write(func(tx *store.Tx) error { return tx.SaveBirth(birth) })
		for range 3 {
			if err := s.unparkAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if reads++; strings.Count(log.String(), "a parked record can't be read") != reads {
			t.Errorf("%d signals are named:\n%s", named, log.String())
		}
	}
	if err := s.keepHouse(t.Context()); err != nil {
		t.Fatal(err)
	}
	if reads++; strings.Count(log.String(), "a parked record can't be read") != reads {
		t.Errorf("after the house was kept:\n%s", log.String())
	}
}
