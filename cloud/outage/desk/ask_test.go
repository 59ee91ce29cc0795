package desk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

// Two silent meters are no outage: their gateway is asked to read them, and its answers decide.
func TestSilentMetersAreReadBeforeAnybodyIsTold(t *testing.T) {
	r := newRoom(t, 1)
	r.stop()
	var signals []telemetry.Signal
	for n := range 8 {
		signals = append(signals, telemetry.Signal{ID: telemetry.SignalID(n + 1), Device: fmt.Sprintf("m%d", n), Name: "PhV.phsA", Unit: "V", Asset: fmt.Sprintf("p0-%d", n), Kind: telemetry.Gauge})
	}
	err := r.store.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SaveBirth(record.Birth{Gateway: "gw", Site: "s", Zone: "west", Table: "0000000000000001", Version: 1, Parts: 1, Signals: signals})
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, what)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		New(Config{Store: r.store, Logger: slog.New(slog.NewTextHandler(r.Output(), nil)),
			Ping: func(context.Context, string) error { note("ping"); return errors.New("nobody") },
			Read: func(_ context.Context, gateway, device string) error {
				note(gateway + " " + device)
				p := "p0-" + strings.TrimPrefix(device, "m")
				r.note(outage.Evidence{Kind: outage.PingUnanswered, Asset: p, Gateway: gateway})
				return nil
			}}).Run(ctx)
	})
	r.stop = func() { cancel(); running.Wait() }
	r.light(points(0, 0, 8)...)
	r.note(outage.Evidence{Kind: outage.Timeout, Asset: "p0-0", Gateway: "gw"}, outage.Evidence{Kind: outage.Timeout, Asset: "p0-1", Gateway: "gw"})
	await.True(t, "both are read", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Contains(asked, "gw m0") && slices.Contains(asked, "gw m1")
	})
	await.True(t, "that they don't answer is evidence of them", func() bool {
		n := 0
		err := r.store.Read(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT COUNT(*) FROM outage_evidence WHERE kind = 'ping-unanswered' AND asset IN ('p0-0', 'p0-1') AND taken > 0`, nil, &n)
		})
		return err == nil && n >= 2
	})
	mu.Lock()
	defer mu.Unlock()
	for _, what := range asked {
		if what == "ping" || what != "gw m0" && what != "gw m1" {
			t.Errorf("asked: %v", asked)
		}
	}
}
