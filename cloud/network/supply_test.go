package network

import (
	"testing"

	"github.com/busbar/busbar/grid/gridtest"
	"github.com/busbar/busbar/telemetry"
)

func TestSupplied(t *testing.T) {
	n := northNow(t)
	for name, of := range map[string]struct {
		edges, nodes map[string]Supply
		apart        bool
		want         map[string]Supply
	}{
		"normal operation":          {want: map[string]Supply{"hv": Live, "bus": Live, "f1-b": Live, "lv": Live, "f2-b": Live}},
		"a transformer out":         {edges: map[string]Supply{"T1": Dead}, want: map[string]Supply{"hv": Live, "bus": Dead, "lv": Dead, "f2-b": Dead}},
		"perhaps out":               {edges: map[string]Supply{"T1": Unknown}, want: map[string]Supply{"hv": Live, "bus": Unknown, "lv": Unknown, "f2-b": Unknown}},
		"by the tie":                {edges: map[string]Supply{"b1": Dead, "tie": Live}, want: map[string]Supply{"bus": Live, "f1-a": Live, "lv": Live}},
		"perhaps by the tie":        {edges: map[string]Supply{"b1": Dead, "tie": Unknown}, want: map[string]Supply{"f1-a": Unknown, "f2-b": Live}},
		"sure is more than perhaps": {edges: map[string]Supply{"b1": Unknown, "tie": Live}, want: map[string]Supply{"f1-a": Live}},
		"without the source":        {nodes: map[string]Supply{"hv": Dead}, want: map[string]Supply{"hv": Dead, "bus": Dead, "lv": Dead}},
		"an unknown source":         {nodes: map[string]Supply{"hv": Unknown}, want: map[string]Supply{"hv": Unknown, "bus": Unknown, "lv": Unknown}},
		"a dead busbar":             {nodes: map[string]Supply{"bus": Dead}, want: map[string]Supply{"hv": Live, "bus": Dead, "f2-b": Dead}},
		"dead though perhaps":       {nodes: map[string]Supply{"bus": Dead}, edges: map[string]Supply{"T1": Unknown}, want: map[string]Supply{"bus": Dead}},
		"without the feeder":        {apart: true, edges: map[string]Supply{"tie": Live}, want: map[string]Supply{"bus": Live, "f1-a": Dead, "f1-b": Dead, "f2-b": Live}},
		"not through it either":     {apart: true, edges: map[string]Supply{"tie": Live, "b2": Dead}, want: map[string]Supply{"bus": Live, "f2-b": Dead}},
	} {
		o := Operated{Edges: map[int]Supply{}, Nodes: map[int]Supply{}}
		for id, is := range of.edges {
			o.Edges[n.EdgeOf(id)] = is
		}
		for id, is := range of.nodes {
			o.Nodes[n.Node(id)] = is
		}
		var cut func(int) bool
		if of.apart {
			cut = n.Apart(n.OneLine("f1", everything))
		}
		got := n.Supplied(o, cut)
		for id, want := range of.want {
			if is := got[n.Node(id)]; is != want {
				t.Errorf("%s: %s is %s, want %s", name, id, is, want)
			}
		}
	}
}

func BenchmarkSupplied100k(b *testing.B) {
	n := At(gridtest.Radial(100_000, 1), 1, telemetry.MicrosOf(noon))
	o := Operated{Edges: map[int]Supply{}}
	for edge := 0; edge < n.Edges(); edge += 20 {
		o.Edges[edge] = [...]Supply{Dead, Unknown}[edge/20%2]
	}
	for b.Loop() {
		n.Supplied(o, nil)
	}
}
