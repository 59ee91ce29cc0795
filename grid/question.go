package grid

// Energised is the phases at a node that have supply, 0 if it has none.
func (o *Operation) Energised(node int) Phases {
	if o.islands[o.island[node]].Source == None {
		return 0
	}
	return o.phases[node]
}

// Supplied is the phases of a service point that have supply.
func (o *Operation) Supplied(point int) Phases {
	p := &o.snapshot.points[point]
	return o.Energised(p.Node) & p.Phases
}

// Islands is the parts of the network, those with a source first. It must not
// be changed.
func (o *Operation) Islands() []Island { return o.islands }

// Island is the part that a node is in.
func (o *Operation) Island(node int) int { return int(o.island[node]) }

// Feeder is the feeder that supplies a node as operated, or would if its root
// were supplied; None if no feeder's head is upstream.
func (o *Operation) Feeder(node int) int { return int(o.feeder[node]) }

// Supply is the edge that supplies a node, None for the root of an island.
func (o *Operation) Supply(node int) int { return int(o.supply[node]) }

// Upstream is the node that supplies a node, None for the root of an island.
func (o *Operation) Upstream(node int) int { return int(o.parent[node]) }

// Conducts is the phases that an edge connects in its position.
func (o *Operation) Conducts(edge int) Phases { return o.conducts(int32(edge)) }

// Device is the nearest switch or transformer upstream of a node, or None.
func (o *Operation) Device(node int) int {
	for n := int32(node); o.supply[n] != None; n = o.parent[n] {
		if o.snapshot.edges[o.supply[n]].Kind != KindLine {
			return int(o.supply[n])
		}
	}
	return None
}

// Below is the node that an edge supplies, None if it supplies none: it is
// open, or it closes a loop.
func (o *Operation) Below(edge int) int {
	switch e := &o.snapshot.edges[edge]; {
	case int(o.supply[e.A]) == edge:
		return e.A
	case int(o.supply[e.B]) == edge:
		return e.B
	}
	return None
}

// IsBelow reports whether a node is downstream of another one, or is that one.
func (o *Operation) IsBelow(node, of int) bool {
	return o.first[of] <= o.first[node] && o.first[node] < o.last[of]
}

// Downstream is a node and everything that is supplied through it, a node
// always behind what supplies it. It must not be changed.
func (o *Operation) Downstream(node int) []int32 { return o.preorder[o.first[node]:o.last[node]] }

// PointsBelow is the service points at a node and downstream of it. It must not
// be changed.
func (o *Operation) PointsBelow(node int) []int32 {
	return o.points[o.pointsTo[o.first[node]]:o.pointsTo[o.last[node]]]
}

// CustomersBelow is how many customers these have.
func (o *Operation) CustomersBelow(node int) int64 {
	return o.customers[o.pointsTo[o.last[node]]] - o.customers[o.pointsTo[o.first[node]]]
}

// InLoop reports whether an edge is part of a loop, or of a way between two
// sources: what is downstream of it has another supply.
func (o *Operation) InLoop(edge int) bool { return o.inLoop[edge] }

// Loops is the closed edges that are in no tree: each closes a loop. It must
// not be changed.
func (o *Operation) Loops() []int32 { return o.chords }

// Around is the edges of the loop that one of Loops closes, it first; or, if it
// joins two islands, those up to their roots.
func (o *Operation) Around(chord int) []int {
	e := &o.snapshot.edges[chord]
	edges := []int{chord}
	a, b := int32(e.A), int32(e.B)
	var back []int
	for a != b {
		up := &a
		if o.depth[a] < o.depth[b] {
			up = &b
		}
		if o.parent[*up] == None {
			break
		}
		edge := int(o.supply[*up])
		*up = o.parent[*up]
		if up == &a {
			edges = append(edges, edge)
		} else {
			back = append(back, edge)
		}
	}
	for i := len(back) - 1; i >= 0; i-- {
		edges = append(edges, back[i])
	}
	return edges
}
