package infer_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/busbar/busbar/cloud/outage/infer"
	"github.com/busbar/busbar/grid"
)

var sets = []grid.Phases{0, grid.A, grid.B, grid.C, grid.A | grid.B, grid.A | grid.C, grid.B | grid.C, grid.ABC}

// forest is a tree as it is described, from which all ways to explain it are tried.
type forest struct {
	parent []int32
	ways   []infer.Way
	own    []infer.Costs
	busy   []int32
}

func (f *forest) tree() *infer.Tree {
	order := make([]int32, len(f.parent))
	for i := range order {
		order[i] = int32(i)
	}
	return infer.New(slices.Clone(f.parent), order, slices.Clone(f.ways), slices.Clone(f.own), slices.Clone(f.busy))
}

// levels is the state behind a way, written down anew: voltages as vectors.
func levels(s infer.State, w infer.Way, open grid.Phases) infer.State {
	in := s.Levels()
	if lost := open | grid.ABC&^w.Phases; lost != 0 {
		for i := range in {
			if in[i] > 0 {
				in[i] = 2
			}
			if lost&(1<<i) != 0 {
				in[i] = 0
			}
		}
	}
	out := in
	none := 0
	for _, l := range in {
		if l == 0 {
			none++
		}
	}
	if w.Winding != infer.Straight && none > 0 {
		out = [3]uint8{}
		for i := range out {
			j := (i + 1) % 3
			if w.Winding == infer.DeltaLast {
				j = (i + 2) % 3
			}
			if none == 1 {
				out[i] = 1
				if in[i] > 0 && in[j] > 0 {
					out[i] = 2
				}
			}
		}
	}
	for t := range infer.State(infer.States) {
		if t.Levels() == out {
			return t
		}
	}
	panic("no such state")
}

// brute tries all. Of equal costs the first counts, in an order in which what is
// further up changes last.
func (f *forest) brute() (least infer.Cost, opens []grid.Phases) {
	n := len(f.parent)
	at, state := make([]grid.Phases, n), make([]infer.State, n)
	var try func(v int, cost infer.Cost)
	try = func(v int, cost infer.Cost) {
		if v == n {
			if opens == nil || cost < least {
				least, opens = cost, slices.Clone(at)
			}
			return
		}
		if f.parent[v] == infer.None {
			state[v] = infer.Whole
			try(v+1, cost+f.own[v][infer.Whole])
			return
		}
		w := f.ways[v]
		above := state[f.parent[v]]
		for _, o := range sets {
			c := cost
			switch {
			case o != 0 && (w.Fixed || !w.Each && o != grid.ABC || o != grid.ABC && o&^w.Phases != 0):
				continue
			case o != 0:
				c += w.Open
			case !w.Fixed:
				c += w.Stay
			}
			at[v], state[v] = o, levels(above, w, o)
			try(v+1, c+f.own[v][state[v]])
		}
		at[v] = 0
	}
	try(0, 0)
	return least, opens
}

// solved is what a tree says, as brute says it; what it doesn't say of parts
// without supply is left out of opens too.
func solved(t *infer.Tree, n int) []grid.Phases {
	out := make([]grid.Phases, n)
	for _, o := range t.Solve(0, nil) {
		out[o.Node] = o.Phases
	}
	return out
}

// visible leaves out what opens below what has no supply.
func (f *forest) visible(opens []grid.Phases) []grid.Phases {
	out := slices.Clone(opens)
	state := make([]infer.State, len(opens))
	for v := range opens {
		if f.parent[v] == infer.None {
			state[v] = infer.Whole
			continue
		}
		above := state[f.parent[v]]
		if above == infer.Dead {
			out[v] = 0
		}
		state[v] = levels(above, f.ways[v], opens[v])
	}
	return out
}

// random is a tree whose explanations aren't too many, in preorder.
func random(r *rand.Rand) *forest {
	n := 2 + r.IntN(13)
	f := &forest{}
	depth := []int32{}
	for v := range n {
		parent := int32(infer.None)
		if v > 0 { // any node on the way to the one before
			chain := []int32{}
			for u := int32(v - 1); u != infer.None; u = f.parent[u] {
				chain = append(chain, u)
			}
			parent = chain[r.IntN(len(chain))]
		}
		f.parent = append(f.parent, parent)
		depth = append(depth, parent)
		w := infer.Way{Open: infer.Weight(1.5), Phases: grid.ABC}
		switch x := r.IntN(20); {
		case x < 4:
			w.Fixed = true
		case x < 7 && n < 7 || x == 5 && n < 10:
			w.Each = true
		case x == 8:
			w.Open, w.Stay = 0, infer.Weight(8)
		case x == 9:
			w.Open = infer.Weight(5.5)
		case x == 10:
			w.Winding = infer.DeltaNext
		case x == 11:
			w.Winding = infer.DeltaLast
		case x == 12:
			w.Fixed, w.Phases = true, sets[1+r.IntN(7)]
		case x < 15:
			w.Open = infer.Weight(float64(r.IntN(8)) / 4)
		}
		f.ways = append(f.ways, w)
		f.own = append(f.own, infer.Costs{})
		f.busy = append(f.busy, 1)
		for range r.IntN(4) {
			c, _ := observed(r)
			add(&f.own[v], c)
		}
	}
	return f
}

func add(to *infer.Costs, c infer.Costs) {
	for i := range c {
		to[i] += c[i]
	}
}

// observed is a service point with something known of it.
func observed(r *rand.Rand) (infer.Costs, grid.Phases) {
	phases := grid.Phases(grid.ABC)
	if r.IntN(2) == 0 {
		phases = 1 << r.IntN(3)
	}
	var o infer.Observation
	switch r.IntN(6) {
	case 0, 1:
		o.Out = infer.Weight(1)
	case 2:
		o.Out = infer.Weight(0.5)
	case 3:
		o.Alive = infer.Weight(3)
	case 4:
		o.Seen = infer.Weight(3)
		for i := range o.Levels {
			o.Levels[i] = uint8(50 * r.IntN(3))
		}
	}
	c := o.Costs(phases)
	add(&c, infer.Customers(r.IntN(3), phases))
	return c, phases
}

func TestTheTreeIsAsGoodAsTryingAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		f := random(r)
		tree := f.tree()
		least, opens := f.brute()
		if got := tree.Cost(0); got != least {
			t.Fatalf("tree %d: cost %d, want %d: %+v", i, got, least, f)
		}
		if got, want := solved(tree, len(opens)), f.visible(opens); !slices.Equal(got, want) {
			t.Fatalf("tree %d: opens %v, want %v: %+v", i, got, want, f)
		}
	}
}

// A tree that was changed step by step is the one that is made of what is known in
// the end, in whatever order it was.
func TestChangesOneByOneComeToTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 2_000 {
		f := random(r)
		tree, other := f.tree(), f.tree()
		var steps []func(*infer.Tree)
		for range 12 {
			v := r.IntN(len(f.parent))
			if r.IntN(4) == 0 && v > 0 {
				continue
			}
			c, _ := observed(r)
			add(&f.own[v], c)
			f.busy[v]++
			steps = append(steps, func(t *infer.Tree) { t.Add(v, &c, 1) })
		}
		for v := 1; v < len(f.parent); v += 3 {
			w := f.ways[v]
			w.Open, w.Stay = infer.Weight(float64(r.IntN(4))), infer.Weight(float64(r.IntN(3)))
			f.ways[v] = w
			steps = append(steps, func(t *infer.Tree) { t.SetWay(v, w, 0) })
		}
		for _, step := range steps {
			step(tree)
		}
		r.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		for _, step := range steps {
			step(other)
		}
		made := f.tree()
		want := solved(made, len(f.parent))
		for _, got := range []*infer.Tree{tree, other} {
			if got.Cost(0) != made.Cost(0) || !slices.Equal(solved(got, len(f.parent)), want) {
				t.Fatalf("tree %d: cost %d and %v, want %d and %v", i, got.Cost(0), solved(got, len(f.parent)), made.Cost(0), want)
			}
		}
	}
}

// What it costs to force something is what it costs where nothing else can be.
func TestForcedIsTheBestOfWhatIsLeft(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 1_000 {
		f := random(r)
		tree := f.tree()
		for v := 1; v < len(f.parent); v++ {
			if f.ways[v].Fixed {
				continue
			}
			for _, open := range []grid.Phases{0, grid.ABC} {
				more, ok := tree.Forced(v, open)
				g := *f
				g.ways = slices.Clone(f.ways)
				if open == 0 {
					g.ways[v].Open = infer.Weight(1e6)
				} else {
					g.ways[v].Stay, g.ways[v].Each = infer.Weight(1e6), false
				}
				least, _ := g.brute()
				if want := least - tree.Cost(0); !ok || more != want && !(open == grid.ABC && f.ways[v].Each) && least < infer.Weight(1e5) {
					t.Fatalf("tree %d, node %d, %v: %d more, want %d", i, v, open, more, want)
				}
			}
		}
	}
}
