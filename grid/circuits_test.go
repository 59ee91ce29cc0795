package grid_test

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/grid/gridfile"
)

func TestCircuits(t *testing.T) {
	m, findings := gridfile.ReadYAML("g.yaml", []byte(`
sources:
  - {id: supply, node: hv}
lines:
  - {id: LHV, from: hv, to: hv2}
  - {id: L1, from: a2, to: t1}
  - {id: L2, from: b1, to: t2}
  - {id: L3, from: bus, to: t3}
  - {id: L4, from: d1, to: t4}
  - {id: L5, from: bus, to: nobody}
  - {id: L6, from: t1, to: t6}
  - {id: LV, from: lv, to: house}
switches:
  - {id: CB0, from: mv, to: bus, type: breaker, substation: S}
  - {id: DS1, from: bus, to: a1, type: disconnector}
  - {id: CB1, from: a1, to: a2, type: breaker, substation: S}
  - {id: LS2, from: bus, to: b1, type: load-switch}
  - {id: CB4, from: bus, to: d0, type: breaker}
  - {id: DS4, from: d0, to: d1, type: disconnector}
  - {id: FLV, from: lvbus, to: lv, type: fuse}
substations:
  - {id: S}
transformers:
  - {id: T0, from: hv2, to: mv, high_voltage: 110 kV, low_voltage: 20 kV}
  - {id: T1, from: t1, to: lvbus, high_voltage: 20 kV, low_voltage: 400 V}
service_points:
  - {id: p1, node: house}
  - {id: p2, node: t2}
  - {id: p3, node: t3}
  - {id: p4, node: t4}
`))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	var got []string
	for _, f := range m.At(0).Circuits() {
		got = append(got, f.ID+" "+f.Head+" "+f.Substation)
	}
	// The line from the source; and from the station behind T0 L1 behind its
	// breaker, L2 behind what switches it, L3, which nothing switches, and L4,
	// whose breaker isn't next to it. Nothing on low voltage.
	if want := "feeder-LHV LHV |feeder-L3 L3 |feeder-LS2 LS2 |feeder-CB1 CB1 S|feeder-CB4 CB4 "; strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
}
