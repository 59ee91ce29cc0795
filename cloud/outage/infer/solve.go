package infer

import "github.com/busbar/busbar/grid"

// Opening is that of phases on the way to a node.
type Opening struct {
	Node   int
	Phases grid.Phases
	// State is what the node has by it.
	State State
}

// Cost is that of the best explanation of a tree.
func (t *Tree) Cost(root int) Cost { return t.costs[root][Whole] }

// Solve appends the openings of the best explanation of a root's tree, each before
// those below it. Nothing is looked for where there is no supply.
func (t *Tree) Solve(root int, into []Opening) []Opening {
	return t.solve(int32(root), Whole, into)
}

func (t *Tree) solve(v int32, s State, into []Opening) []Opening {
	for _, c := range t.child[t.start[v]:t.start[v+1]] {
		usual := s == t.normal[v]
		if usual && t.opens[c] == 0 && t.ways[c].Fixed || t.busy[c] == 0 {
			continue
		}
		_, open := t.ways[c].best(&t.costs[c], s)
		state := t.ways[c].Beyond(s, open)
		if open != 0 {
			into = append(into, Opening{int(c), open, state})
		} else if usual && t.opens[c] == 0 {
			continue
		}
		if state != Dead {
			into = t.solve(c, state, into)
		}
	}
	return into
}

// Forced is how much more the best explanation costs in which this opens on the way
// to a node, or, for 0, nothing does; false if that can't be.
func (t *Tree) Forced(node int, open grid.Phases) (more Cost, ok bool) {
	v := int32(node)
	p := t.parent[v]
	if p == None || open != 0 && t.ways[v].Fixed {
		return 0, false
	}
	w := &t.ways[v]
	var forced Costs
	for s := range State(States) {
		forced[s] = t.costs[v][w.Beyond(s, open)]
		if open != 0 {
			forced[s] += w.Open
		} else if !w.Fixed {
			forced[s] += w.Stay
		}
	}
	for {
		is := t.up(v)
		p := t.parent[v]
		costs := t.costs[p]
		for i := range costs {
			costs[i] += forced[i] - is[i]
		}
		if t.parent[p] == None {
			return costs[Whole] - t.costs[p][Whole], true
		}
		for s := range State(States) {
			forced[s], _ = t.ways[p].best(&costs, s)
		}
		v = p
	}
}

// Normal is what a node has if nothing opens.
func (t *Tree) Normal(node int) State { return t.normal[node] }

// Busy is how many pieces of evidence there are at a node and below it.
func (t *Tree) Busy(node int) int { return int(t.busy[node]) }

// Below appends what would open below a node that has its normal supply.
func (t *Tree) Below(node int, into []Opening) []Opening {
	return t.solve(int32(node), t.normal[node], into)
}
