package outage_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/grid/gridfile"
)

// twoFeeders is a busbar with two feeders, n and s, of six meters each, which say that they
// are powered so.
func twoFeeders(t *testing.T, powered string) *desk {
	t.Helper()
	text := `
sources: [{id: grid, node: bus}]
feeders: [{id: north, head: north-breaker}, {id: south, head: south-breaker}]
switches: [{id: north-breaker, from: bus, to: n, type: breaker}, {id: south-breaker, from: bus, to: s, type: breaker}]
lines: [{id: north-line, from: n, to: n1}, {id: south-line, from: s, to: s1}]
service_points:
`
	for _, place := range []string{"n", "s"} {
		for i := range 6 {
			text += fmt.Sprintf("  - {id: %s-%d, node: %s1}\n", place, i, place)
		}
	}
	m, findings := gridfile.ReadYAML("two.yaml", []byte(text))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	d := &desk{t: t, at: 1e12, network: m.At(1e12)}
	d.e = outage.New(d.network, outage.Defaults(), d.at)
	for _, place := range []string{"n", "s"} {
		for i := range 6 {
			d.tell(outage.Evidence{Kind: outage.Meter, Point: fmt.Sprintf("%s-%d", place, i), Gateway: "gw-" + place, PoweredBy: powered})
		}
	}
	d.pass(10 * time.Minute)
	return d
}

var six = []int{0, 1, 2, 3, 4, 5}

// That a meter with a supply of its own answers says nothing of what it measures.
func TestAMeterWithItsOwnSupplyAnswers(t *testing.T) {
	for powered, out := range map[string]int{"auxiliary": 6, "measured": 0} {
		d := twoFeeders(t, powered)
		d.each(outage.LastGasp, "n", six...)
		d.pass(time.Minute)
		if x := d.only(); len(x.Out) != 6 {
			t.Fatalf("%s: %d are out", powered, len(x.Out))
		}
		for _, kind := range []outage.Kind{outage.Answer, outage.PingAnswered} {
			d.each(kind, "n", six...)
			d.pass(time.Minute)
		}
		n := 0
		for _, x := range d.open() {
			n += len(x.Out)
		}
		if n != out {
			t.Errorf("%s: %d are out after the meters answered, expected %d", powered, n, out)
		}
	}
}

// People say when they have operated a switch, however long ago that was; what a gateway says
// is believed for five minutes.
func TestWhenASwitchWasOperated(t *testing.T) {
	for by, ago := range map[string]time.Duration{"ana": 20 * time.Minute, outage.Telemetry: 0, "": 0} {
		d := twoFeeders(t, "measured")
		open, at := true, d.at
		d.tell(outage.Evidence{Kind: outage.Position, Switch: "north-breaker", Open: &open, By: by, Source: at - 20*60e6})
		d.pass(time.Second)
		if x := d.only(); x.Start < at-ago.Microseconds() || x.Start > at-ago.Microseconds()+1e6 || len(x.Out) != 6 {
			t.Errorf("by %q: it began %v ago, expected %v", by, time.Duration(at-x.Start)*time.Microsecond, ago)
		}
	}
}

// An outage that was merged into another one stays out when the device of that closes, though
// its gateway can't say so.
func TestAnotherDeviceOfAMergedOutageCloses(t *testing.T) {
	d := twoFeeders(t, "measured")
	d.position("north-breaker", true)
	for _, place := range []string{"n", "s"} {
		d.each(outage.LastGasp, place, six...)
		d.tell(outage.Evidence{Kind: outage.GatewayGone, Gateway: "gw-" + place})
		d.pass(4 * time.Minute)
	}
	byPlace := map[byte]outage.Incident{}
	for _, x := range d.open() {
		byPlace[x.Out[0][0]] = x
	}
	if len(byPlace) != 2 {
		t.Fatalf("%d outages, expected one of each feeder", len(byPlace))
	}
	d.tell(outage.Evidence{Kind: outage.Merge, Incident: byPlace['s'].ID, Into: byPlace['n'].ID, By: "ana"})
	d.pass(time.Minute)
	if x := d.only(); len(x.Out) != 12 {
		t.Fatalf("%d are out in both", len(x.Out))
	}
	closed := false
	d.tell(outage.Evidence{Kind: outage.Position, Switch: "north-breaker", Open: &closed, By: "ana"})
	for range 240 {
		d.pass(time.Second)
	}
	out := map[byte]int{}
	for _, x := range d.open() {
		for _, id := range x.Out {
			out[id[0]]++
		}
	}
	if out['s'] != 6 || out['n'] != 0 {
		t.Errorf("%d are out on the feeder that is open, and %d on the one that has closed", out['s'], out['n'])
	}
}
