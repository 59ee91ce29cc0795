package powerflow

import (
	"fmt"

	"github.com/busbar/busbar/grid"
)

// nominalVoltages is that of each node between phases: what it or its equipment
// is said to have, else that of what lines and switches join it to.
func nominalVoltages(s *grid.Snapshot) ([]float64, error) {
	m := s.Model()
	known := make([]float64, s.Nodes())
	said := func(node int, v grid.Voltage) {
		if node != grid.None && known[node] == 0 {
			known[node] = float64(v)
		}
	}
	for n := range known {
		if entry := s.NodeEntry(n); entry != nil {
			said(n, entry.Voltage)
		}
	}
	for i := range m.Sources {
		said(s.Node(m.Sources[i].Node), m.Sources[i].Voltage)
	}
	for i := range s.Edges() {
		switch e := s.Edge(i); e.Kind {
		case grid.KindTransformer:
			v := &m.Transformers[e.Index]
			said(e.A, v.HighVoltage)
			said(e.B, v.LowVoltage)
		case grid.KindLine:
			said(e.A, m.Lines[e.Index].Voltage)
			said(e.B, m.Lines[e.Index].Voltage)
		case grid.KindSwitch:
			said(e.A, m.Switches[e.Index].Voltage)
			said(e.B, m.Switches[e.Index].Voltage)
		}
	}
	for i := range s.Points() {
		said(s.Point(i).Node, s.PointAsset(i).Voltage)
	}
	var queue []int
	for n, v := range known {
		if v != 0 {
			queue = append(queue, n)
		}
	}
	for at := 0; at < len(queue); at++ {
		n := queue[at]
		s.EdgesAt(n, func(edge, other int) {
			if known[other] == 0 && s.Edge(edge).Kind != grid.KindTransformer {
				known[other] = known[n]
				queue = append(queue, other)
			}
		})
	}
	for n, v := range known {
		if v == 0 {
			return nil, fmt.Errorf("powerflow: the voltage of node %s isn't known: neither its nor that of anything at it is given", s.NodeID(n))
		}
	}
	return known, nil
}
