package outage_test

import (
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/outage"
)

// Answers from before an outage don't date its end.
func TestSignsOfSupplyFromBeforeDontDateItsEnd(t *testing.T) {
	d := newDesk(t, "")
	d.each(outage.Answer, "m1")
	d.pass(20 * time.Second)
	d.each(outage.LastGasp, "m1")
	d.pass(time.Hour)
	back := d.at
	d.each(outage.PowerUp, "m1")
	d.pass(time.Minute)
	if x := d.e.Incidents()[0]; x.RestoredAt != back {
		t.Errorf("supply was back %v before it was", time.Duration(back-x.RestoredAt)*time.Microsecond)
	}
}

// Somebody else who tells that a device is open doesn't say that it will reclose.
func TestALockoutLastsUntilItCloses(t *testing.T) {
	d := newDesk(t, "")
	open := true
	d.tell(outage.Evidence{Kind: outage.Position, Switch: "north-breaker", Open: &open, LockedOut: true})
	d.at += 1e5
	d.position("north-breaker", true)
	d.pass(4 * time.Second)
	if x := d.only(); !x.Announced() {
		t.Errorf("%+v", x)
	}
}
