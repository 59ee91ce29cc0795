package outage_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/grid/gridfile"
)

// One feeder comes back, and seconds later, before its meters have said so, another one of
// the same transformer fails.
func TestOneFeederAfterTheOther(t *testing.T) {
	text := `
sources: [{id: grid, node: hv}]
transformers: [{id: T1, from: hv, to: bus, rated_power: 1 MVA, high_voltage: 20 kV, low_voltage: 400 V}]
feeders: [{id: north, head: north-breaker}, {id: south, head: south-breaker}]
switches:
  - {id: north-breaker, from: bus, to: n, type: breaker, signal: Pos}
  - {id: south-breaker, from: bus, to: s, type: breaker, signal: Pos}
service_points:
`
	for _, place := range []string{"n", "s"} {
		for i := range 12 {
			text += fmt.Sprintf("  - {id: %s-%d, node: %s}\n", place, i, place)
		}
	}
	m, findings := gridfile.ReadYAML("two.yaml", []byte(text))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	d := &desk{t: t, at: 1e12, network: m.At(1e12)}
	d.e = outage.New(d.network, outage.Defaults(), d.at)
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	for _, place := range []string{"n", "s"} {
		for _, i := range all {
			d.tell(outage.Evidence{Kind: outage.Meter, Point: fmt.Sprintf("%s-%d", place, i), Gateway: "gw", PoweredBy: "measured"})
		}
	}
	d.position("north-breaker", false)
	d.position("south-breaker", false)
	d.pass(10 * time.Minute)
	d.position("north-breaker", true)
	d.each(outage.Timeout, "n", all...)
	d.pass(20 * time.Second)
	d.position("north-breaker", false)
	d.pass(2 * time.Second)
	d.position("south-breaker", true)
	d.pass(time.Second)
	d.each(outage.Timeout, "s", all...)
	for range 6 {
		d.pass(time.Second)
		d.onlyBehind("south-breaker", 12)
	}
	d.each(outage.Answer, "n", all...)
	for range 20 {
		d.pass(10 * time.Second)
		d.onlyBehind("south-breaker", 12)
	}
	if x := d.only(); x.Device != "south-breaker" || len(x.Out) != 12 || len(x.Ever) != 12 {
		t.Errorf("behind %s are %d out, and %d ever were", x.Device, len(x.Out), len(x.Ever))
	}
}

// onlyBehind checks that all who are out are so behind one device.
func (d *desk) onlyBehind(device string, n int) {
	d.t.Helper()
	out := 0
	for _, x := range d.open() {
		if out += len(x.Out); len(x.Out) > 0 && x.Device != device {
			d.t.Errorf("%d are out behind %s", len(x.Out), x.Device)
		}
	}
	if out != n {
		d.t.Errorf("%d are out", out)
	}
}
