package network

import (
	"cmp"
	"slices"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
)

// OneLine is the drawing of a feeder from its source down, in normal operation. What is
// behind a transformer of it isn't drawn but counted.
type OneLine struct {
	Feeder string // its id
	Head   string
	Nodes  []OneLineNode // the uppermost first, each behind what supplies it
	// Branches are the lines, switches and transformers between them, in the order of
	// the nodes that they supply.
	Branches []OneLineBranch
	Ties     []OneLineTie
	Columns  int
	Rows     int
	More     int // nodes that are left out, for there are too many
}

// OneLineNode is a node and its place in the drawing: the column from the left, the row from
// above.
type OneLineNode struct {
	ID, Name      string
	Busbar        bool
	Column, Row   int
	Node          int // of the snapshot
	ServicePoints int // at it, or behind it if Counted
	Customers     int64
	Counted       bool // it is behind a transformer, and what is behind it isn't drawn
}

// OneLineBranch is a line, switch or transformer between two nodes of the drawing.
type OneLineBranch struct {
	Edge                 int
	ID, Name, Kind, Type string
	From, To             int // in Nodes
	Position             store.Telemetered
	InLoop               bool
}

// OneLineTie is an open switch by which a node could be connected with another one.
type OneLineTie struct {
	Edge           int
	ID, Name, Type string
	At             int    // in Nodes
	Beyond         int    // the node of the snapshot at its other end
	Other          string // the feeder at its other end; empty: none, or one that isn't seen
	OtherNode      string
	Within         int // the node in Nodes at its other end, or -1
	Position       store.Telemetered
}

// mostOneLine is how many nodes a drawing has at most.
const mostOneLine = 1500

// OneLine draws the feeder of an id, or that which supplies the asset of that id; nil if
// there is none that sees lets somebody see.
func (n *Network) OneLine(id string, sees func(zone string) bool) *OneLine {
	feeder := n.feederIndex(id)
	if feeder == grid.None {
		return nil
	}
	f := n.Feeder(feeder)
	e, ok := n.entries[f.ID]
	head := n.EdgeOf(f.Head)
	if !ok || !sees(n.entryZone(e)) || head == grid.None {
		return nil
	}
	below := n.Normal().Below(head)
	if below == grid.None {
		return nil
	}
	d := drawing{Network: n, sees: sees, out: OneLine{Feeder: f.ID, Head: f.Head}, drawn: map[int]int{}}
	d.fromSource(below)
	d.out.Columns, d.out.Rows = d.place()
	d.ties()
	return &d.out
}

// feederIndex is the feeder of an id, or that which supplies the asset of it.
func (n *Network) feederIndex(id string) int {
	if f := n.FeederOf(id); f != grid.None {
		return f
	}
	o, node := n.Normal(), n.Node(id)
	if edge := n.EdgeOf(id); edge != grid.None {
		if node = o.Below(edge); node == grid.None {
			node = n.Edge(edge).A
		}
	} else if p := n.PointOf(id); p != grid.None {
		node = n.Point(p).Node
	}
	if node == grid.None {
		return grid.None
	}
	return o.Feeder(node)
}

type drawing struct {
	*Network
	sees  func(zone string) bool
	out   OneLine
	drawn map[int]int // by node of the snapshot: its index in Nodes
	tree  [][]int     // by index in Nodes: those below it
}

// add adds a node, and the edge that supplies it from another one, -1: none.
func (d *drawing) add(node, edge, from int) int {
	at := len(d.out.Nodes)
	v := OneLineNode{ID: d.NodeID(node), Node: node}
	if e := d.NodeEntry(node); e != nil {
		v.Name, v.Busbar = e.Name, e.Type == grid.Busbar
	}
	if !d.sees(d.nodeZone[node]) {
		v.ID, v.Name = "", ""
	}
	d.out.Nodes = append(d.out.Nodes, v)
	d.drawn[node] = at
	d.tree = append(d.tree, nil)
	if from >= 0 {
		d.tree[from] = append(d.tree[from], at)
		b := OneLineBranch{Edge: edge, ID: d.EdgeAsset(edge).ID, Name: d.EdgeAsset(edge).Name, Kind: KindName(d.Edge(edge).Kind), From: from, To: at, InLoop: d.Normal().InLoop(edge)}
		b.Type, b.Position = d.switchOf(edge)
		d.out.Branches = append(d.out.Branches, b)
	}
	return at
}

func (d *drawing) switchOf(edge int) (kind string, position store.Telemetered) {
	e := d.Edge(edge)
	switch e.Kind {
	case grid.KindSwitch:
		return d.Model().Switches[e.Index].Type.String(), d.PositionSignal(d.EdgeAsset(edge).ID)
	case grid.KindLine:
		return d.Model().Lines[e.Index].Type.String(), position
	}
	return "", position
}

// fromSource draws the way from the source to the feeder's first node, as far as it is
// seen, and all that is behind that.
func (d *drawing) fromSource(first int) {
	o := d.Normal()
	way := []int{first}
	for node := first; o.Supply(node) != grid.None && d.sees(d.edgeZone(o.Supply(node))); {
		node = o.Upstream(node)
		way = append(way, node)
	}
	slices.Reverse(way)
	at := d.add(way[0], grid.None, -1)
	for _, node := range way[1:] {
		at = d.add(node, o.Supply(node), at)
	}
	d.down(first, at)
}

// down draws what is behind a node, the way to most customers first.
func (d *drawing) down(node, at int) {
	o := d.Normal()
	type place struct{ node, at int }
	for work := []place{{node, at}}; len(work) > 0; {
		from := work[len(work)-1]
		work = work[:len(work)-1]
		d.count(from.at, d.PointsAt(from.node))
		for _, below := range d.suppliedBy(from.node) {
			edge := o.Supply(below)
			if len(d.out.Nodes) == mostOneLine {
				d.out.More += len(o.Downstream(below))
				continue
			}
			at := d.add(below, edge, from.at)
			if d.Edge(edge).Kind == grid.KindTransformer {
				d.out.Nodes[at].Counted = true
				d.count(at, o.PointsBelow(below))
				continue
			}
			work = append(work, place{below, at})
		}
	}
}

// suppliedBy is the nodes that are directly supplied by one, those with most customers
// behind them first.
func (d *drawing) suppliedBy(node int) (list []int) {
	o := d.Normal()
	d.EdgesAt(node, func(edge, other int) {
		if o.Supply(other) == edge && d.sees(d.edgeZone(edge)) {
			list = append(list, other)
		}
	})
	slices.SortStableFunc(list, func(a, b int) int {
		return cmp.Or(cmp.Compare(o.CustomersBelow(b), o.CustomersBelow(a)), cmp.Compare(o.Supply(a), o.Supply(b)))
	})
	return list
}

func (d *drawing) count(at int, points []int32) {
	v := &d.out.Nodes[at]
	for _, p := range points {
		if d.sees(d.pointZone(int(p))) {
			v.ServicePoints++
			v.Customers += int64(d.Point(int(p)).Customers)
		}
	}
}

// place gives each node its row and column: rows by how many branches are above it, columns
// so that the first of what a node supplies stands below it, the others to the right of that,
// as near as what they supply lets them.
func (d *drawing) place() (columns, rows int) {
	nodes := d.out.Nodes
	for at := range nodes { // what supplies a node comes before it
		for _, below := range d.tree[at] {
			nodes[below].Row = nodes[at].Row + 1
		}
		rows = max(rows, nodes[at].Row+1)
	}
	// The free column by row, from each subtree's own first column: what a subtree takes.
	right := make([][]int, len(nodes)) // by rows below a node, itself first: the first column that is free
	left := make([][]int, len(nodes))  // and the first that is taken
	shift := make([]int, len(nodes))   // against what is above
	for at := len(nodes) - 1; at >= 0; at-- {
		r, l := []int{1}, []int{0}
		for _, below := range d.tree[at] {
			by := 0
			for i, first := range left[below] {
				if i+1 < len(r) {
					by = max(by, r[i+1]-first)
				}
			}
			shift[below] = by
			r[0] = max(r[0], by+1) // along its row goes the way to it
			for i, free := range right[below] {
				if i+1 == len(r) {
					r, l = append(r, 0), append(l, left[below][i]+by)
				}
				r[i+1] = free + by
			}
			right[below], left[below] = nil, nil
		}
		right[at], left[at] = r, l
	}
	for at := range nodes {
		for _, below := range d.tree[at] {
			nodes[below].Column = nodes[at].Column + shift[below]
		}
		columns = max(columns, nodes[at].Column+1)
	}
	return columns, rows
}

// ties are the open switches at the nodes that are drawn.
func (d *drawing) ties() {
	o := d.Normal()
	for at := range d.out.Nodes {
		node := d.out.Nodes[at].Node
		if d.out.Nodes[at].Counted {
			continue
		}
		d.EdgesAt(node, func(edge, other int) {
			e := d.Edge(edge)
			if e.Kind != grid.KindSwitch || o.Conducts(edge) != 0 || !d.sees(d.edgeZone(edge)) {
				return
			}
			tie := OneLineTie{Edge: edge, ID: d.EdgeAsset(edge).ID, Name: d.EdgeAsset(edge).Name, At: at, Beyond: other, Within: -1}
			if within, ok := d.drawn[other]; ok {
				if within < at {
					return // it is told of at its other end
				}
				tie.Within = within
			}
			tie.Type, tie.Position = d.switchOf(edge)
			if d.sees(d.nodeZone[other]) {
				tie.Other, tie.OtherNode = d.feederAt(other), d.NodeID(other)
			}
			d.out.Ties = append(d.out.Ties, tie)
		})
	}
}
