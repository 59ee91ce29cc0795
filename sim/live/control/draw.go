package control

import "github.com/busbar/busbar/grid"

// Drawing is the grid's nodes, and what joins them, by the grid's index. Positions
// are those of the model if it has them, else by how far nodes are from the source.
type Drawing struct {
	Placed bool         `json:"placed"` // by the model
	X      []float64    `json:"x"`
	Y      []float64    `json:"y"`
	Points []int        `json:"points"` // service points by node
	Nodes  []string     `json:"nodes"`
	Edges  []DrawnEdge  `json:"edges"`
	Assets []DrawnPoint `json:"assets"` // service points
}

// DrawnEdge joins two nodes.
type DrawnEdge struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	A    int    `json:"a"`
	B    int    `json:"b"`
	Open bool   `json:"open,omitempty"` // in normal operation
}

// DrawnPoint is a service point.
type DrawnPoint struct {
	ID   string `json:"id"`
	Node int    `json:"node"`
}

func draw(s *grid.Snapshot) Drawing {
	n := s.Nodes()
	d := Drawing{X: make([]float64, n), Y: make([]float64, n), Points: make([]int, n), Nodes: make([]string, n), Assets: []DrawnPoint{}, Edges: []DrawnEdge{}}
	d.place(s)
	normal := s.NormalPositions()
	for i := range n {
		d.Nodes[i] = s.NodeID(i)
		d.Points[i] = len(s.PointsAt(i))
	}
	for e := range s.Edges() {
		x := s.Edge(e)
		d.Edges = append(d.Edges, DrawnEdge{ID: s.EdgeAsset(e).ID, Kind: kindOf(s, e), A: x.A, B: x.B, Open: normal[e] != 0})
	}
	for p := range s.Points() {
		d.Assets = append(d.Assets, DrawnPoint{s.PointAsset(p).ID, s.Point(p).Node})
	}
	return d
}

// place says where nodes are. A grid of which it isn't known is drawn from the left to
// the right: each node right of the one that supplies it, between those that it supplies.
func (d *Drawing) place(s *grid.Snapshot) {
	d.Placed = true
	for i := range d.X {
		entry := s.NodeEntry(i)
		if entry == nil || !entry.Position.Known {
			d.Placed = false
			break
		}
		d.X[i], d.Y[i] = entry.Position.X, entry.Position.Y
	}
	if d.Placed {
		return
	}
	rows := 0.0
	normal := s.Normal()
	for _, island := range normal.Islands() {
		nodes := normal.Downstream(island.Root)
		lowest, highest := map[int32]float64{}, map[int32]float64{}
		for _, n := range nodes {
			d.X[n] = 0
			if up := normal.Upstream(int(n)); up != grid.None {
				d.X[n] = d.X[up] + 1
			}
		}
		for i := len(nodes) - 1; i >= 0; i-- {
			n := nodes[i]
			low, has := lowest[n]
			if has {
				d.Y[n] = (low + highest[n]) / 2
			} else {
				d.Y[n] = rows
				rows++
			}
			up := int32(normal.Upstream(int(n)))
			if up == grid.None {
				continue
			}
			if y, has := lowest[up]; !has || d.Y[n] < y {
				lowest[up] = d.Y[n]
			}
			if y, has := highest[up]; !has || d.Y[n] > y {
				highest[up] = d.Y[n]
			}
		}
		rows++
	}
}
