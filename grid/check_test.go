package grid_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/grid/gridfile"
)

// sound is a network with which nothing is wrong. Each case changes a line of it,
// or adds some.
const sound = `zones:
  - {id: north}
substations:
  - {id: SS}
nodes:
  - {id: bus, type: busbar, substation: SS, voltage: 20 kV}
sources:
  - {id: supply, node: bus}
feeders:
  - {id: F1, substation: SS, head: CB1}
  - {id: F2, head: CB2}
lines:
  - {id: L1, from: f1, to: t1}
  - {id: L2, from: f2, to: t2}
  - {id: C1, from: lv1, to: c1, phases: AB}
switches:
  - {id: CB1, from: bus, to: f1, type: breaker, substation: SS, signal: Pos}
  - {id: CB2, from: bus, to: f2, type: breaker, substation: SS}
  - {id: TIE, from: t1, to: t2, type: load-switch, normally_open: true}
transformers:
  - {id: T1, from: t1, to: lv1, rated_power: 630 kVA, high_voltage: 20 kV, low_voltage: 400 V}
service_points:
  - {id: P1, node: c1, phases: A, customers: 12}
  - {id: P2, node: lv1}
  - {id: P3, node: t2}
`

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change string // a line, by its id
		add    string // section: entry; …
		want   string // place, severity, message and code of each finding
	}{
		"nothing":               {},
		"bad id":                {add: `zones: {id: " x"}`, want: "g.yaml:3:5: error:  x: the id of this zone begins or ends with a space [bad-id]"},
		"long id":               {add: "zones: {id: " + strings.Repeat("x", 129) + "}", want: "g.yaml:3:5: error: " + strings.Repeat("x", 129) + ": the id of this zone has 129 characters, expected at most 128 [bad-id]"},
		"empty id":              {add: `zones: {id: ""}`, want: "g.yaml:3:5: error: the id of this zone is missing [bad-id]"},
		"a line break in an id": {add: `zones: {id: "a\nb"}`, want: "g.yaml:3:5: error: a\nb: the id of this zone has a character that can't be printed [bad-id]"},
		"twice": {add: "lines: {id: L1, from: t1, to: f1, out_of_service: true}",
			want: "g.yaml:14:5: error: L1: there is another line of this id at g.yaml:13:5 [duplicate-id]"},
		"twice, in two kinds": {add: "zones: {id: SS}", want: "g.yaml:5:5: error: SS: this substation has the id of a zone at g.yaml:3:5 [duplicate-id]"},
		"overlapping": {change: `{id: L1, from: f1, to: t1, valid_to: "2030-01-02T00:00:00Z"}`, add: `lines: {id: L1, from: t1, to: f1, valid_from: "2030-01-01T00:00:00Z"}`,
			want: "g.yaml:14:5: error: L1: its validity overlaps with that of the line of the same id at g.yaml:13:5 [overlapping-validity]"},
		"one after the other": {change: `{id: L1, from: f1, to: t1, valid_to: "2030-01-02T00:00:00Z"}`, add: `lines: {id: L1, from: t1, to: f1, valid_from: "2030-01-02T00:00:00Z"}`},
		"ends before it begins": {change: `{id: TIE, from: t1, to: t2, type: load-switch, normally_open: true, valid_from: "2030-01-02T00:00:00Z", valid_to: "2030-01-02T00:00:00Z"}`,
			want: "g.yaml:19:5: error: TIE: valid_to 2030-01-02T00:00:00Z is not after valid_from 2030-01-02T00:00:00Z [validity]"},
		"unknown substation": {change: "{id: CB1, from: bus, to: f1, type: breaker, substation: SX, signal: Pos}",
			want: "g.yaml:17:5: error: CB1: substation: there is no substation SX, did you mean SS? [unknown-reference]"},
		"unknown zone": {change: "{id: P3, node: t2, zone: nowhere}", want: "g.yaml:25:5: error: P3: zone: there is no zone nowhere [unknown-reference]"},
		"unknown head": {change: "{id: F2, head: CB3}", want: "g.yaml:11:5: error: F2: head: there is no switch, line or transformer CB3, did you mean CB1? [unknown-reference]"},
		"another kind": {change: "{id: F2, head: P1}", want: "g.yaml:11:5: error: F2: head: P1 is a service point, expected a switch, line or transformer [unknown-reference]"},
		"zones in a circle": {change: "{id: north, parent: south}", add: "zones: {id: south, parent: north}",
			want: "g.yaml:2:5: error: north: parent: the zone contains itself, by way of south [unknown-reference]"},
		"zones in a circle for some time": {change: `{id: north, parent: south, valid_to: "2030-01-02T00:00:00Z"}`,
			add:  `zones: {id: north, valid_from: "2030-01-02T00:00:00Z"}; zones: {id: south, parent: north}; zones: {id: west, parent: south}`,
			want: "g.yaml:2:5: error: north: parent: the zone contains itself, by way of south [unknown-reference]"},
		"a node that is a line": {change: "{id: P3, node: L2}", want: `g.yaml:25:5: error: P3: node: L2 is a line, expected a node [unknown-reference]
g.yaml:25:5: error: P3: nothing supplies it: no line, switch or transformer is at node L2 [not-connected]`},
		"a substation that comes later": {change: `{id: SS, valid_from: "2020-01-01T00:00:00Z"}`, want: `g.yaml:6:5: error: bus: substation: SS is not valid for all of the time that this is [reference-not-valid]
g.yaml:10:5: error: F1: substation: SS is not valid for all of the time that this is [reference-not-valid]
g.yaml:17:5: error: CB1: substation: SS is not valid for all of the time that this is [reference-not-valid]
g.yaml:18:5: error: CB2: substation: SS is not valid for all of the time that this is [reference-not-valid]`},
		"a node that comes later": {change: `{id: bus, type: busbar, voltage: 20 kV, valid_from: "2020-01-01T00:00:00Z"}`, want: `g.yaml:8:5: error: supply: node: node bus is not valid for all of the time that this is [reference-not-valid]
g.yaml:17:5: error: CB1: from: node bus is not valid for all of the time that this is [reference-not-valid]
g.yaml:18:5: error: CB2: from: node bus is not valid for all of the time that this is [reference-not-valid]`},
		"negative customers":    {change: "{id: P1, node: c1, phases: A, customers: -1}", want: "g.yaml:23:5: error: P1: it has -1 customers, expected 0 or more [negative-customers]"},
		"both ends at one node": {add: "lines: {id: L0, from: f1, to: f1}", want: "g.yaml:14:5: error: L0: both its ends are at node f1 [same-node]"},
		"equal voltages":        {change: "{id: T1, from: t1, to: lv1, high_voltage: 20 kV, low_voltage: 20 kV}", want: "g.yaml:21:5: warning: T1: both its windings are for 20 kV [same-voltage]"},
		"the wrong way round": {change: "{id: T1, from: lv1, to: t1, high_voltage: 400 V, low_voltage: 20 kV}",
			want: "g.yaml:21:5: error: T1: its high voltage, 400 V, is below its low voltage, 20 kV [same-voltage]"},
		"for another voltage": {change: "{id: L1, from: f1, to: t1, voltage: 10 kV}", want: `g.yaml:13:5: error: L1: its voltage is 10 kV, and node t1 has 20 kV, by T1 [voltage-mismatch]
g.yaml:17:5: error: CB1: it joins two voltages: node bus with 20 kV, by bus; and node f1 with 10 kV, by L1 [voltage-mismatch]`},
		"between two voltages": {add: "switches: {id: X, from: t2, to: lv1, type: fuse, normally_open: true}",
			want: "g.yaml:18:5: error: X: it joins two voltages: node t2 with 20 kV, by T1; and node lv1 with 400 V, by T1 [voltage-mismatch]"},
		"a service point of another voltage": {change: "{id: P3, node: t2, voltage: 400 V}", want: "g.yaml:25:5: error: P3: its voltage is 400 V, and node t2 has 20 kV, by T1 [voltage-mismatch]"},
		"rated a little higher":              {change: "{id: T1, from: t1, to: lv1, high_voltage: 21 kV, low_voltage: 420 V}"},
		"phases of a line": {change: "{id: L1, from: f1, to: t1, phases: A}", want: `g.yaml:15:5: error: C1: it has phases AB, and what supplies it at node lv1 only A [phases]
g.yaml:21:5: error: T1: it has phases ABC, and what supplies it at node t1 only A [phases]
g.yaml:24:5: error: P2: it has phases ABC, and what supplies it at node lv1 only A [phases]`},
		"phases of a service point": {change: "{id: P1, node: c1, phases: BC}", want: "g.yaml:23:5: error: P1: it has phases BC, and what supplies it at node c1 only AB [phases]"},
		"no phase in common": {add: "lines: {id: D1, from: c1, to: d1, phases: C}; service_points: {id: P4, node: d1, phases: C}",
			want: `g.yaml:14:5: error: D1: it is in a part that no source feeds: 1 node (d1), 1 service point with 1 customer; only what is open joins it to the rest: D1 [island]
g.yaml:14:5: error: D1: it has phase C, which nodes c1 and d1 don't both have [phases]`},
		"no source": {change: `{id: supply, node: bus, valid_to: "2000-01-01T00:00:00Z"}`, want: "error: no source feeds the network, which has 7 nodes and 3 service points; expected at least one in sources [no-source]"},
		"an island": {change: "{id: CB2, from: bus, to: f2, type: breaker, substation: SS, normally_open: true}", want: `g.yaml:11:5: error: F2: its head CB2 supplies nothing in normal operation: it is open, or closes a loop [feeder-without-supply]
g.yaml:18:5: error: CB2: it is in a part that no source feeds: 2 nodes (f2, t2), 1 service point with 1 customer; only what is open joins it to the rest: CB2, TIE [island]`},
		"an island without service points": {add: "lines: {id: X, from: x1, to: x2}", want: `g.yaml:14:5: warning: X: it is in a part that no source feeds: 2 nodes (x1, x2), no service points; nothing joins it to the rest [island]
g.yaml:14:5: warning: X: nothing else is connected to its node x1 [nothing-attached]
g.yaml:14:5: warning: X: nothing else is connected to its node x2 [nothing-attached]`},
		"a service point without a network": {change: "{id: P3, node: t3}", want: `g.yaml:25:5: error: P3: nothing supplies it: no line, switch or transformer is at node t3 [not-connected]`},
		"a loop":                            {change: "{id: TIE, from: t1, to: t2, type: load-switch}", want: "g.yaml:19:5: warning: TIE: it closes a loop of 5 edges in normal operation; the switches on it are TIE, CB1, CB2 [loop]"},
		"a loop without switches":           {add: "lines: {id: L1b, from: f1, to: t1}", want: "g.yaml:14:5: warning: L1b: it closes a loop of 2 edges in normal operation; there is no switch on it [loop]"},
		"two sources":                       {add: "sources: {id: other, node: t2}", want: "g.yaml:15:5: warning: L2: it joins sources supply and other over 2 edges in normal operation; the switches on it are CB2 [loop]"},
		"an empty substation":               {add: "substations: {id: X}", want: "g.yaml:5:5: warning: X: nothing is in this substation [nothing-attached]"},
		"a node by itself":                  {add: "nodes: {id: X}", want: "g.yaml:7:5: warning: X: nothing is connected to this node [nothing-attached]"},
		"a source by itself":                {add: "sources: {id: X, node: x}", want: "g.yaml:9:5: warning: X: nothing is connected to its node x [nothing-attached]"},
		"an open end":                       {add: "lines: {id: X, from: t1, to: x}", want: "g.yaml:14:5: warning: X: nothing else is connected to its node x [nothing-attached]"},
		"an end that is known":              {add: "lines: {id: X, from: t1, to: x}; nodes: {id: x, type: cabinet}"},
		"a feeder of a load switch": {change: "{id: CB2, from: bus, to: f2, type: load-switch, substation: SS}",
			want: "g.yaml:11:5: warning: F2: its head CB2 is a load-switch, expected a breaker, recloser or fuse, so that a fault on it costs no other feeder its supply [feeder-without-breaker]"},
		"a feeder of a line":         {change: "{id: F2, head: L2}", want: "g.yaml:11:5: warning: F2: its head L2 is a line, expected a breaker, recloser or fuse, so that a fault on it costs no other feeder its supply [feeder-without-breaker]"},
		"a feeder of nothing":        {change: "{id: F2}", want: "g.yaml:11:5: warning: F2: it has no head, expected the circuit breaker that supplies it [feeder-without-breaker]"},
		"two feeders of one breaker": {change: "{id: F2, head: CB1}", want: "g.yaml:11:5: error: F2: its head CB1 is that of feeder F1 too [feeder-without-supply]"},
		"a device without a signal": {change: "{id: TIE, from: t1, to: t2, type: load-switch, normally_open: true, device: rtu}",
			want: "g.yaml:19:5: error: TIE: it has a device or a gateway and no signal, expected the signal that shows its position [position-signal]"},
		"a gateway without a device": {change: "{id: TIE, from: t1, to: t2, type: load-switch, normally_open: true, gateway: gw, signal: Pos}",
			want: "g.yaml:19:5: error: TIE: it has a gateway and no device, expected the device that has the signal [position-signal]"},
	} {
		t.Run(name, func(t *testing.T) {
			m, findings := gridfile.ReadYAML("g.yaml", []byte(changed(t, c.change, c.add)))
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			var lines []string
			for _, f := range m.Check(1_700_000_000_000_000) {
				lines = append(lines, f.String()+" ["+f.Code+"]")
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// changed is the sound network with an entry in place of the one of its id, and
// others at the end of their sections' first entry.
func changed(t *testing.T, entry, add string) string {
	lines := strings.Split(sound, "\n")
	if entry != "" {
		id, _, _ := strings.Cut(strings.TrimSuffix(entry, "}"), ",")
		at := slices.IndexFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, "  - "+id+",") || strings.HasPrefix(l, "  - "+id+"}")
		})
		if at < 0 {
			t.Fatalf("there is no %s", id)
		}
		lines[at] = "  - " + entry
	}
	if add != "" {
		for _, one := range strings.Split(add, "; ") {
			section, entry, _ := strings.Cut(one, ": ")
			at := slices.Index(lines, section+":")
			lines = slices.Insert(lines, at+2, "  - "+entry)
		}
	}
	return strings.Join(lines, "\n")
}
