package network

import (
	"github.com/busbar/busbar/grid"
)

// Map is what is where, of the assets that somebody sees. What has no position of its own
// is where it is connected: a service point at its node, or else at its transformer; a
// node where something at it is, or its substation.
type Map struct {
	Points      []Placed // service points, by their index; each behind what supplies it in normal operation
	Lines       []PlacedLine
	Devices     []Placed // switches and transformers, by their edge
	Substations []PlacedSubstation
	// How many have no place.
	PointsNowhere, LinesNowhere, DevicesNowhere int
}

// Placed is an asset, by an index of the snapshot, and its place.
type Placed struct {
	Index int
	At    grid.Position
}

// PlacedLine is a line between two places.
type PlacedLine struct {
	Edge     int
	From, To grid.Position
}

// PlacedSubstation is one, by its index in the model.
type PlacedSubstation struct {
	Index int
	At    grid.Position
}

// Map places what sees lets somebody see.
func (n *Network) Map(sees func(zone string) bool) (m Map) {
	nodes := n.nodePlaces()
	for edge := range n.Edges() {
		if !sees(n.edgeZone(edge)) {
			continue
		}
		e := n.Edge(edge)
		if e.Kind == grid.KindLine {
			if from, to := nodes[e.A], nodes[e.B]; from.Known && to.Known {
				m.Lines = append(m.Lines, PlacedLine{edge, from, to})
			} else {
				m.LinesNowhere++
			}
			continue
		}
		if at := n.devicePlace(edge, nodes); at.Known {
			m.Devices = append(m.Devices, Placed{edge, at})
		} else {
			m.DevicesNowhere++
		}
	}
	o := n.Normal()
	for _, island := range o.Islands() {
		for _, p := range o.PointsBelow(island.Root) {
			point := int(p)
			if !sees(n.pointZone(point)) {
				continue
			}
			at := n.PointAsset(point).Position
			node := n.Point(point).Node
			if !at.Known {
				at = nodes[node]
			}
			if t := n.nodeTransformer[node]; !at.Known && t != grid.None {
				at = n.devicePlace(t, nodes)
			}
			if at.Known {
				m.Points = append(m.Points, Placed{point, at})
			} else {
				m.PointsNowhere++
			}
		}
	}
	for i := range n.Model().Substations {
		s := &n.Model().Substations[i]
		if s.Position.Known && n.entries[s.ID] == (entry{grid.KindSubstation, i}) && sees(s.Zone) {
			m.Substations = append(m.Substations, PlacedSubstation{i, s.Position})
		}
	}
	return m
}

// nodePlaces is where each node is, as far as that is known.
func (n *Network) nodePlaces() []grid.Position {
	places := make([]grid.Position, n.Nodes())
	for node := range places {
		at := &places[node]
		if v := n.NodeEntry(node); v != nil {
			*at = v.Position
		}
		for _, p := range n.PointsAt(node) {
			if !at.Known {
				*at = n.PointAsset(int(p)).Position
			}
		}
		n.EdgesAt(node, func(edge, _ int) {
			if !at.Known && n.Edge(edge).Kind != grid.KindLine {
				*at = n.EdgeAsset(edge).Position
			}
		})
		if e, ok := n.entries[n.stationOf(node)]; !at.Known && ok && e.kind == grid.KindSubstation {
			*at = n.Model().Substations[e.index].Position
		}
	}
	return places
}

// devicePlace is where a switch or transformer is: its own place, or between its nodes, or
// at the one whose place is known.
func (n *Network) devicePlace(edge int, nodes []grid.Position) grid.Position {
	if at := n.EdgeAsset(edge).Position; at.Known {
		return at
	}
	from, to := nodes[n.Edge(edge).A], nodes[n.Edge(edge).B]
	switch {
	case !to.Known:
		return from
	case !from.Known:
		return to
	}
	return grid.Position{X: (from.X + to.X) / 2, Y: (from.Y + to.Y) / 2, Known: true}
}

// TransformerOf is the transformer that supplies a service point in normal operation, by
// its edge; grid.None: there is none on the way.
func (n *Network) TransformerOf(point int) int { return n.nodeTransformer[n.Point(point).Node] }
