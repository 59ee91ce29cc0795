package client

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/api"
	"github.com/busbar/busbar/cloud/store"
)

// More transitions than the stream sends to one who resumes.
func TestFollowReloadsWhenItIsTooFarBehind(t *testing.T) {
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	transition := func(n int) {
		t.Helper()
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			for range n {
				if _, err := tx.AddFact(alarm.FactKind, 1, map[string]string{"id": "told"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err = s.Write(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO gateway (id) VALUES ('gw')`); err != nil {
			return err
		}
		for i := range 3 {
			if _, err := tx.Exec(`INSERT INTO alarm (id, gateway, rule, asset, device, priority, summary, active, acknowledged, raised, decided, acknowledged_by, comment)
				VALUES (?, 'gw', '', '', '', 'high', '', false, true, ?, 1, 'Ana', '')`, fmt.Sprint("listed-", i), i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	transition(6000)
	server := httptest.NewServer(api.New(api.Options{Version: "test", Store: s, Live: api.NewLive(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	New(server.URL).Follow(ctx, func(a Alarm) {
		got = append(got, a.ID)
		switch len(got) {
		case 3:
			transition(1)
		case 4:
			cancel()
		}
	})
	if want := []string{"listed-0", "listed-1", "listed-2", "told"}; !slices.Equal(got, want) {
		t.Errorf("followed %v, want %v", got, want)
	}
}

func TestLedgerIsCompleteWhenAllIsStored(t *testing.T) {
	for total, want := range map[string]bool{
		`"running":0,"expected":10,"received":10,"parked":0`:             true,
		`"running":0,"expected":10,"received":0,"parked":10`:             false,
		`"running":0,"expected":10,"received":10,"parked":1`:             false,
		`"running":0,"expected":10,"received":9,"parked":0,"lost":1`:     false,
		`"running":1,"expected":10,"received":10,"parked":0,"missing":1`: false,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("cursor") == "" { // a page of gateways without anything
				fmt.Fprint(w, `{"gateways":[{"stored":1,"totals":[]}],"next":"page-2"}`)
				return
			}
			fmt.Fprintf(w, `{"gateways":[{"stored":9,"totals":[{"stream":"telemetry",%s},{"stream":"events","running":1}]}],"next":null}`, total)
		}))
		l, err := New(server.URL).Ledger(t.Context())
		server.Close()
		if err != nil || l.Complete != want || l.Stored != 10 {
			t.Errorf("%s: %+v, %v", total, l, err)
		}
	}
}
