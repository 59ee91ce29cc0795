package alarm

import (
	"fmt"
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// newHeldShop is a shop whose network has an asset, of which an outage may be the cause.
func newHeldShop(t *testing.T) *shop {
	s := newShop(t)
	_, err := s.store.SaveGrid(t.Context(), store.GridVersion{Digest: "x"}, []byte("x"), nil, store.GridIndex{
		Assets: []store.GridAsset{{ID: "P1", Kind: "service_point", Zone: "here"}}, Zones: []store.GridZone{{Zone: "here", Within: "here"}}}, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shop) interrupted(id string, action Action, told telemetry.Micros) {
	s.Helper()
	s.change(Change{Action: action, At: told, Decided: told, Gateway: "gw", Told: told,
		Alarm: telemetry.AlarmChange{ID: id, Rule: "interruption", Asset: "P1", Priority: telemetry.Critical, Summary: "no voltage"}})
}

func (s *shop) releaseAt(now telemetry.Micros, id string, held bool) {
	s.Helper()
	if err := release(s.Context(), s.store, now); err != nil {
		s.Fatal(err)
	}
	if a, _ := s.get(id); a.SuppressedBy == HeldBy != held || a.Unannounced != held {
		s.Errorf("held %q, unannounced %t, expected %t", a.SuppressedBy, a.Unannounced, held)
	}
}

// Whatever becomes of outages and of clocks, what waits for them is announced.
func TestWhatIsHeldIsAnnouncedInTime(t *testing.T) {
	start := telemetry.MicrosOf(at(0))
	t.Run("a minute later", func(t *testing.T) {
		s := newHeldShop(t)
		s.interrupted("a", Raised, start)
		s.releaseAt(start, "a", true)
		s.releaseAt(start+minute-1, "a", true)
		s.releaseAt(start+minute, "a", false)
		if _, history := s.get("a"); history[len(history)-1].Action != Unsuppressed {
			t.Errorf("%+v", history)
		}
	})
	t.Run("a clock put back", func(t *testing.T) {
		s := newHeldShop(t)
		s.interrupted("a", Raised, start)
		s.releaseAt(start-1, "a", false)
	})
	t.Run("one that comes and goes", func(t *testing.T) {
		s := newHeldShop(t)
		s.interrupted("a", Raised, start)
		s.interrupted("a", Cleared, start+minute/3)
		s.interrupted("a", Raised, start+minute/2)
		s.releaseAt(start+minute-1, "a", true)
		s.releaseAt(start+minute, "a", false)
		// It is another matter when it comes later.
		s.interrupted("a", Cleared, start+2*minute)
		s.interrupted("a", Raised, start+10*minute)
		s.releaseAt(start+10*minute+1, "a", true)
		s.releaseAt(start+11*minute, "a", false)
	})
	t.Run("more than a transaction takes", func(t *testing.T) {
		s := newHeldShop(t)
		s.write(func(x *store.Tx) error {
			for i := range releasedAtOnce + 1 {
				id := fmt.Sprintf("a%05d", i)
				_, err := change(x, id, Change{Action: Raised, At: start, Decided: start, Gateway: "gw", Told: start,
					Alarm: telemetry.AlarmChange{ID: id, Rule: "interruption", Asset: "P1", Priority: telemetry.Critical}})
				if err != nil {
					return err
				}
			}
			return nil
		})
		s.releaseAt(start+minute, fmt.Sprintf("a%05d", releasedAtOnce), false)
	})
	t.Run("an outage whose alarm is over stands for nothing", func(t *testing.T) {
		s := newHeldShop(t)
		s.interrupted("a", Raised, start)
		o := OfOutage{ID: "1", Zone: "here", Asset: "P1", Priority: telemetry.High, Began: start, At: start}
		s.write(func(x *store.Tx) error { return RaiseOutage(x, o) })
		s.write(func(x *store.Tx) error { return ClearOutage(x, o) })
		s.write(func(x *store.Tx) error { return Suppress(x, []string{"a"}, IDOfOutage("1"), "r", start) })
		s.releaseAt(start+minute, "a", false)
	})
}
