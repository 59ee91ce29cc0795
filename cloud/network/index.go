package network

import (
	"database/sql"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// Index is the network as rows: of each asset that is part of it, and of nodes that
// equipment names.
func (n *Network) Index() store.GridIndex {
	x := indexer{Network: n, seen: make(map[string]bool, n.Nodes()+n.Edges()+n.Points())}
	x.out.AsOf, x.out.NextChange = n.AsOf, nextChange(n.Model(), n.AsOf)
	m := n.Model()
	m.Each(func(kind grid.Kind, i int, a *grid.Asset) {
		if e, ok := n.entries[a.ID]; ok && e == (entry{kind, i}) {
			x.entry(e, a)
		}
	})
	for edge := range n.Edges() {
		x.edge(edge)
	}
	for point := range n.Points() {
		x.point(point)
	}
	for node := range n.Nodes() {
		x.node(node)
	}
	for zone, list := range n.within {
		for _, within := range list {
			x.out.Zones = append(x.out.Zones, store.GridZone{Zone: zone, Within: within})
		}
	}
	return x.out
}

// nextChange is when the first asset comes or goes after a time, 0 if none does.
func nextChange(m *grid.Model, after telemetry.Micros) (next telemetry.Micros) {
	m.Each(func(_ grid.Kind, _ int, a *grid.Asset) {
		for _, t := range []telemetry.Micros{telemetry.Micros(a.ValidFrom), telemetry.Micros(a.ValidTo)} {
			if t > after && (next == 0 || t < next) {
				next = t
			}
		}
	})
	return next
}

type indexer struct {
	*Network
	out  store.GridIndex
	seen map[string]bool
}

// add adds a row with what every asset has. The first of an id counts.
func (x *indexer) add(kind grid.Kind, a *grid.Asset, row store.GridAsset) {
	if x.seen[a.ID] {
		return
	}
	x.seen[a.ID] = true
	row.ID, row.Kind, row.Name = a.ID, KindName(kind), a.Name
	if a.Position.Known {
		row.X, row.Y = sql.NullFloat64{Float64: a.Position.X, Valid: true}, sql.NullFloat64{Float64: a.Position.Y, Valid: true}
	}
	row.ValidFrom, row.ValidTo = telemetry.Micros(a.ValidFrom), telemetry.Micros(a.ValidTo)
	x.out.Assets = append(x.out.Assets, row)
}

// known is a quantity, unless it is 0.
func known[T ~float64](v T) sql.NullFloat64 {
	return sql.NullFloat64{Float64: float64(v), Valid: v != 0}
}

func (x *indexer) entry(e entry, a *grid.Asset) {
	m := x.Model()
	row := store.GridAsset{Zone: x.entryZone(e)}
	switch e.kind {
	case grid.KindZone:
		row.Parent = m.Zones[e.index].Parent
	case grid.KindSubstation:
		if tops := x.tops[a.ID]; len(tops) == 1 {
			row.Feeder, row.Transformer = x.feederAt(tops[0]), x.nameOf(x.nodeTransformer[tops[0]])
		}
	case grid.KindSource:
		v := &m.Sources[e.index]
		row.Voltage = known(v.Voltage)
		if node := x.Node(v.Node); node != grid.None {
			row.Substation = x.substationAt(node)
		}
	case grid.KindFeeder:
		v := &m.Feeders[e.index]
		row.Feeder, row.Substation = v.ID, v.Substation
		if head := x.EdgeOf(v.Head); head != grid.None {
			row.Transformer = x.transformerOf(head)
		}
	}
	x.add(e.kind, a, row)
}

func (x *indexer) edge(edge int) {
	e, m, o := x.Edge(edge), x.Model(), x.Normal()
	row := store.GridAsset{Zone: x.edgeZone(edge), Phases: e.Phases.String(), Transformer: x.transformerOf(edge)}
	if at := o.Below(edge); at != grid.None {
		row.Feeder = x.feederAt(at)
	} else if o.InLoop(edge) {
		row.Feeder = x.feederAt(e.A)
	}
	switch e.Kind {
	case grid.KindLine:
		v := &m.Lines[e.Index]
		row.Type, row.Voltage, row.RatedCurrent = v.Type.String(), known(v.Voltage), known(v.RatedCurrent)
	case grid.KindSwitch:
		v := &m.Switches[e.Index]
		row.Type, row.Voltage, row.Substation = v.Type.String(), known(v.Voltage), v.Substation
	case grid.KindTransformer:
		v := &m.Transformers[e.Index]
		row.Voltage, row.RatedPower, row.Substation = known(v.HighVoltage), known(v.RatedPower), v.Substation
	}
	x.add(e.Kind, x.EdgeAsset(edge), row)
}

func (x *indexer) point(point int) {
	p, v := x.Point(point), x.PointAsset(point)
	x.add(grid.KindServicePoint, &v.Asset, store.GridAsset{
		Zone: x.pointZone(point), Type: v.Priority.String(), Phases: p.Phases.String(), Customers: int64(p.Customers), Voltage: known(v.Voltage),
		Feeder: x.feederAt(p.Node), Transformer: x.nameOf(x.nodeTransformer[p.Node]), Substation: x.substationAt(p.Node),
	})
}

func (x *indexer) node(node int) {
	a := &grid.Asset{ID: x.NodeID(node)}
	row := store.GridAsset{Zone: x.nodeZone[node], Type: grid.Joint.String(), Feeder: x.feederAt(node), Transformer: x.nameOf(x.nodeTransformer[node])}
	if v := x.NodeEntry(node); v != nil {
		a = &v.Asset
		row.Type, row.Voltage, row.Substation = v.Type.String(), known(v.Voltage), v.Substation
	}
	x.add(grid.KindNode, a, row)
}

// transformerOf is the one that supplies an edge, which isn't the edge itself.
func (n *Network) transformerOf(edge int) string {
	if below := n.Normal().Below(edge); below != grid.None {
		return n.nameOf(n.nodeTransformer[n.Normal().Upstream(below)])
	}
	return ""
}

func (n *Network) nameOf(edge int) string {
	if edge == grid.None {
		return ""
	}
	return n.EdgeAsset(edge).ID
}

func (n *Network) feederAt(node int) string {
	if f := n.Normal().Feeder(node); f != grid.None {
		return n.Feeder(f).ID
	}
	return ""
}

func (n *Network) substationAt(node int) string {
	if v := n.NodeEntry(node); v != nil {
		return v.Substation
	}
	return ""
}
