package network

import (
	"github.com/busbar/busbar/grid"
)

// SupplyOf is the feeder that supplies an asset in normal operation, and the substation of
// that feeder. What no feeder supplies has the substation that it is in, or that of what
// supplies it. Both are "" of what the network hasn't got, and where nothing says them.
func (n *Network) SupplyOf(id string) (substation, feeder string) {
	node, own := grid.None, ""
	switch edge, point, f := n.EdgeOf(id), n.PointOf(id), n.FeederOf(id); {
	case f != grid.None:
		return n.feederStation(f), id
	case point != grid.None:
		node = n.Point(point).Node
	case edge != grid.None:
		if node = n.Normal().Below(edge); node == grid.None {
			node = n.Edge(edge).A
		}
		own = n.edgeStation(edge)
	case n.Node(id) != grid.None:
		node = n.Node(id)
	default:
		switch e, ok := n.entries[id]; {
		case !ok:
			return "", ""
		case e.kind == grid.KindSource:
			node = n.Node(n.Model().Sources[e.index].Node)
		case e.kind == grid.KindSubstation:
			own = id
			if tops := n.tops[id]; len(tops) == 1 {
				node = tops[0]
			}
		}
	}
	if node == grid.None {
		return own, ""
	}
	if f := n.Normal().Feeder(node); f != grid.None {
		return n.feederStation(f), n.Feeder(f).ID
	}
	for at := node; own == "" && at != grid.None; at = n.Normal().Upstream(at) {
		own = n.stationOf(at)
	}
	return own, ""
}

// feederStation is the substation that a feeder begins in.
func (n *Network) feederStation(feeder int) string {
	f := n.Feeder(feeder)
	head := n.EdgeOf(f.Head)
	if f.Substation != "" || head == grid.None {
		return f.Substation
	}
	station := n.edgeStation(head)
	for at := n.Normal().Below(head); station == "" && at != grid.None; {
		if at = n.Normal().Upstream(at); at != grid.None {
			station = n.stationOf(at)
		}
	}
	return station
}

// edgeStation is the substation that an edge says it is in.
func (n *Network) edgeStation(edge int) string {
	switch e := n.Edge(edge); e.Kind {
	case grid.KindSwitch:
		return n.Model().Switches[e.Index].Substation
	case grid.KindTransformer:
		return n.Model().Transformers[e.Index].Substation
	}
	return ""
}
