package store

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func TestParametersAreNumbered(t *testing.T) {
	for query, want := range map[string]string{
		"":                                   "",
		`SELECT 1`:                           `SELECT 1`,
		`SELECT ? WHERE a = ? LIMIT ?`:       `SELECT $1 WHERE a = $2 LIMIT $3`,
		`SELECT '?', "?", 'it''s ?', ? || ?`: `SELECT '?', "?", 'it''s ?', $1 || $2`,
		strings.Repeat("?,", 11):             `$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,`,
	} {
		if got := numbered(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// What gateways and strangers call things stops no consumer, with either engine.
func TestTextsThatCantBeStoredAsTheyAre(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		const nul, bad = "a\x00b", "a\xffb"
		signals := []telemetry.Signal{{ID: 1, Device: nul, Name: nul, Unit: nul, Asset: nul, Kind: nul}, {ID: 2, Device: "a\ufffdb", Name: "a\ufffdb", Unit: "a\ufffdb", Kind: "a\ufffdb"},
			{ID: 3, Device: bad, Name: "other"}}
		for range 2 {
			write(t, s, func(tx *Tx) error { return tx.SaveBirth(birth("g", "000000000000000a", signals...)) })
		}
		list, err := s.Series(t.Context())
		if err != nil || len(list) != 2 || list[0].Device != "a\ufffdb" || list[1].Name != "other" {
			t.Errorf("%+v, %v", list, err)
		}
		table, err := s.SignalTable(t.Context(), "g", 0xa)
		if err != nil || len(table) != 3 || table[1] != table[2] {
			t.Errorf("%v, %v", table, err)
		}
		given := Quarantined{Consumer: "c", Topic: nul, Gateway: nul, Detail: bad, Payload: []byte(nul + bad)}
		write(t, s, func(tx *Tx) error { return tx.Quarantine(given) })
		aside, err := s.Quarantined(t.Context(), 1)
		if err != nil || len(aside) != 1 || aside[0].Detail != "a\ufffdb" || string(aside[0].Payload) != nul+bad {
			t.Errorf("%+v, %v", aside, err)
		}
	})
}

// Lists are in the order of bytes, whatever the database's language is.
func TestOrderIsThatOfBytes(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		want := []string{"A", "Z", "_", "a", "b-1", "b1", "z", "ä"}
		for _, name := range []string{"z", "ä", "b1", "a", "Z", "_", "b-1", "A"} {
			write(t, s, func(tx *Tx) error { return tx.touchGateway(name) })
		}
		list, err := s.Gateways(t.Context())
		if err != nil || len(list) != len(want) {
			t.Fatalf("%+v, %v", list, err)
		}
		for i, g := range list {
			if g.ID != want[i] {
				t.Errorf("%d is %s, want %s", i, g.ID, want[i])
			}
		}
	})
}

// Numbers that don't fit into 32 bits are compared with what is 0.
func TestLargeNumbers(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		if found, err := s.ParkedBeside(t.Context(), id(1, 0, 1), 1<<40); found || err != nil {
			t.Error(found, err)
		}
		if list, err := s.CounterChanges(t.Context(), 1<<32-1, 0, 1, Page[CounterPlace]{Limit: 1}); len(list) != 0 || err != nil {
			t.Error(list, err)
		}
	})
}
