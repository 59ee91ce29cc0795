package live

import (
	"testing"
	"time"

	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/world"
)

// A machine that was busy or asleep catches up with a second at most, also if somebody
// acts before the next tick.
func TestLongTimesAreNotCaughtUpWith(t *testing.T) {
	s, err := scenario.Open("service", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, act := range map[string]func(*Live) error{
		"a tick":  func(l *Live) error { return l.tick(time.Now()) },
		"a fault": func(l *Live) error { _, err := l.Fault(world.Fault{Asset: "north-1"}); return err },
		"another speed": func(l *Live) error {
			if err := l.SetSpeed(0); err != nil {
				return err
			}
			return l.tick(time.Now())
		},
	} {
		l, err := New(s, scenario.Sinks{})
		if err != nil {
			t.Fatal(err)
		}
		l.clock.speed, l.clock.since = 10, time.Now().Add(-time.Minute)
		if err := act(l); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, want := l.Now()-l.Start(), (10 * time.Second).Microseconds(); got != want {
			t.Errorf("%s: %d µs of the grid's time have passed, want %d", name, got, want)
		}
	}
}
