package grid

// Operation is a network with its switches in certain positions: what is
// supplied, from where, and what is behind what. Closed edges make a tree for
// each source, in which each node hangs on the edge that supplies it by the
// fewest edges; of several, the one that comes first in the model. What no
// source reaches makes trees as well, each from the node that normal operation
// supplies first, so that a part which is cut off keeps its direction.
//
// Where supply comes from two sides the edges that close the loop are in no
// tree: see Loops and InLoop. What is downstream of an edge in a loop may keep
// its supply when that edge opens.
//
// Nodes are numbered in preorder, so what is downstream of a node is one range.
type Operation struct {
	snapshot  *Snapshot
	positions Positions

	order  []int32 // nodes, each behind its parent
	parent []int32
	supply []int32 // the edge to parent, or None
	depth  []int32
	island []int32
	phases []Phases // that reach the node from its tree's root
	feeder []int32

	first, last []int32 // by node: its preorder number, and one behind that of its last descendant
	preorder    []int32 // nodes by preorder number

	points    []int32 // service points by their nodes' preorder numbers
	pointsTo  []int32 // by preorder number: how many of them come before the node
	customers []int64 // by place in points: customers of those before
	islands   []Island
	chords    []int32
	inLoop    []bool // by edge
	jump      []int32
}

// Island is a part of the network that is connected to the others by nothing
// that is closed, or by loops only.
type Island struct {
	Root   int // the node that supplies it
	Source int // in the model's Sources, or None
	Nodes  int
}

// Operate is the network with these positions; those of edges beyond the end of
// positions are normal. into, if it isn't nil, is an earlier result of the same
// snapshot that isn't needed any more: its memory is used again, which then
// costs no allocation. Positions are copied.
func (s *Snapshot) Operate(positions Positions, into *Operation) *Operation {
	o := into
	if o == nil || o.snapshot != s {
		o = newOperation(s)
	}
	copy(o.positions, s.normally)
	copy(o.positions, positions)
	o.grow()
	o.number()
	o.count()
	o.closeLoops()
	return o
}

func newOperation(s *Snapshot) *Operation {
	n := len(s.nodes)
	ints := make([]int32, 10*n)
	part := func() []int32 {
		out := ints[:n:n]
		ints = ints[n:]
		return out
	}
	return &Operation{
		snapshot: s, positions: make(Positions, len(s.edges)),
		order: part()[:0], parent: part(), supply: part(), depth: part(), island: part(), feeder: part(),
		first: part(), last: part(), preorder: part(), jump: part(), phases: make([]Phases, n),
		points: make([]int32, 0, len(s.points)), pointsTo: make([]int32, n+1), customers: make([]int64, len(s.points)+1),
		inLoop: make([]bool, len(s.edges)),
	}
}

// conducts is the phases that an edge connects.
func (o *Operation) conducts(edge int32) Phases {
	return o.snapshot.edges[edge].Phases &^ o.positions[edge]
}

// grow makes the trees, all those of sources at once, breadth first.
func (o *Operation) grow() {
	s := o.snapshot
	o.order, o.islands = o.order[:0], o.islands[:0]
	for i := range o.island {
		o.island[i] = None
	}
	for i, n := range s.sourceAt {
		if o.island[n] == None {
			o.plant(n, int(s.sources[i]))
		}
	}
	o.extend(0)
	for _, n := range s.rank {
		if o.island[n] == None {
			at := len(o.order)
			o.plant(n, None)
			o.extend(at)
		}
	}
}

func (o *Operation) plant(root int32, source int) {
	o.island[root] = int32(len(o.islands))
	o.islands = append(o.islands, Island{Root: int(root), Source: source})
	o.parent[root], o.supply[root], o.depth[root], o.phases[root], o.feeder[root] = None, None, 0, ABC, None
	o.order = append(o.order, root)
}

func (o *Operation) extend(from int) {
	s := o.snapshot
	for at := from; at < len(o.order); at++ {
		n := o.order[at]
		o.islands[o.island[n]].Nodes++
		for _, l := range s.links[s.start[n]:s.start[n+1]] {
			if o.island[l.node] != None {
				continue
			}
			reach := o.phases[n] & o.conducts(l.edge)
			if reach == 0 {
				continue
			}
			o.island[l.node], o.parent[l.node], o.supply[l.node] = o.island[n], n, l.edge
			o.depth[l.node], o.phases[l.node], o.feeder[l.node] = o.depth[n]+1, reach, o.feeder[n]
			// Behind its head, in the direction of normal operation, a feeder begins.
			if f := s.headOf[l.edge]; f != None && s.farSide[f] == l.node {
				o.feeder[l.node] = f
			}
			o.order = append(o.order, l.node)
		}
	}
}

// number gives the nodes their preorder numbers.
func (o *Operation) number() {
	size := o.last
	for i := range size {
		size[i] = 1
	}
	for i := len(o.order) - 1; i >= 0; i-- {
		if n := o.order[i]; o.parent[n] != None {
			size[o.parent[n]] += size[n]
		}
	}
	free := o.jump // by node: the number that its next child gets
	next := int32(0)
	for _, n := range o.order {
		if p := o.parent[n]; p == None {
			o.first[n] = next
			next += size[n]
		} else {
			o.first[n] = free[p]
			free[p] += size[n]
		}
		free[n] = o.first[n] + 1
		o.preorder[o.first[n]] = n
	}
	for i := range o.last {
		o.last[i] += o.first[i]
	}
}

// count lines up the service points.
func (o *Operation) count() {
	s := o.snapshot
	o.points = o.points[:0]
	sum := int64(0)
	for i, n := range o.preorder {
		o.pointsTo[i] = int32(len(o.points))
		for at := s.pointsAt[n]; at < s.pointsAt[n+1]; at++ {
			o.customers[len(o.points)] = sum
			sum += int64(s.customers[at])
			o.points = append(o.points, s.pointList[at])
		}
	}
	o.pointsTo[len(o.preorder)] = int32(len(o.points))
	o.customers[len(o.points)] = sum
}

// closeLoops finds the closed edges that are in no tree, and marks what is on
// the way around. Each tree edge is passed once: jump leads past those that are
// marked.
func (o *Operation) closeLoops() {
	s := o.snapshot
	o.chords = o.chords[:0]
	for e := range s.edges {
		o.inLoop[e] = false
		a, b := int32(s.edges[e].A), int32(s.edges[e].B)
		if o.supply[a] != int32(e) && o.supply[b] != int32(e) && o.conducts(int32(e))&o.phases[a]&o.phases[b] != 0 {
			o.chords = append(o.chords, int32(e))
		}
	}
	if len(o.chords) == 0 {
		return
	}
	for i := range o.jump {
		o.jump[i] = int32(i)
	}
	for _, e := range o.chords {
		o.inLoop[e] = true
		a, b := o.past(int32(s.edges[e].A)), o.past(int32(s.edges[e].B))
		for a != b {
			if o.depth[a] < o.depth[b] {
				a, b = b, a
			}
			if o.parent[a] == None {
				break // both are roots
			}
			o.inLoop[o.supply[a]] = true
			o.jump[a] = o.parent[a]
			a = o.past(a)
		}
	}
}

// past is the nearest node from n upwards whose supply isn't marked.
func (o *Operation) past(n int32) int32 {
	for o.jump[n] != n {
		o.jump[n] = o.jump[o.jump[n]]
		n = o.jump[n]
	}
	return n
}
