package network

import (
	"slices"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
)

// Supply is whether a node has supply, as far as is known.
type Supply string

const (
	Live    Supply = "live"
	Unknown Supply = "unknown" // it depends on what isn't known
	Dead    Supply = "dead"
)

// Operated is how a network is operated where it isn't as in normal operation, or that isn't
// known. What it doesn't name is as its model says.
type Operated struct {
	// Edges are live if they conduct, dead if they don't, and otherwise that isn't known.
	Edges map[int]Supply
	// Nodes are those of which it is measured, or concluded, that they are dead, and those at which
	// a source is that may be.
	Nodes map[int]Supply
}

// Supplied is which nodes have supply, by node. Nothing passes through what cut names, if it
// isn't nil. A source of which nothing else is known is live.
func (n *Network) Supplied(o Operated, cut func(edge int) bool) []Supply {
	const dead, unknown, live = 0, 1, 2
	is := make([]uint8, n.Nodes())
	passes := func(edge int) uint8 {
		if cut != nil && cut(edge) {
			return dead
		}
		switch said, known := o.Edges[edge]; {
		case said == Live, !known && n.Normal().Conducts(edge) != 0:
			return live
		case said == Unknown:
			return unknown
		}
		return dead
	}
	// Most first: what is reached as live isn't looked at again.
	var next []int
	reach := func(node int, as uint8) {
		if is[node] < as && o.Nodes[node] != Dead {
			is[node] = as
			next = append(next, node)
		}
	}
	for _, as := range []uint8{live, unknown} {
		next = next[:0]
		for _, node := range n.sources {
			if as == unknown || o.Nodes[node] != Unknown {
				reach(node, as)
			}
		}
		if as == unknown {
			for node, had := range is {
				if had == live {
					next = append(next, node)
				}
			}
		}
		for len(next) > 0 {
			node := next[len(next)-1]
			next = next[:len(next)-1]
			n.EdgesAt(node, func(edge, other int) {
				if is[other] < as && passes(edge) >= as {
					reach(other, as)
				}
			})
		}
	}
	out := make([]Supply, len(is))
	for node, v := range is {
		out[node] = [...]Supply{Dead, Unknown, Live}[v]
	}
	return out
}

// Sources are the nodes that the model's sources feed, in its order.
func (n *Network) Sources() []int { return n.sources }

// SourceAt is the source that feeds the node at that place of Sources.
func (n *Network) SourceAt(i int) *grid.Source { return &n.Model().Sources[n.sourceIndex[i]] }

// Apart is a cut for Supplied: all that the drawn feeder supplies in normal operation.
func (n *Network) Apart(d *OneLine) func(edge int) bool {
	o := n.Normal()
	below := o.Below(n.EdgeOf(d.Head))
	return func(edge int) bool {
		e := n.Edge(edge)
		return o.IsBelow(e.A, below) || o.IsBelow(e.B, below)
	}
}

// findSources looks which sources are part of the network, and which nodes they feed.
func (n *Network) findSources() {
	for i := range n.Model().Sources {
		s := &n.Model().Sources[i]
		if node := n.Node(s.Node); node != grid.None && n.entries[s.ID] == (entry{grid.KindSource, i}) {
			n.sources, n.sourceIndex = append(n.sources, node), append(n.sourceIndex, i)
		}
	}
}

// NodesOf are the nodes by whose supply an asset has it: of a line, switch or transformer its
// two ends, of a feeder the first node behind its head, of a substation those that nothing else
// of it supplies. A zone has none, nor has what isn't part of the network.
func (n *Network) NodesOf(id string) []int {
	if edge := n.EdgeOf(id); edge != grid.None {
		e := n.Edge(edge)
		return []int{e.A, e.B}
	}
	if point := n.PointOf(id); point != grid.None {
		return []int{n.Point(point).Node}
	}
	node := n.Node(id)
	if node == grid.None {
		switch e, ok := n.entries[id]; {
		case !ok:
		case e.kind == grid.KindSubstation:
			return n.tops[id]
		case e.kind == grid.KindSource:
			node = n.Node(n.Model().Sources[e.index].Node)
		case e.kind == grid.KindFeeder:
			if head := n.EdgeOf(n.Model().Feeders[e.index].Head); head != grid.None {
				node = n.Normal().Below(head)
			}
		}
	}
	if node == grid.None {
		return nil
	}
	return []int{node}
}

// NominalVoltages are those that an asset may have, in volts between phases, each once: its
// own, or else those of its nodes, and of a service point or a node without one the low voltage of
// the transformer that supplies it. Empty: the model doesn't say.
func (n *Network) NominalVoltages(id string) (list []grid.Voltage) {
	add := func(v grid.Voltage) {
		if v > 0 && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	if edge := n.EdgeOf(id); edge != grid.None {
		switch e, m := n.Edge(edge), n.Model(); e.Kind {
		case grid.KindLine:
			add(m.Lines[e.Index].Voltage)
		case grid.KindSwitch:
			add(m.Switches[e.Index].Voltage)
		default:
			add(m.Transformers[e.Index].HighVoltage)
			add(m.Transformers[e.Index].LowVoltage)
		}
	} else if point := n.PointOf(id); point != grid.None {
		add(n.PointAsset(point).Voltage)
	} else if e, ok := n.entries[id]; ok && e.kind == grid.KindSource {
		add(n.Model().Sources[e.index].Voltage)
	}
	for _, node := range n.NodesOf(id) {
		if len(list) > 0 {
			break
		}
		if e := n.NodeEntry(node); e != nil {
			add(e.Voltage)
		}
		if by := n.nodeTransformer[node]; len(list) == 0 && by != grid.None {
			add(n.Model().Transformers[n.Edge(by).Index].LowVoltage)
		}
	}
	return list
}

// PositionSignal is the one that shows the position of a switch, empty of what isn't measured,
// or isn't a switch.
func (n *Network) PositionSignal(id string) store.Telemetered {
	edge := n.EdgeOf(id)
	if edge == grid.None || n.Edge(edge).Kind != grid.KindSwitch {
		return store.Telemetered{}
	}
	s := &n.Model().Switches[n.Edge(edge).Index]
	if !s.Telemetered() {
		return store.Telemetered{}
	}
	return store.Telemetered{Gateway: s.Gateway, Device: s.Device, Name: s.Signal}
}
