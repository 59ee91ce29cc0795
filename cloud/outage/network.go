package outage

import (
	"github.com/busbar/busbar/cloud/outage/infer"
	"github.com/busbar/busbar/grid"
)

// position is that of a switch, line or transformer as it was told.
type position struct {
	told, bad, lockedOut bool
	open                 grid.Phases
	at, when             int64
	source               clock
	gap                  gap
	closed               int64 // when it was told to have, if it was open before
	denied               bool  // people say that it isn't so
	by                   int32 // the gateway that measures it, or none
}

// gap is that a device was closed between two times at which it was open: it closed
// onto a fault.
type gap struct{ back, lost, seen int64 }

// network is the tree in which is looked for openings. A device that was told to be
// open stays in it, as the way by which what is below lost its supply, unless that
// has another feed.
type network struct {
	s         *grid.Snapshot
	positions grid.Positions
	usual     grid.Positions
	op        *grid.Operation
	opOld     bool // positions have changed since

	tree    *infer.Tree
	parent  []int32
	edge    []int32 // by node: on the way to its parent
	node    []int32 // by edge: the node that it supplies, or None
	roots   []int32
	first   []int32 // preorder numbers in the tree, which differs from the operation's
	last    []int32
	nodes   []int32 // by preorder number
	pointAt []int32 // by preorder number: points before it
	points  []int32
	lines   []bool // by edge: a device that protects lines by itself
}

const none = grid.None

// plant makes the tree anew. own gives a node's costs and how many pieces of
// evidence they are of, way what the way over an edge costs.
func (n *network) plant(own func(node int) (infer.Costs, int32), way func(edge int) (infer.Way, int32)) {
	s := n.s
	n.op = s.Operate(n.positions, n.op)
	n.opOld = false
	count := s.Nodes()
	n.parent, n.edge, n.node = make([]int32, count), make([]int32, count), make([]int32, s.Edges())
	for i := range n.node {
		n.node[i] = none
	}
	n.roots = n.roots[:0]
	start := make([]int32, count+1)
	for v := range count {
		p, e := n.op.Upstream(v), n.op.Supply(v)
		if p == none && n.op.Islands()[n.op.Island(v)].Source == none {
			// Cut off: it hangs where it does in normal operation.
			p, e = s.Normal().Upstream(v), s.Normal().Supply(v)
		}
		n.parent[v], n.edge[v] = int32(p), int32(e)
		if p == none {
			n.roots = append(n.roots, int32(v))
			continue
		}
		n.node[e] = int32(v)
		start[p+1]++
	}
	for i := range count {
		start[i+1] += start[i]
	}
	child, next := make([]int32, count), make([]int32, count)
	copy(next, start)
	for v := range count {
		if p := n.parent[v]; p != none {
			child[next[p]] = int32(v)
			next[p]++
		}
	}
	n.first, n.last = make([]int32, count), make([]int32, count)
	n.nodes = n.nodes[:0]
	n.points = n.points[:0]
	n.pointAt = make([]int32, count+1)
	stack := make([]int32, 0, 1000)
	for _, root := range n.roots {
		stack = append(stack, root)
		for len(stack) > 0 {
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			n.first[v] = int32(len(n.nodes))
			n.pointAt[len(n.nodes)] = int32(len(n.points))
			n.nodes = append(n.nodes, v)
			n.points = append(n.points, s.PointsAt(int(v))...)
			for i := start[v+1] - 1; i >= start[v]; i-- {
				stack = append(stack, child[i])
			}
		}
	}
	n.pointAt[len(n.nodes)] = int32(len(n.points))
	for i := len(n.nodes) - 1; i >= 0; i-- {
		v := n.nodes[i]
		n.last[v] = max(n.last[v], n.first[v]+1)
		if p := n.parent[v]; p != none {
			n.last[p] = max(n.last[p], n.last[v])
		}
	}
	n.protect(start, child)
	costs, busy, ways := make([]infer.Costs, count), make([]int32, count), make([]infer.Way, count)
	for v := range count {
		costs[v], busy[v] = own(v)
		if e := n.edge[v]; e != none {
			w, b := way(int(e))
			ways[v] = w
			busy[v] += b
		}
	}
	n.tree = infer.New(n.parent, n.nodes, ways, costs, busy)
}

// protect finds the devices that protect lines, with no other device in between.
func (n *network) protect(start, child []int32) {
	if n.lines != nil {
		return
	}
	n.lines = make([]bool, n.s.Edges())
	for _, v := range n.nodes {
		e := n.edge[v]
		if e == none || n.s.Edge(int(e)).Kind != grid.KindLine {
			continue
		}
		for u := n.parent[v]; n.edge[u] != none; u = n.parent[u] {
			x := n.s.Edge(int(n.edge[u]))
			if x.Kind == grid.KindSwitch && n.s.Model().Switches[x.Index].Type.Protective() {
				n.lines[n.edge[u]] = true
				break
			}
			if x.Kind == grid.KindTransformer {
				break
			}
		}
	}
}

// isBelow reports whether a node is another one, or hangs on it.
func (n *network) isBelow(node, of int32) bool {
	return n.first[of] <= n.first[node] && n.first[node] < n.last[of]
}

// pointsBelow is the service points at a node and below it.
func (n *network) pointsBelow(node int32) []int32 {
	return n.points[n.pointAt[n.first[node]]:n.pointAt[n.last[node]]]
}

// operation is the network as operated now.
func (n *network) operation() *grid.Operation {
	if n.opOld {
		n.op, n.opOld = n.s.Operate(n.positions, n.op), false
	}
	return n.op
}

// moves reports whether the tree is another one once the position of an edge has
// changed: it closes what is no part of the tree, or opens where there is another
// feed.
func (n *network) moves(edge int, open grid.Phases) bool {
	was := n.positions[edge]
	if was == open {
		return false
	}
	n.positions[edge] = open
	n.opOld = true
	return n.node[edge] == none || n.inLoop(edge)
}

// inLoop is as of the last time that the tree was made.
func (n *network) inLoop(edge int) bool {
	return n.op.InLoop(edge)
}

// out is the points below an opening that have no supply by it, and how many
// have lost phases.
func (n *network) out(o infer.Opening, into []int32) (points []int32, lossy int) {
	if o.State == infer.Dead {
		return append(into, n.pointsBelow(int32(o.Node))...), 0
	}
	states := map[int32]infer.State{int32(o.Node): o.State}
	for _, v := range n.nodes[n.first[o.Node]:n.last[o.Node]] {
		state, ok := states[v]
		if !ok {
			w := n.tree.Way(int(v))
			state = w.Beyond(states[n.parent[v]], 0)
			states[v] = state
		}
		levels := state.Levels()
		for _, p := range n.s.PointsAt(int(v)) {
			phases := n.s.Point(int(p)).Phases
			if state.Live()&phases == 0 {
				into = append(into, p)
				continue
			}
			for i, level := range levels {
				if phases&(1<<i) != 0 && level < 2 {
					lossy++
					break
				}
			}
		}
	}
	return into, lossy
}
