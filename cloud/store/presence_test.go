package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func enrolled(t *testing.T, s *Store, gateways ...string) {
	t.Helper()
	for _, g := range gateways {
		if _, err := s.EnrolKey(t.Context(), GatewayKey{Gateway: g, PublicKey: publicKey(g)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPresenceIsWhatWasSaidLast(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		enrolled(t, s, "a", "b")
		first := telemetry.Presence{Every: 60_000_000, Site: "north", Feeder: "f1", Uplink: "x"}
		second := telemetry.Presence{Every: 30_000_000, Feeder: "f2"}
		write(t, s, func(tx *Tx) error {
			return errors.Join(tx.SavePresence("b", first), tx.SavePresence("a", first), tx.MarkSilent("b", 5), tx.MarkStopped("b", true), tx.MarkLastGasp("b", 8), tx.MarkSilent("unknown", 5))
		})
		write(t, s, func(tx *Tx) error {
			l := s.NewLedger()
			id := record.Identity{Gateway: "b", Epoch: 1, Stream: record.Telemetry, First: 0, Last: 9}
			if _, err := l.Judge(t.Context(), id, 1, false); err != nil {
				return err
			}
			l.Note(id, 1, false, New, 900, 70, true)
			return errors.Join(tx.SaveLedger(l), tx.SavePresence("b", second))
		})
		list, err := s.Presences(t.Context())
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v, %v", list, err)
		}
		if a := list[0]; a.Gateway != "a" || a.Presence != first || a.Silent != 0 || a.Stopped || a.LastGasp != 0 || a.Heard != 0 {
			t.Errorf("%+v", a)
		}
		if b := list[1]; b.Number != 1 || b.Presence != second || b.Silent != 5 || !b.Stopped || b.LastGasp != 8 || b.Heard != 70 {
			t.Errorf("%+v", b)
		}
	})
}

// A gateway is in service while one of its keys is valid.
func TestPresenceIsOfWhoIsInService(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		enrolled(t, s, "a")
		second := GatewayKey{Gateway: "a", PublicKey: publicKey("second")}
		if _, err := s.EnrolKey(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		write(t, s, func(tx *Tx) error {
			p := telemetry.Presence{Every: 60_000_000}
			return errors.Join(tx.SavePresence("a", p), tx.SavePresence("stranger", p))
		})
		for left, revoke := range []record.KeyID{{}, second.ID(), record.KeyIDOf(publicKey("a"))} {
			if left > 0 {
				if err := s.RevokeKey(t.Context(), "a", revoke, "me", "", 1); err != nil {
					t.Fatal(err)
				}
			}
			if list, err := s.Presences(t.Context()); err != nil || (len(list) == 1) != (left < 2) {
				t.Errorf("%d revoked: %+v, %v", left, list, err)
			}
		}
	})
}

// What was said at another time is kept where nothing is known, and changes nothing else.
func TestPresenceOfAnotherTime(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		enrolled(t, s, "new", "known", "silent")
		old, now := telemetry.Presence{Every: 60_000_000, Feeder: "f1"}, telemetry.Presence{Every: 60_000_000, Feeder: "f2"}
		write(t, s, func(tx *Tx) error {
			return errors.Join(tx.AddPresence("new", old), tx.SavePresence("known", now), tx.AddPresence("known", old),
				tx.SavePresence("silent", now), tx.ForgetPresence("silent"), tx.AddPresence("silent", old))
		})
		list, err := s.Presences(t.Context())
		if err != nil || len(list) != 2 || list[0].Presence != now || list[1].Presence != old {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestPresenceThatCantBeKept(t *testing.T) {
	for name, p := range map[string]telemetry.Presence{
		"never":          {},
		"backwards":      {Every: -1},
		"too seldom":     {Every: longestHeartbeat + 1},
		"a long site":    {Every: 1, Site: strings.Repeat("x", longestPlace+1)},
		"no text":        {Every: 1, Feeder: "\xff"},
		"a long carrier": {Every: 1, Uplink: strings.Repeat("x", longestPlace+1)},
	} {
		if CheckPresence(p) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := CheckPresence(telemetry.Presence{Every: longestHeartbeat}); err != nil {
		t.Error(err)
	}
}

func TestFleetStateIsOfOneProcess(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		if state, version, err := s.FleetState(t.Context()); state != nil || version != 0 || err != nil {
			t.Errorf("%s, %d, %v", state, version, err)
		}
		save := func(state string, version int64) error {
			return s.Write(t.Context(), func(tx *Tx) error { return tx.SaveFleetState([]byte(state), version) })
		}
		for version := range int64(3) {
			for at := range int64(4) {
				if err := s.Write(t.Context(), func(tx *Tx) error { return tx.HoldFleetState(at) }); errors.Is(err, ErrFenced) != (at != version) {
					t.Errorf("held at %d with version %d: %v", at, version, err)
				}
			}
			if err := save("x", version); err != nil {
				t.Fatal(err)
			}
			if err := save("y", version); !errors.Is(err, ErrFenced) {
				t.Errorf("saved twice as %d: %v", version, err)
			}
		}
		if state, version, err := s.FleetState(t.Context()); string(state) != "x" || version != 3 || err != nil {
			t.Errorf("%s, %d, %v", state, version, err)
		}
	})
}
