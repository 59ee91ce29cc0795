package edge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// What happens while nobody hears goes out when somebody does, in order, as of the past,
// behind the births that tell what is current.
func TestStoreAndForward(t *testing.T) {
	p := newPlant(t, "")
	p.born()
	p.next()
	p.now = p.now.Add(time.Hour) // what was published before has arrived
	p.e.Lost(p.now)
	p.volts(1)
	p.volts(2)
	p.volts(2)
	p.lives(live1, false)
	p.take(u2, telemetry.TextValue("open"))
	p.lives(live2, true)
	p.volts(3)
	p.want()
	if p.e.Waiting() != 4 {
		t.Errorf("%d wait", p.e.Waiting())
	}
	p.e.Connected(8)
	p.want(
		"NBIRTH #0 bdSeq=8 Node Control/Rebirth=false Node Info/Values Dropped=0 ClockState=null",
		"DBIRTH m1 #1 PhV.phsA=null engUnit=V", // it isn't there, but was
		"DBIRTH m2 #2 Pos=open",
		"DDATA m1 #3 @2=1 past @2=2 past @2=3 past",
		"DDEATH m1 #4",
	)
	if p.e.Waiting() != 0 {
		t.Errorf("%d wait", p.e.Waiting())
	}
}

// What was published right before the connection was lost is told again: nobody knows
// whether it has arrived.
func TestWhatMayHaveBeenLost(t *testing.T) {
	p := newPlant(t, "")
	p.born()
	p.volts(1)
	p.next()
	p.next()
	p.now = p.now.Add(2 * unsure)
	p.volts(2)
	p.next()
	p.volts(3)
	p.next()
	p.volts(4)
	p.e.Lost(p.now)
	p.volts(5)
	p.e.Connected(8)
	got := p.next()
	if want := "DDATA m1 #2 @2=2 past @2=3 past @2=4 past"; len(got) != 3 || got[2] != want {
		t.Errorf("got\n  %s\nexpected %s at last", strings.Join(got, "\n  "), want)
	}
}

// Who publishes is woken only by what there is to publish.
func TestNews(t *testing.T) {
	p := newPlant(t, "")
	takes := func(v float64, past bool) bool {
		return p.e.Take(1, []telemetry.Sample{{Time: 1, Signal: u1, Value: telemetry.FloatValue(v)}}, past)
	}
	if takes(1, false) {
		t.Error("nobody hears it")
	}
	p.born()
	for _, c := range []struct{ got, want bool }{{takes(2, false), true}, {takes(2, false), false}, {takes(2, true), true}} {
		if c.got != c.want {
			t.Errorf("%v, expected %v", c.got, c.want)
		}
	}
}

// The clock is set while it is published: that makes nothing older. Of a slow connection,
// what was said long ago may still be underway.
func TestWhatMayHaveBeenLostByAnotherClock(t *testing.T) {
	for name, c := range map[string]struct {
		lost func(*plant)
		want string
	}{
		"the clock is set": {func(p *plant) {
			p.next()
			p.e.Next(p.now.Add(24*time.Hour), p.now.Add(time.Second), 1)
			p.e.Lost(p.now.Add(2 * time.Second))
		}, "DDATA m1 #2 @2=230 past @2=1 past"},
		"it takes long": {func(p *plant) { p.e.Lost(p.now.Add(2 * unsure)) }, "DDATA m1 #2 @2=1 past"}, // 230 was before that
	} {
		p := newPlant(t, "")
		p.born()
		p.volts(1)
		p.e.Next(p.now, p.now, 1)
		c.lost(p)
		p.volts(2)
		p.e.Connected(8)
		if got := p.next(); len(got) != 3 || got[2] != c.want {
			t.Errorf("%s: got\n  %s\nexpected %s at last", name, strings.Join(got, "\n  "), c.want)
		}
	}
}

// More is published than can be kept: only if the connection is lost is that given up.
func TestTooMuchMayHaveBeenLost(t *testing.T) {
	p := newPlant(t, "")
	p.born()
	for i := range 3000 {
		p.volts(float64(i))
		p.next()
	}
	if n := p.e.Dropped(); n != 0 {
		t.Fatalf("%d are dropped", n)
	}
	p.e.Lost(p.now)
	if n := p.e.Waiting() + int(p.e.Dropped()); n != 3001 {
		t.Errorf("%d wait, %d are dropped", p.e.Waiting(), p.e.Dropped())
	}
	p.e.Connected(8)
	p.next()
	p.next()
	p.now = p.now.Add(2 * unsure)
	p.next()
	if before := p.e.Dropped(); before < 2000 {
		t.Errorf("%d are dropped", before)
	} else if p.e.Lost(p.now); p.e.Dropped() != before {
		t.Errorf("%d are dropped of what has arrived", p.e.Dropped()-before)
	}
}

// Too much waits: the oldest of whoever has most is given up, and that is told.
func TestTooMuchWaits(t *testing.T) {
	p := newPlant(t, "")
	p.lives(live1, true)
	p.lives(live2, true)
	p.take(u2, telemetry.TextValue("open"))
	for i := range 5000 {
		p.volts(float64(i))
	}
	if p.e.Waiting() > 1000 || p.e.Dropped() < 4000 || p.e.Dropped()+uint64(p.e.Waiting()) != 5001 {
		t.Fatalf("%d wait, %d are dropped", p.e.Waiting(), p.e.Dropped())
	}
	p.e.Connected(0)
	got := p.next()
	if want := fmt.Sprintf("Node Info/Values Dropped=%d", p.e.Dropped()); !strings.Contains(got[0], want) {
		t.Errorf("%s doesn't tell %s", got[0], want)
	}
	last := got[len(got)-1]
	if !strings.HasSuffix(last, "@2=4998 past") {
		t.Errorf("at last %s", last[max(0, len(last)-60):])
	}
}
