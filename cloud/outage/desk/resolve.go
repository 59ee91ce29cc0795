package desk

import (
	"strconv"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/grid"
)

// resolve looks up in the network what a piece of evidence is about: gateways name an asset
// of whatever kind. False if it can't say anything of the kind that it is.
func resolve(n *network.Network, row taken) (v outage.Evidence, ok bool) {
	v = row.Evidence
	v.ID = strconv.FormatInt(row.seq, 10)
	switch v.Kind {
	case outage.Meter, outage.LastGasp, outage.PowerUp, outage.Interrupted, outage.Timeout, outage.Answer, outage.Call, outage.PointOut, outage.PointSupplied:
		if v.Point == "" {
			v.Point, v.Asset = v.Asset, ""
		}
		return v, n.PointOf(v.Point) != grid.None
	case outage.PingAnswered, outage.PingUnanswered:
		if v.Asset != "" {
			v.Point, v.Asset = v.Asset, ""
			return v, n.PointOf(v.Point) != grid.None
		}
	case outage.Voltage:
		if v.Point != "" || n.PointOf(v.Asset) != grid.None {
			if v.Point == "" {
				v.Point, v.Asset = v.Asset, ""
			}
			return v, true
		}
		v.Asset = placeOf(n, v.Asset)
		return v, v.Asset != ""
	case outage.Gateway:
		v.Asset = placeOf(n, v.Asset)
		return v, v.Asset != ""
	case outage.Position:
		if f := n.FeederOf(v.Switch); n.EdgeOf(v.Switch) == grid.None && f != grid.None {
			v.Switch = n.Feeder(f).Head
		}
		return v, n.EdgeOf(v.Switch) != grid.None
	}
	return v, true
}

// placeOf is the node or transformer at which an asset takes its supply, or gives it; "" if
// there is none.
func placeOf(n *network.Network, asset string) string {
	if edge := n.EdgeOf(asset); edge != grid.None && n.Edge(edge).Kind == grid.KindTransformer {
		return asset
	}
	if node := nodeOf(n, asset); node != grid.None {
		return n.NodeID(node)
	}
	return ""
}

// nodeOf is the node that is without supply if an asset is: its own, of a line, switch or
// transformer the one that it supplies in normal operation, of a feeder the one behind its
// head, of a substation a node of it; None if there is none.
func nodeOf(n *network.Network, asset string) int {
	if asset == "" {
		return grid.None
	}
	if node := n.Node(asset); node != grid.None {
		return node
	}
	if point := n.PointOf(asset); point != grid.None {
		return n.Point(point).Node
	}
	if edge := n.EdgeOf(asset); edge != grid.None {
		return n.Normal().Below(edge)
	}
	if f := n.FeederOf(asset); f != grid.None {
		if head := n.EdgeOf(n.Feeder(f).Head); head != grid.None {
			return n.Normal().Below(head)
		}
		return grid.None
	}
	for node := range n.Nodes() {
		if e := n.NodeEntry(node); e != nil && e.Substation == asset {
			return node
		}
	}
	return grid.None
}
