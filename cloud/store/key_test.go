package store

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry/record"
)

func publicKey(name string) ed25519.PublicKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
}

func TestKeysAreEnrolledOnceAndRevokedForGood(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		k := GatewayKey{Gateway: "gw-1", PublicKey: publicKey("a"), AddedAt: 10, AddedBy: "Ana"}
		enrol := func(k GatewayKey) (bool, error) { return s.EnrolKey(t.Context(), k) }
		if added, err := enrol(k); err != nil || !added {
			t.Fatalf("%v, %v", added, err)
		}
		again := k
		again.AddedAt, again.AddedBy = 20, "Ben"
		if added, err := enrol(again); err != nil || added {
			t.Errorf("again: %v, %v", added, err)
		}
		taken := k
		taken.Gateway = "gw-2"
		if _, err := enrol(taken); !errors.Is(err, ErrKeyTaken) || !strings.Contains(err.Error(), "gw-1") {
			t.Errorf("for another gateway: %v", err)
		}
		second := GatewayKey{Gateway: "gw-1", PublicKey: publicKey("b"), AddedAt: 30, AddedBy: "Ana"}
		if added, err := enrol(second); err != nil || !added {
			t.Errorf("a second key: %v, %v", added, err)
		}
		if err := s.RevokeKey(t.Context(), "gw-2", k.ID(), "Ana", "lost", 40); !errors.Is(err, ErrNoKey) {
			t.Errorf("revoked as another gateway's: %v", err)
		}
		if err := s.RevokeKey(t.Context(), "gw-1", k.ID(), "Ana", "lost", 40); err != nil {
			t.Fatal(err)
		}
		if err := s.RevokeKey(t.Context(), "gw-1", k.ID(), "Ben", "", 50); !errors.Is(err, ErrKeyRevoked) {
			t.Errorf("revoked again: %v", err)
		}
		if _, err := enrol(k); !errors.Is(err, ErrKeyRevoked) {
			t.Errorf("enrolled again: %v", err)
		}
		k.RevokedAt, k.RevokedBy, k.Reason = 40, "Ana", "lost"
		keys, err := s.GatewayKeys(t.Context())
		if err != nil || fmt.Sprintf("%+v", keys) != fmt.Sprintf("%+v", []GatewayKey{k, second}) {
			t.Errorf("%+v, %v", keys, err)
		}
		if n, err := s.CountKeys(t.Context()); err != nil || n != (KeyCount{2, 1}) {
			t.Errorf("%+v, %v", n, err)
		}
		if list, err := s.Gateways(t.Context()); err != nil || len(list) != 1 || list[0].ID != "gw-1" || list[0].LastRecord != 0 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestOnlyAValidKeyOfTheGatewayIntroduces(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		for gateway, key := range map[string]string{"gw-1": "a", "gw-2": "b"} {
			if _, err := s.EnrolKey(t.Context(), GatewayKey{Gateway: gateway, PublicKey: publicKey(key)}); err != nil {
				t.Fatal(err)
			}
		}
		introduce := func(by string) error {
			return s.Write(t.Context(), func(tx *Tx) error {
				return tx.AddIntroducedKey(GatewayKey{Gateway: "gw-1", PublicKey: publicKey("c"), IntroducedBy: record.KeyIDOf(publicKey(by))})
			})
		}
		for _, by := range []string{"b", "c", "x"} {
			if err := introduce(by); !errors.Is(err, ErrNotIntroduced) {
				t.Errorf("by %s: %v", by, err)
			}
		}
		for range 2 {
			if err := introduce("a"); err != nil {
				t.Error(err)
			}
		}
		if err := s.RevokeKey(t.Context(), "gw-1", record.KeyIDOf(publicKey("a")), "Ana", "", 1); err != nil {
			t.Fatal(err)
		}
		if err := introduce("a"); !errors.Is(err, ErrNotIntroduced) {
			t.Errorf("by a revoked key: %v", err)
		}
	})
}

// Whoever writes nonsense to the log can't fill the list of what was refused,
// and hides no gateway that is known.
func TestRefusedNamesAreBounded(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		if _, err := s.EnrolKey(t.Context(), GatewayKey{Gateway: "known", PublicKey: publicKey("a")}); err != nil {
			t.Fatal(err)
		}
		count := func(gateway string, records int64) {
			write(t, s, func(tx *Tx) error {
				return tx.CountRefused(Refused{Gateway: gateway, Reason: UnknownKey, Records: records, Last: 5, Detail: strings.Repeat("é", 400)})
			})
		}
		for i := range mostStrangers + 10 {
			count(fmt.Sprint("stranger-", i), 1)
		}
		for _, name := range []string{"", "North", "a b", "a\x00", "\xff", strings.Repeat("a", 64)} {
			count(name, 1)
		}
		count("known", 2)
		count("stranger-0", 3)
		list, err := s.Refused(t.Context())
		if err != nil || len(list) != mostStrangers+2 {
			t.Fatalf("%d rows, %v", len(list), err)
		}
		counts := map[string]int64{}
		for _, r := range list {
			counts[r.Gateway] = r.Records
			if len(r.Detail) > mostDetail || r.First != 5 || r.Last != 5 {
				t.Errorf("%+v", r)
			}
		}
		if counts["known"] != 2 || counts["stranger-0"] != 4 || counts[OtherNames] != 16 {
			t.Errorf("%v", counts)
		}
	})
}
