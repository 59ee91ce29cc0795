package network

import (
	"slices"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
)

// Ref names an asset.
type Ref struct{ ID, Kind, Name string }

// Connection is a node of an asset, and what else is there.
type Connection struct {
	Node   string
	Assets []Ref
}

// Behind is what has no supply without an asset, unless it is in a loop.
type Behind struct {
	ServicePoints int
	Customers     int64
}

// View is an asset in its network, which is in normal operation.
type View struct {
	Properties  map[string]string // what the model says of it, by its keys
	Connections []Connection
	// SuppliedBy is the way to its source: lines, switches and transformers, the nearest
	// first, and the source last.
	SuppliedBy []Ref
	Energised  grid.Phases // with supply, of an asset at a node
	InLoop     bool        // part of a loop: what is behind it has another supply
	Behind     Behind
	Position   store.Telemetered // of a switch
}

// mostRefs bounds each list of a View.
const mostRefs = 1000

// View looks at an asset; nil if it isn't part of the network. Of assets of zones that
// sees refuses it doesn't tell, and doesn't count their customers.
func (n *Network) View(id string, sees func(zone string) bool) *View {
	v := viewer{Network: n, sees: sees}
	switch edge, point, node := n.EdgeOf(id), n.PointOf(id), n.Node(id); {
	case edge != grid.None:
		v.edge(edge)
	case point != grid.None:
		p := n.Point(point)
		v.out.Properties = gridfile.Properties(n.Model(), grid.KindServicePoint, p.Index)
		v.at(id, p.Node)
		v.supply(p.Node)
		v.count([]int32{int32(point)})
	case node != grid.None:
		if e := n.NodeEntry(node); e != nil {
			v.out.Properties = v.nodeProperties(e)
		}
		v.at(id, node)
		v.supply(node)
		v.count(n.Normal().PointsBelow(node))
	default:
		e, ok := n.entries[id]
		if !ok {
			return nil
		}
		v.entry(id, e)
	}
	return &v.out
}

type viewer struct {
	*Network
	sees func(zone string) bool
	out  View
}

func (v *viewer) nodeProperties(entry *grid.Node) map[string]string {
	for i := range v.Model().Nodes {
		if &v.Model().Nodes[i] == entry {
			return gridfile.Properties(v.Model(), grid.KindNode, i)
		}
	}
	return nil
}

func (v *viewer) edge(edge int) {
	e, o := v.Edge(edge), v.Normal()
	v.out.Properties = gridfile.Properties(v.Model(), e.Kind, e.Index)
	id := v.EdgeAsset(edge).ID
	v.out.Position = v.PositionSignal(id)
	v.at(id, e.A)
	v.at(id, e.B)
	v.out.InLoop = o.InLoop(edge)
	if below := o.Below(edge); below != grid.None {
		v.supply(o.Upstream(below))
		v.out.Energised = o.Energised(below)
		v.count(o.PointsBelow(below))
	}
}

func (v *viewer) entry(id string, e entry) {
	m, o := v.Model(), v.Normal()
	v.out.Properties = gridfile.Properties(m, e.kind, e.index)
	switch e.kind {
	case grid.KindSource:
		if node := v.Node(m.Sources[e.index].Node); node != grid.None {
			v.at(id, node)
			v.out.Energised = o.Energised(node)
			v.count(o.PointsBelow(node))
		}
	case grid.KindFeeder:
		if head := v.EdgeOf(m.Feeders[e.index].Head); head != grid.None {
			if below := o.Below(head); below != grid.None {
				v.supply(below)
				v.count(o.PointsBelow(below))
			}
		}
	case grid.KindSubstation:
		tops := v.tops[id]
		if len(tops) == 1 {
			v.supply(tops[0])
		}
		for _, node := range tops {
			v.count(o.PointsBelow(node))
		}
	case grid.KindZone:
		for point := range v.Points() {
			if slices.Contains(v.within[v.pointZone(point)], id) {
				v.count([]int32{int32(point)})
			}
		}
	}
}

func (v *viewer) count(points []int32) {
	for _, p := range points {
		if v.sees(v.pointZone(int(p))) {
			v.out.Behind.ServicePoints++
			v.out.Behind.Customers += int64(v.Point(int(p)).Customers)
		}
	}
}

// tell names an asset in a list, if it may and there is room.
func (v *viewer) tell(list *[]Ref, kind grid.Kind, a *grid.Asset, zone string) {
	if len(*list) < mostRefs && v.sees(zone) {
		*list = append(*list, Ref{a.ID, KindName(kind), a.Name})
	}
}

// at adds a node of an asset.
func (v *viewer) at(id string, node int) {
	if !v.sees(v.nodeZone[node]) && v.NodeID(node) != id {
		return
	}
	c := Connection{Node: v.NodeID(node)}
	add := func(kind grid.Kind, a *grid.Asset, zone string) {
		if a.ID != id {
			v.tell(&c.Assets, kind, a, zone)
		}
	}
	for i := range v.Model().Sources {
		s := &v.Model().Sources[i]
		if s.Node == c.Node && v.entries[s.ID] == (entry{grid.KindSource, i}) {
			add(grid.KindSource, &s.Asset, v.entryZone(v.entries[s.ID]))
		}
	}
	v.EdgesAt(node, func(edge, _ int) { add(v.Edge(edge).Kind, v.EdgeAsset(edge), v.edgeZone(edge)) })
	for _, p := range v.PointsAt(node) {
		add(grid.KindServicePoint, &v.PointAsset(int(p)).Asset, v.pointZone(int(p)))
	}
	v.out.Connections = append(v.out.Connections, c)
}

// supply follows the way from a node to its source.
func (v *viewer) supply(node int) {
	o := v.Normal()
	v.out.Energised = o.Energised(node)
	for o.Supply(node) != grid.None {
		edge := o.Supply(node)
		v.tell(&v.out.SuppliedBy, v.Edge(edge).Kind, v.EdgeAsset(edge), v.edgeZone(edge))
		node = o.Upstream(node)
	}
	if source := o.Islands()[o.Island(node)].Source; source != grid.None {
		v.tell(&v.out.SuppliedBy, grid.KindSource, &v.Model().Sources[source].Asset, v.entryZone(entry{grid.KindSource, source}))
	}
}
