package link

import (
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/apdu"
)

// What has come is acknowledged when it was released: when w are, or at once; never more,
// unless t2 is over for it, also while the transfer is being stopped.
func TestHold(t *testing.T) {
	c := Config{T1: 15 * time.Second, T2: 10 * time.Second, T3: time.Hour, K: 12, W: 3, Hold: true}
	s := started(t, c, Controlling)
	come := func(n uint16, at time.Duration) {
		t.Helper()
		if _, err := s.Receive(i(n, 0), after(at)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range uint16(5) {
		come(n, time.Duration(n)*time.Second)
	}
	says(t, s)
	s.Release(2, false)
	says(t, s)
	s.Release(4, false)
	says(t, s, ack(4))
	s.Release(3, true) // which is known
	s.Release(9, true) // which hasn't come
	says(t, s)
	if err := s.Send([]byte{1}, after(5*time.Second)); err != nil {
		t.Fatal(err)
	}
	says(t, s, i(0, 4))
	come(5, 8*time.Second)
	if d := s.Deadline(); d != after(14*time.Second) { // of what came at 4 s
		t.Errorf("%v", d.Sub(now))
	}
	s.Tick(after(14 * time.Second))
	says(t, s, ack(5))
	s.Release(5, false)
	says(t, s)
	s.Release(6, true)
	says(t, s, ack(6))
	come(6, 15*time.Second)
	s.Stop(after(15 * time.Second))
	says(t, s, u(apdu.StopAct))
	come(7, 16*time.Second)
	says(t, s)
	s.Release(8, true)
	says(t, s, ack(8))
}
