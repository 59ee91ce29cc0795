package session

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// keeper is a sink that knows signals of before.
type keeper struct {
	sink
	found []adapters.Found // with the ids from 100 on; "" has none
}

func (k *keeper) Register(_ context.Context, _ string, found []adapters.Found) ([]telemetry.SignalID, error) {
	return make([]telemetry.SignalID, len(found)), nil
}

func (k *keeper) Known(context.Context, string) ([]adapters.Found, []telemetry.SignalID, error) {
	ids := make([]telemetry.SignalID, len(k.found))
	for i := range ids {
		if k.found[i].Name != "" {
			ids[i] = telemetry.SignalID(100 + i)
		}
	}
	return k.found, ids, nil
}

// A signal of before the session that the device doesn't tell of again has no value:
// once it doesn't answer, or has had the time to tell.
func TestUntold(t *testing.T) {
	at := time.Now()
	gone := errors.New("gone")
	type step struct {
		after time.Duration
		cause error
		told  string // and registered just before
		past  bool
	}
	for name, c := range map[string]struct {
		about About
		steps []step
		want  map[telemetry.SignalID]int // after which step each is said to have no value
	}{
		"no answer":        {About{Open: true}, []step{{0, gone, "", false}, {time.Second, gone, "", false}}, map[telemetry.SignalID]int{100: 0, 101: 0}},
		"told again":       {About{Open: true}, []step{{0, nil, "a", false}, {time.Hour, nil, "", false}, {time.Hour, gone, "", false}}, map[telemetry.SignalID]int{101: 2}},
		"time to tell":     {About{Open: true, ToldWithin: time.Minute}, []step{{0, nil, "", false}, {time.Second, nil, "b", false}, {time.Minute, nil, "", false}}, map[telemetry.SignalID]int{100: 2}},
		"it begins anew":   {About{Open: true, ToldWithin: time.Minute}, []step{{0, nil, "a", false}, {59 * time.Second, nil, "b", false}, {time.Hour, nil, "", false}}, nil},
		"of the past":      {About{Open: true}, []step{{0, gone, "", true}}, nil},
		"tells of nothing": {About{}, []step{{0, gone, "", false}}, nil},
	} {
		k := &keeper{found: []adapters.Found{{Name: "a"}, {Name: "b"}, {}}}
		c.about.ID, c.about.Live = "d", 9
		s := newSession(c.about, slog.New(slog.DiscardHandler))
		s.begin(k, func() {})
		if err := s.remember(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[telemetry.SignalID]int{}
		for n, step := range c.steps {
			if step.told != "" {
				if _, err := s.Register(t.Context(), []adapters.Found{{Name: step.told}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Deliver(t.Context(), Result{Received: at.Add(step.after), Cause: step.cause, Past: step.past}); err != nil {
				t.Fatal(err)
			}
			batch := k.of("d")[n]
			for _, v := range batch.Samples {
				if v.Signal != 9 {
					got[v.Signal] = n
					if v.Quality.Validity() != telemetry.Bad || !v.Quality.Has(telemetry.Stale) || v.Time != telemetry.MicrosOf(batch.Received) {
						t.Errorf("%s: %v", name, v)
					}
				}
			}
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
		}
	}
}

// Whoever asks for some of them gets each once, and leaves the others.
func TestUntoldOfSome(t *testing.T) {
	k := &keeper{found: []adapters.Found{{Name: "a"}, {Name: "b", Follow: 1}}}
	s := newSession(About{ID: "d", Open: true}, slog.New(slog.DiscardHandler))
	s.begin(k, func() {})
	if err := s.remember(t.Context()); err != nil {
		t.Fatal(err)
	}
	var ids []telemetry.SignalID
	for range 2 {
		for _, v := range s.Untold(time.Now(), Bad(telemetry.Timeout), func(f adapters.Found) bool { return f.Follow == 1 }) {
			ids = append(ids, v.Signal)
		}
	}
	if left := s.Earlier(); !slices.Equal(ids, []telemetry.SignalID{101}) || len(left) != 1 || left[0].Name != "a" {
		t.Errorf("%v, and %v are left", ids, left)
	}
}
