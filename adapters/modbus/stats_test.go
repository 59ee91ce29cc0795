package modbus

import (
	"math"
	"testing"
	"time"
)

func TestUse(t *testing.T) {
	var u use
	at := time.Now()
	if got := u.now(at); got != 0 {
		t.Errorf("%v before the first exchange", got)
	}
	check := func(what string, want float64) {
		t.Helper()
		if got := u.now(at); math.Abs(got-want) > 0.02 {
			t.Errorf("%s: %.3f, expected %.3f", what, got, want)
		}
	}
	exchanges := func(n int, busy, idle time.Duration) {
		for range n {
			u.spent(at, at.Add(busy))
			at = at.Add(busy + idle)
		}
	}
	exchanges(50, 60*time.Millisecond, 40*time.Millisecond)
	check("after 5 s at 60 %", 0.6)
	exchanges(1200, 60*time.Millisecond, 40*time.Millisecond)
	check("after two minutes", 0.6)
	exchanges(1200, 10*time.Millisecond, 90*time.Millisecond)
	check("two minutes after it fell to 10 %", 0.1)
	at = at.Add(10 * time.Minute)
	check("idle", 0)
}
