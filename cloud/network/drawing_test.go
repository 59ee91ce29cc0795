package network

import (
	"fmt"
	"strings"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridtest"
	"github.com/busbar/busbar/telemetry"
)

func northNow(t *testing.T) *Network {
	t.Helper()
	m := read(t, north)
	return At(&m, 1, telemetry.MicrosOf(noon))
}

func TestOneLine(t *testing.T) {
	n := northNow(t)
	d := n.OneLine("f1", everything)
	var nodes, branches []string
	for _, v := range d.Nodes {
		nodes = append(nodes, fmt.Sprintf("%s(%d,%d)%d", v.ID, v.Column, v.Row, v.Customers))
	}
	for _, b := range d.Branches {
		branches = append(branches, fmt.Sprintf("%s:%s %s-%s", b.ID, b.Type, d.Nodes[b.From].ID, d.Nodes[b.To].ID))
	}
	if got, want := strings.Join(nodes, " "), "hv(0,0)0 bus(0,1)0 f1-a(0,2)0 f1-b(0,3)0 lv(0,4)6"; got != want {
		t.Errorf("nodes %s, want %s", got, want)
	}
	if got, want := strings.Join(branches, ", "), "T1: hv-bus, b1:breaker bus-f1-a, L1:unknown f1-a-f1-b, T2: f1-b-lv"; got != want {
		t.Errorf("branches %s, want %s", got, want)
	}
	if !d.Nodes[4].Counted || d.Nodes[3].Counted || !d.Nodes[1].Busbar || d.Branches[1].Position.Name != "Pos" || d.Branches[1].Position.Gateway != "gw" {
		t.Errorf("%+v", d)
	}
	if len(d.Ties) != 1 || d.Ties[0].ID != "tie" || d.Ties[0].Other != "f2" || d.Ties[0].OtherNode != "f2-b" || d.Ties[0].Within != -1 || d.Nodes[d.Ties[0].At].ID != "f1-b" {
		t.Errorf("ties: %+v", d.Ties)
	}
	for id, want := range map[string]string{"P1": "f1", "L2": "f2", "f2-b": "f2", "T2": "f1", "b2": "f2"} {
		if d := n.OneLine(id, everything); d == nil || d.Feeder != want {
			t.Errorf("%s is on %+v, want %s", id, d, want)
		}
	}
	for _, id := range []string{"", "nothing", "T1", "station"} {
		if d := n.OneLine(id, everything); d != nil {
			t.Errorf("%s is on %s", id, d.Feeder)
		}
	}
}

// Who sees a part is neither told of the rest, nor are its customers counted.
func TestOneLineOfSomeZones(t *testing.T) {
	n := northNow(t)
	if d := n.OneLine("f1", func(zone string) bool { return zone == "village" }); d != nil {
		t.Errorf("a feeder of another zone: %+v", d)
	}
	d := n.OneLine("f2", func(zone string) bool { return zone == "region" })
	for _, v := range d.Nodes {
		if v.Customers != 0 {
			t.Errorf("%s has %d customers of another zone", v.ID, v.Customers)
		}
	}
}

// No two nodes share a place, what supplies a node is right above it or to its left, and
// branches that go to the right cross nothing.
func TestOneLinesDoNotOverlap(t *testing.T) {
	m := gridtest.Radial(3000, 7)
	n := At(m, 1, telemetry.MicrosOf(noon))
	for f := range n.Feeders() {
		d := n.OneLine(n.Feeder(f).ID, everything)
		taken := map[[2]int]bool{}
		for _, v := range d.Nodes {
			if at := [2]int{v.Column, v.Row}; taken[at] {
				t.Fatalf("%s: two nodes at %v", d.Feeder, at)
			} else {
				taken[at] = true
			}
			if v.Column >= d.Columns || v.Row >= d.Rows || v.Column < 0 {
				t.Fatalf("%s: %+v is outside of %d x %d", d.Feeder, v, d.Columns, d.Rows)
			}
		}
		below := map[int]int{}
		customers := int64(0)
		for _, b := range d.Branches {
			from, to := d.Nodes[b.From], d.Nodes[b.To]
			if to.Row != from.Row+1 || to.Column < from.Column {
				t.Fatalf("%s: %s goes from %+v to %+v", d.Feeder, b.ID, from, to)
			}
			if below[b.From]++; below[b.From] == 1 && to.Column != from.Column {
				t.Fatalf("%s: the first branch at %s isn't straight", d.Feeder, from.ID)
			}
			// It is drawn along the row of its node, and then down: nothing else may come down there.
			for c := from.Column + 1; c <= to.Column; c++ {
				if taken[[2]int{c, from.Row}] {
					t.Fatalf("%s: %s passes through a node at %d, %d", d.Feeder, b.ID, c, from.Row)
				}
			}
		}
		for _, v := range d.Nodes {
			customers += v.Customers
		}
		head := n.EdgeOf(d.Head)
		if want := n.Normal().CustomersBelow(n.Normal().Below(head)); customers != want {
			t.Errorf("%s: %d customers, want %d", d.Feeder, customers, want)
		}
		if d.Columns > 40 {
			t.Errorf("%s is %d columns wide", d.Feeder, d.Columns)
		}
	}
}

func TestMap(t *testing.T) {
	m := read(t, strings.Replace(north, "substations: [{id: station, zone: region}", "substations: [{id: station, zone: region, position: 9 51}", 1))
	n := At(&m, 1, telemetry.MicrosOf(noon))
	all := n.Map(everything)
	var points []string
	for _, p := range all.Points {
		points = append(points, fmt.Sprintf("%s@%g,%g", n.PointAsset(p.Index).ID, p.At.X, p.At.Y))
	}
	// P2 is at P1's node, of which P1 says where it is; of P3's feeder nothing does but the station.
	if got, want := strings.Join(points, " "), "P1@9.5,51.25 P2@9.5,51.25 P3@9,51"; got != want {
		t.Errorf("points %s, want %s", got, want)
	}
	if len(all.Substations) != 1 || all.PointsNowhere != 0 || len(all.Lines) != 0 || all.LinesNowhere != 2 {
		t.Errorf("%+v", all)
	}
	village := n.Map(func(zone string) bool { return zone == "village" })
	if len(village.Points) != 3 || len(village.Devices) != 1 || n.EdgeAsset(village.Devices[0].Index).ID != "T2" || len(village.Substations) != 0 || village.LinesNowhere != 0 {
		t.Errorf("of the village: %+v", village)
	}
	m = read(t, strings.Replace(north, "position: 9.5 51.25", "", 1))
	if bare := At(&m, 1, telemetry.MicrosOf(noon)).Map(everything); len(bare.Points) != 0 || bare.PointsNowhere != 3 || bare.DevicesNowhere != 5 {
		t.Errorf("without any position: %+v", bare)
	}
}

func BenchmarkMap100k(b *testing.B) {
	m := gridtest.Radial(100_000, 1)
	for i := range m.Nodes {
		m.Nodes[i].Position = grid.Position{X: float64(i), Y: float64(i), Known: true}
	}
	n := At(m, 1, telemetry.MicrosOf(noon))
	for b.Loop() {
		n.Map(everything)
	}
}
