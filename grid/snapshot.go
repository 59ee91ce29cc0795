package grid

import (
	"math"
	"slices"
)

// Snapshot is a network at one instant, as a graph that is indexed by small
// integers: nodes are joined by edges, which are lines, switches and
// transformers; service points are at nodes. Indices are those of this
// snapshot only. It isn't changed after it was made, and is safe for concurrent
// use.
type Snapshot struct {
	model *Model
	at    int64

	nodes   []nodeEntry
	edges   []Edge
	points  []Point
	sources []int32 // in the model's list
	feeders []int32 // in the model's list

	nodeIndex, edgeIndex, pointIndex, feederIndex map[string]int32

	// The edges at node n are links[start[n]:start[n+1]], and so on.
	start     []int32
	links     []link
	pointsAt  []int32
	pointList []int32
	customers []int32 // by place in pointList, which is where Operate looks
	sourceAt  []int32 // the nodes of sources, in their order

	headOf   []int32 // by edge: the feeder whose head it is, or None
	farSide  []int32 // by feeder: the node behind its head in normal operation, or None
	rank     []int32 // nodes in the order in which normal operation supplies them
	normally Positions
	normal   *Operation
}

// None stands for no node, edge, feeder or point.
const None = -1

type nodeEntry struct {
	id    string
	entry int32 // in the model's Nodes, or None
}

type link struct{ edge, node int32 }

// Edge joins two nodes.
type Edge struct {
	Kind   Kind // KindLine, KindSwitch or KindTransformer
	Index  int  // in the list of the model that the kind has
	A, B   int  // the nodes
	Phases Phases
}

// Point is a service point.
type Point struct {
	Index     int // in the model's ServicePoints
	Node      int
	Customers int
	Phases    Phases
}

// Positions says of each edge which of its phases are open: 0 is closed, ABC
// is open, and in between is a blown fuse or a broken conductor.
type Positions []Phases

// At is the network at t, in microseconds since 1970 UTC. What isn't valid
// then isn't part of it, nor is equipment with both ends at one node. Of several
// of one id, which Check reports, the first counts. The model must not change
// while the snapshot is used.
func (m *Model) At(t int64) *Snapshot {
	s := &Snapshot{
		model: m, at: t,
		nodeIndex:  make(map[string]int32, len(m.Nodes)+len(m.Lines)),
		edgeIndex:  make(map[string]int32, len(m.Lines)+len(m.Switches)+len(m.Transformers)),
		pointIndex: make(map[string]int32, len(m.ServicePoints)), feederIndex: map[string]int32{},
		points: make([]Point, 0, len(m.ServicePoints)),
		edges:  make([]Edge, 0, len(m.Lines)+len(m.Switches)+len(m.Transformers)),
	}
	s.nodesAndEdges()
	s.adjacency()
	s.feederHeads()
	s.normal = s.Operate(s.normally, nil)
	for edge, f := range s.headOf {
		if f != None {
			s.farSide[f] = int32(s.normal.Below(edge))
		}
	}
	s.rank = slices.Clone(s.normal.order)
	s.normal = s.Operate(s.normally, s.normal) // once more, now that feeders are known
	return s
}

func (s *Snapshot) node(id string) int32 {
	if i, ok := s.nodeIndex[id]; ok {
		return i
	}
	i := int32(len(s.nodes))
	s.nodes = append(s.nodes, nodeEntry{id, None})
	s.nodeIndex[id] = i
	return i
}

func (s *Snapshot) edge(kind Kind, index int, a *Asset, from, to string, phases Phases, open bool) {
	if _, twice := s.edgeIndex[a.ID]; twice || !a.ValidAt(s.at) || from == to || from == "" || to == "" {
		return
	}
	s.edgeIndex[a.ID] = int32(len(s.edges))
	s.edges = append(s.edges, Edge{kind, index, int(s.node(from)), int(s.node(to)), allIfNone(phases)})
	position := Phases(0)
	if open {
		position = ABC
	}
	s.normally = append(s.normally, position)
}

func allIfNone(p Phases) Phases {
	if p&ABC == 0 {
		return ABC
	}
	return p & ABC
}

func (s *Snapshot) nodesAndEdges() {
	m := s.model
	for i := range m.Nodes {
		if v := &m.Nodes[i]; v.ValidAt(s.at) {
			if n := s.node(v.ID); s.nodes[n].entry == None {
				s.nodes[n].entry = int32(i)
			}
		}
	}
	for i := range m.Sources {
		if v := &m.Sources[i]; v.ValidAt(s.at) && v.Node != "" {
			s.sources = append(s.sources, int32(i))
			s.sourceAt = append(s.sourceAt, s.node(v.Node))
		}
	}
	for i := range m.Lines {
		v := &m.Lines[i]
		s.edge(KindLine, i, &v.Asset, v.From, v.To, v.Phases, v.OutOfService)
	}
	for i := range m.Switches {
		v := &m.Switches[i]
		s.edge(KindSwitch, i, &v.Asset, v.From, v.To, v.Phases, v.NormallyOpen)
	}
	for i := range m.Transformers {
		v := &m.Transformers[i]
		s.edge(KindTransformer, i, &v.Asset, v.From, v.To, v.Phases, v.OutOfService)
	}
	for i := range m.ServicePoints {
		v := &m.ServicePoints[i]
		if _, twice := s.pointIndex[v.ID]; twice || !v.ValidAt(s.at) || v.Node == "" {
			continue
		}
		s.pointIndex[v.ID] = int32(len(s.points))
		s.points = append(s.points, Point{i, int(s.node(v.Node)), min(max(v.Customers, 0), math.MaxInt32), allIfNone(v.Phases)})
	}
}

// adjacency turns the lists into what is looked up by node.
func (s *Snapshot) adjacency() {
	n := len(s.nodes)
	s.start, s.pointsAt = make([]int32, n+1), make([]int32, n+1)
	for _, e := range s.edges {
		s.start[e.A+1]++
		s.start[e.B+1]++
	}
	for _, p := range s.points {
		s.pointsAt[p.Node+1]++
	}
	for i := range n {
		s.start[i+1] += s.start[i]
		s.pointsAt[i+1] += s.pointsAt[i]
	}
	s.links, s.pointList = make([]link, 2*len(s.edges)), make([]int32, len(s.points))
	s.customers = make([]int32, len(s.points))
	next := make([]int32, n)
	copy(next, s.start)
	for i, e := range s.edges {
		s.links[next[e.A]] = link{int32(i), int32(e.B)}
		next[e.A]++
		s.links[next[e.B]] = link{int32(i), int32(e.A)}
		next[e.B]++
	}
	copy(next, s.pointsAt)
	for i, p := range s.points {
		s.pointList[next[p.Node]], s.customers[next[p.Node]] = int32(i), int32(p.Customers)
		next[p.Node]++
	}
	s.rank = make([]int32, n)
	for i := range s.rank {
		s.rank[i] = int32(i)
	}
}

func (s *Snapshot) feederHeads() {
	s.headOf = make([]int32, len(s.edges))
	for i := range s.headOf {
		s.headOf[i] = None
	}
	for i := range s.model.Feeders {
		v := &s.model.Feeders[i]
		if _, twice := s.feederIndex[v.ID]; twice || !v.ValidAt(s.at) {
			continue
		}
		feeder := int32(len(s.feeders))
		s.feederIndex[v.ID] = feeder
		s.feeders = append(s.feeders, int32(i))
		s.farSide = append(s.farSide, None)
		if e, ok := s.edgeIndex[v.Head]; ok && s.headOf[e] == None {
			s.headOf[e] = feeder
		}
	}
}

// Model is what the snapshot was made of.
func (s *Snapshot) Model() *Model { return s.model }

// Nodes is how many nodes there are.
func (s *Snapshot) Nodes() int { return len(s.nodes) }

// NodeID is the id of a node.
func (s *Snapshot) NodeID(node int) string { return s.nodes[node].id }

// NodeEntry is what the model says of a node, nil if it only names it.
func (s *Snapshot) NodeEntry(node int) *Node {
	if i := s.nodes[node].entry; i != None {
		return &s.model.Nodes[i]
	}
	return nil
}

// Node is the node with an id, or None.
func (s *Snapshot) Node(id string) int { return find(s.nodeIndex, id) }

// Edges is how many edges there are.
func (s *Snapshot) Edges() int { return len(s.edges) }

// Edge is one of them.
func (s *Snapshot) Edge(edge int) Edge { return s.edges[edge] }

// EdgeOf is the edge that the line, switch or transformer with an id is, or
// None.
func (s *Snapshot) EdgeOf(id string) int { return find(s.edgeIndex, id) }

// EdgeAsset is the line, switch or transformer that an edge is.
func (s *Snapshot) EdgeAsset(edge int) *Asset {
	switch e := &s.edges[edge]; e.Kind {
	case KindLine:
		return &s.model.Lines[e.Index].Asset
	case KindSwitch:
		return &s.model.Switches[e.Index].Asset
	default:
		return &s.model.Transformers[e.Index].Asset
	}
}

// EdgesAt calls f with each edge at a node and the node at its other end.
func (s *Snapshot) EdgesAt(node int, f func(edge, other int)) {
	for _, l := range s.links[s.start[node]:s.start[node+1]] {
		f(int(l.edge), int(l.node))
	}
}

// Points is how many service points there are.
func (s *Snapshot) Points() int { return len(s.points) }

// Point is one of them.
func (s *Snapshot) Point(point int) Point { return s.points[point] }

// PointOf is the service point with an id, or None.
func (s *Snapshot) PointOf(id string) int { return find(s.pointIndex, id) }

// PointAsset is the service point itself.
func (s *Snapshot) PointAsset(point int) *ServicePoint {
	return &s.model.ServicePoints[s.points[point].Index]
}

// PointsAt is the service points at a node. It must not be changed.
func (s *Snapshot) PointsAt(node int) []int32 {
	return s.pointList[s.pointsAt[node]:s.pointsAt[node+1]]
}

// Feeders is how many feeders there are.
func (s *Snapshot) Feeders() int { return len(s.feeders) }

// Feeder is one of them.
func (s *Snapshot) Feeder(feeder int) *Feeder { return &s.model.Feeders[s.feeders[feeder]] }

// FeederOf is the feeder with an id, or None.
func (s *Snapshot) FeederOf(id string) int { return find(s.feederIndex, id) }

func find(index map[string]int32, id string) int {
	if i, ok := index[id]; ok {
		return int(i)
	}
	return None
}

// NormalPositions is a copy of the normal positions, to change and operate with.
func (s *Snapshot) NormalPositions() Positions { return slices.Clone(s.normally) }

// Normal is the network with everything in its normal position. It must not be
// given to Operate.
func (s *Snapshot) Normal() *Operation { return s.normal }
