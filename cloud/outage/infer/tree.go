// Package infer finds the devices whose opening explains best what is known of who
// has supply: of all sets of opened devices of a tree, exactly the one of least cost,
// where an opening costs, and what evidence contradicts. A piece of evidence
// that comes or goes takes work along its way to the root only.
//
// With f(v, s) the least cost of all that hangs on node v if v has the supply s,
//
//	f(v, s) = own(v, s) + Σ min over o of open(c, o) + f(c, s without o)
//
// over the children c of v and the phases o that can open on the way to c. Of
// explanations of equal cost the one that leaves fewer customers without supply
// goes first, and of those the one that opens deeper.
package infer

import "github.com/busbar/busbar/grid"

// None stands for no node.
const None = -1

// Way is what is between a node and the one that supplies it.
type Way struct {
	Open    Cost        // of its opening; of a Fixed way nothing
	Stay    Cost        // of its not opening: it was told to be open
	Fixed   bool        // it can't open
	Each    bool        // its phases open one by one, as those of fuses and conductors do
	Phases  grid.Phases // that it has
	Winding Winding
}

// openings are the sets of phases that can open, in the order in which of equal
// ones the earlier goes first.
var openings = [...]grid.Phases{0, grid.A, grid.B, grid.C, grid.A | grid.B, grid.A | grid.C, grid.B | grid.C, grid.ABC}

// Beyond is the state behind a way with phases open.
func (w *Way) Beyond(s State, open grid.Phases) State {
	return w.Winding.through(s.without(open | grid.ABC&^w.Phases))
}

// best is the cheapest of what can open on the way to a node whose costs are f, if
// there is the supply s.
func (w *Way) best(f *Costs, s State) (Cost, grid.Phases) {
	least, open := f[w.Beyond(s, 0)], grid.Phases(0)
	if w.Fixed {
		return least, 0
	}
	least += w.Stay
	try := openings[len(openings)-1:]
	if w.Each {
		try = openings[1:]
	}
	for _, o := range try {
		if s.Live()&o&w.Phases == 0 && w.Stay == 0 || w.Each && o&^w.Phases != 0 && o != grid.ABC {
			continue
		}
		if c := w.Open + f[w.Beyond(s, o)]; c < least {
			least, open = c, o
		}
	}
	return least, open
}

// Tree is a forest with evidence. It is not safe for concurrent use.
type Tree struct {
	parent []int32
	ways   []Way
	start  []int32 // the children of v are child[start[v]:start[v+1]]
	child  []int32

	costs  []Costs
	normal []State // of each node if nothing opens
	opens  []int32 // children of a node on whose way, or below, something opens
	busy   []int32 // pieces of evidence, and told positions, at a node or below
}

// New is a tree of nodes, each behind its parent in order; roots have None. costs
// are those of the nodes' own evidence and customers, and become the tree's;
// busy says where there is evidence, and becomes the tree's too.
func New(parent, order []int32, ways []Way, costs []Costs, busy []int32) *Tree {
	n := len(parent)
	t := &Tree{parent: parent, ways: ways, costs: costs, busy: busy, normal: make([]State, n), opens: make([]int32, n),
		start: make([]int32, n+1), child: make([]int32, n)}
	for _, v := range order {
		if p := parent[v]; p == None {
			t.normal[v] = Whole
		} else {
			t.normal[v] = ways[v].Beyond(t.normal[p], 0)
			t.start[p+1]++
		}
	}
	for i := range n {
		t.start[i+1] += t.start[i]
	}
	next := make([]int32, n)
	copy(next, t.start)
	for _, v := range order {
		if p := parent[v]; p != None {
			t.child[next[p]] = v
			next[p]++
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		v := order[i]
		p := parent[v]
		if p == None {
			continue
		}
		up := t.up(v)
		t.costs[p].add(&up)
		t.busy[p] += t.busy[v]
		if t.opensAt(v) {
			t.opens[p]++
		}
	}
	return t
}

// up is what a node and all below it adds to the costs of its parent.
func (t *Tree) up(v int32) (c Costs) {
	w := &t.ways[v]
	if w.Fixed && w.Winding == Straight && w.Phases == grid.ABC {
		return t.costs[v]
	}
	for s := range State(States) {
		c[s], _ = w.best(&t.costs[v], s)
	}
	return c
}

// opensAt reports whether something opens on the way to a node or below it, if its
// parent has what it normally has.
func (t *Tree) opensAt(v int32) bool {
	if t.opens[v] > 0 {
		return true
	}
	if t.ways[v].Fixed {
		return false
	}
	_, open := t.ways[v].best(&t.costs[v], t.normal[t.parent[v]])
	return open != 0
}

// Add changes a node's own costs, and how many pieces of evidence it has.
func (t *Tree) Add(node int, costs *Costs, busy int) {
	t.change(int32(node), int32(busy), func() { t.costs[node].add(costs) })
}

// Way is the way to a node.
func (t *Tree) Way(node int) Way { return t.ways[node] }

// SetWay changes the costs of the way to a node; its phases and its winding stay.
func (t *Tree) SetWay(node int, w Way, busy int) {
	w.Phases, w.Winding = t.ways[node].Phases, t.ways[node].Winding
	t.change(int32(node), int32(busy), func() { t.ways[node] = w })
}

// change does something to a node or to the way to it, and takes what comes of it
// up to its root, as far as something does.
func (t *Tree) change(v, busy int32, do func()) {
	for u := v; busy != 0 && u != None; u = t.parent[u] {
		t.busy[u] += busy
	}
	var delta Costs
	count := int32(0)
	for ; ; v = t.parent[v] {
		root := t.parent[v] == None
		var before Costs
		opened := false
		if !root {
			before, opened = t.up(v), t.opensAt(v)
		}
		if do != nil {
			do()
			do = nil
		} else {
			t.costs[v].add(&delta)
			t.opens[v] += count
		}
		if root {
			return
		}
		delta, count = t.up(v), 0
		for i := range delta {
			delta[i] -= before[i]
		}
		if opens := t.opensAt(v); opens && !opened {
			count = 1
		} else if opened && !opens {
			count = -1
		}
		if count == 0 && delta == (Costs{}) {
			return
		}
	}
}
