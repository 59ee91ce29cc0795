package desk

import (
	"testing"

	"github.com/busbar/busbar/cloud/outage"
)

// When meters had supply again by their own logs is when an outage's customers had.
func TestWhatMetersHaveNotedEndsAnOutage(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 1)
	lost := []outage.Evidence{{Kind: outage.Gateway, Asset: "station", Gateway: "gw"}}
	var noted []outage.Evidence
	began := int64(Now() - seconds(10))
	for _, p := range points(0, 0, 4) {
		lost = append(lost, outage.Evidence{Kind: outage.Meter, Asset: p, Gateway: "gw", PoweredBy: "measured"}, outage.Evidence{Kind: outage.LastGasp, Asset: p, Gateway: "gw", Source: began})
	}
	r.note(lost...)
	o := r.one("an outage of the feeder", announced)
	back := began + int64(seconds(8)) // neither its beginning nor when it is told
	for _, p := range points(0, 0, 4) {
		noted = append(noted, outage.Evidence{Kind: outage.Interrupted, Asset: p, Gateway: "gw", Since: began, Source: back})
	}
	r.note(noted...)
	o = r.one("its end", func(o Outage) bool { return !o.State.Out() })
	_, _, steps := r.get(o.ID)
	if len(steps) != 1 || steps[0].Customers != 80 || int64(steps[0].At) != back {
		t.Errorf("%+v, %+v, expected one step at %d", o, steps, back)
	}
}
