package infer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/busbar/busbar/cloud/outage/infer"
	"github.com/busbar/busbar/grid"
)

// small is CB -> {F1 -> {T1: s1 s2, T2: s3 s4}, F2 -> {T3: s5 s6}} with its nodes in
// this order, behind a root.
var small = struct {
	names  []string
	parent []int32
	at     map[string]int
}{
	[]string{"", "CB", "F1", "T1", "T2", "F2", "T3"}, []int32{-1, 0, 1, 2, 2, 1, 5},
	map[string]int{"s1": 3, "s2": 3, "s3": 4, "s4": 4, "s5": 6, "s6": 6},
}

func smallTree() *infer.Tree {
	n := len(small.parent)
	order, ways, costs := make([]int32, n), make([]infer.Way, n), make([]infer.Costs, n)
	for i := range order {
		order[i] = int32(i)
		ways[i] = infer.Way{Open: infer.Weight(1.5), Phases: grid.ABC}
	}
	for _, node := range small.at {
		c := infer.Customers(1, grid.ABC)
		add(&costs[node], c)
	}
	return infer.New(slices.Clone(small.parent), order, ways, costs, make([]int32, n))
}

// What is unknown costs nothing, so that a feeder with few meters has the outages
// of one with many.
func TestSmallTrees(t *testing.T) {
	dead := func(w float64, ids ...string) map[string]infer.Observation {
		m := map[string]infer.Observation{}
		for _, id := range ids {
			m[id] = infer.Observation{Out: infer.Weight(w)}
		}
		return m
	}
	alive := func(m map[string]infer.Observation, ids ...string) map[string]infer.Observation {
		for _, id := range ids {
			m[id] = infer.Observation{Alive: infer.Weight(3)}
		}
		return m
	}
	for _, c := range []struct {
		known map[string]infer.Observation
		opens string
		cost  float64
	}{
		{dead(1, "s1", "s2"), "T1", 1.5},
		{dead(1, "s1", "s2", "s3", "s4"), "F1", 1.5},
		{dead(1, "s1", "s2", "s3", "s4", "s5", "s6"), "CB", 1.5},
		{dead(1, "s5", "s6"), "T3", 1.5},
		{alive(dead(1, "s1"), "s2"), "", 1},
		{alive(dead(1, "s1", "s2", "s4"), "s3"), "T1", 2.5},
		{dead(1, "s1", "s3"), "F1", 1.5},
		{alive(dead(1, "s1", "s2", "s3", "s4"), "s5", "s6"), "F1", 1.5},
		{dead(0.5, "s1", "s2"), "", 1},
		{dead(0.5, "s1", "s2", "s3", "s4"), "F1", 1.5},
		{dead(0.5, "s1", "s2", "s3", "s4", "s5", "s6"), "CB", 1.5},
	} {
		tree := smallTree()
		for id, o := range c.known {
			costs := o.Costs(grid.ABC)
			tree.Add(small.at[id], &costs, 1)
		}
		opens := ""
		for _, o := range tree.Solve(0, nil) {
			opens += small.names[o.Node]
		}
		if got := tree.Cost(0).Weight(); opens != c.opens || got != c.cost {
			t.Errorf("%v: %s opens at %v, want %s at %v", c.known, opens, got, c.opens, c.cost)
		}
	}
}

// A device that was told to be open is, whatever is measured below it.
func TestAnOpenDeviceIsOpenWithoutAnyMeter(t *testing.T) {
	tree := smallTree()
	w := tree.Way(2)
	w.Open, w.Stay = 0, infer.Weight(8)
	tree.SetWay(2, w, 1)
	if got := tree.Solve(0, nil); len(got) != 1 || got[0].Node != 2 || tree.Cost(0).Weight() != 0 {
		t.Errorf("opens %+v at %v", got, tree.Cost(0).Weight())
	}
}

// feeder is a trunk of fused laterals, each with transformers, each with streets of
// service points. It returns the tree, the node of each point, and which nodes are
// behind a line.
func feeder(points int) (parent, at []int32, line map[int32]bool) {
	line = map[int32]bool{}
	parent = []int32{-1, 0} // the source and the breaker
	node := func(of int32) int32 {
		parent = append(parent, of)
		return int32(len(parent) - 1)
	}
	trunk := int32(1)
	for len(at) < points {
		if len(line)%40 == 0 {
			trunk = 1 // another branch, so that depth is as in real ones
		}
		trunk = node(trunk)
		line[trunk] = true
		lateral := node(trunk)
		for range 4 {
			transformer := node(lateral)
			for range 3 {
				street := node(transformer)
				for range 10 {
					if len(at) < points {
						at = append(at, street)
					}
				}
			}
		}
	}
	return parent, at, line
}

func plant(parent, at []int32, line map[int32]bool) *infer.Tree {
	n := len(parent)
	order, ways, costs, busy := make([]int32, n), make([]infer.Way, n), make([]infer.Costs, n), make([]int32, n)
	for i := range order {
		order[i] = int32(i)
		ways[i] = infer.Way{Open: infer.Weight(1.5), Phases: grid.ABC, Each: i%3 == 0, Fixed: line[int32(i)]}
	}
	for _, v := range at {
		c := infer.Customers(1, grid.ABC)
		add(&costs[v], c)
	}
	return infer.New(parent, order, ways, costs, busy)
}

// The breaker of a feeder is found by what meters there are, and by its position if
// there are none.
func TestFeedersOfAllSizesByCoverage(t *testing.T) {
	for _, points := range []int{10, 1_000, 50_000} {
		for _, metered := range []float64{0, 0.01, 0.05, 0.3, 1} {
			t.Run(fmt.Sprintf("%d points, %v metered", points, metered), func(t *testing.T) {
				r := rand.New(rand.NewPCG(7, uint64(points)))
				parent, at, line := feeder(points)
				tree := plant(parent, at, line)
				gasps := 0
				out := infer.Observation{Out: infer.Weight(1)}.Costs(grid.ABC)
				for _, v := range at {
					if r.Float64() < metered && r.Float64() < 0.8 {
						tree.Add(int(v), &out, 1)
						gasps++
					}
				}
				if gasps < 10 { // too little to say that it isn't something further down
					w := tree.Way(1)
					w.Open, w.Stay = 0, infer.Weight(8)
					tree.SetWay(1, w, 1)
				}
				got := tree.Solve(0, nil)
				if len(got) != 1 || points > 10 && got[0].Node != 1 {
					t.Errorf("opens %+v with %d last gasps", got, gasps)
				}
			})
		}
	}
}

// BenchmarkStorm is 100,000 service points, a third of them out behind many
// devices: an update, with all that opens found anew.
func BenchmarkStorm(b *testing.B) {
	parent, at, line := feeder(100_000)
	out := infer.Observation{Out: infer.Weight(1)}.Costs(grid.ABC)
	tree := plant(parent, at, line)
	well := infer.Observation{Alive: infer.Weight(0.25)}.Costs(grid.ABC)
	tell := func(tree *infer.Tree) {
		for i, v := range at {
			if i/120%3 == 0 {
				tree.Add(int(v), &out, 1)
			} else {
				tree.Add(int(v), &well, 1)
			}
		}
	}
	tell(tree)
	openings := tree.Solve(0, nil)
	b.Run("update", func(b *testing.B) {
		back := out
		for i := range back {
			back[i] = -out[i]
		}
		for i := range b.N {
			v := int(at[i*7919%len(at)])
			tree.Add(v, &out, 1)
			openings = tree.Solve(0, openings[:0])
			tree.Add(v, &back, -1)
		}
		b.ReportMetric(float64(len(openings)), "openings")
	})
}
