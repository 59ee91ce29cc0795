package modbus

import (
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{time.Second, time.Second, false},
		{0, time.Second, false},
		{-2 * time.Millisecond, time.Second, true},
		{2001 * time.Millisecond, time.Second, false},
		{2002 * time.Millisecond, time.Second, true},
		{-time.Hour, time.Second, true},
		{time.Hour, time.Second, true},
		{time.Hour + 4*time.Second, time.Hour, false}, // a slow drift is no step
		{time.Hour + 5*time.Second, time.Hour, true},
		{time.Hour - 5*time.Second, time.Hour, true},
	} {
		if got := steps(c.wall, c.monotonic); got != c.want {
			t.Errorf("wall clock %v, monotonic %v: %v", c.wall, c.monotonic, got)
		}
	}
}

func TestTheFirstPollAfterTheClockWasSetSaysSo(t *testing.T) {
	p := startPeer(t)
	a, err := New(Config{Devices: []Device{twoRequests("d", p, 1, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	u := a.units[0]
	l := newLink(t.Context(), u.endpoint, a.opener, new(busCounters))
	defer l.close()
	for poll, set := range []bool{false, false, true, false} {
		if set {
			u.clock.wall = u.clock.wall.Add(time.Hour) // as if it had been set back since
		}
		b, err := u.read(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range b.Samples {
			if s.Quality.Has(telemetry.ClockJumped) != set {
				t.Errorf("poll %d: signal %d is %v", poll, s.Signal, s.Quality)
			}
		}
		if live := b.Samples[len(b.Samples)-1].Signal == u.Live; live != (set || poll == 0) {
			t.Errorf("poll %d: the live signal is there: %v", poll, live)
		}
	}
}
