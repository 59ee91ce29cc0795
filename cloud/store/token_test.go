package store

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

func TestATokenEnrolsOneKeyOfItsGatewayOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		now := telemetry.MicrosOf(time.Now())
		token, err := s.NewToken(t.Context(), "gw", "Ana", time.Hour, now)
		if err != nil {
			t.Fatal(err)
		}
		stale, err := s.NewToken(t.Context(), "gw", "Ana", time.Minute, now-telemetry.Micros(time.Hour.Microseconds()))
		if err != nil {
			t.Fatal(err)
		}
		key := func(gateway string, seed byte) GatewayKey {
			private := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), seed))
			return GatewayKey{Gateway: gateway, PublicKey: private.Public().(ed25519.PublicKey), AddedAt: now}
		}
		for name, c := range map[string]struct {
			token string
			key   GatewayKey
		}{
			"a guess":         {"AAAAAAAAAAAAAAAAAAAAAAAAAA", key("gw", 1)},
			"none":            {"", key("gw", 1)},
			"another gateway": {token, key("gx", 1)},
			"expired":         {stale, key("gw", 1)},
		} {
			if err := s.EnrolByToken(t.Context(), c.token, c.key); !errors.Is(err, ErrToken) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if keys, err := s.GatewayKeys(t.Context()); err != nil || len(keys) != 0 {
			t.Fatalf("%v were enrolled, %v", keys, err)
		}
		for range 2 { // the answer may be lost on the way
			if err := s.EnrolByToken(t.Context(), " "+token+"\n", key("gw", 1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.EnrolByToken(t.Context(), token, key("gw", 2)); !errors.Is(err, ErrToken) {
			t.Errorf("a second key by the same token: %v", err)
		}
		keys, err := s.GatewayKeys(t.Context())
		if err != nil || len(keys) != 1 || keys[0].AddedBy != "Ana" || keys[0].ID() != key("gw", 1).ID() {
			t.Errorf("%+v, %v", keys, err)
		}
	})
}

// A request that comes again after the key was revoked doesn't pass for a success, and
// whoever has no token waits for no writer, nor makes one wait.
func TestATokenIsLookedAtBeforeAnythingIsWritten(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		key := GatewayKey{Gateway: "gw", PublicKey: publicKey("a"), AddedAt: 5}
		token, err := s.NewToken(t.Context(), "gw", "Ana", time.Hour, 1)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.EnrolByToken(t.Context(), token, key); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.RevokeKey(t.Context(), "gw", key.ID(), "Ana", "stolen", 6); err != nil {
			t.Fatal(err)
		}
		if err := s.EnrolByToken(t.Context(), token, key); !errors.Is(err, ErrKeyRevoked) {
			t.Errorf("after the revocation: %v", err)
		}
		write(t, s, func(*Tx) error {
			soon, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := s.EnrolByToken(soon, "guess", key); !errors.Is(err, ErrToken) {
				t.Errorf("while somebody writes: %v", err)
			}
			return nil
		})
	})
}
