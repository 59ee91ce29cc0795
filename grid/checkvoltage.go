package grid

import "fmt"

// voltages checks that lines and switches have one voltage at both ends, and
// that equipment is for the voltage of its node. What isn't said follows from
// what is connected.
func (c *networkChecker) voltages() {
	s, m := c.s, c.model
	known := make([]Voltage, len(s.nodes))
	told := make([]string, len(s.nodes)) // by whom
	said := func(a *Asset, node string, v Voltage, what string) {
		n := s.Node(node)
		if n == None || v == 0 || !a.ValidAt(s.at) {
			return
		}
		switch {
		case known[n] == 0:
			known[n], told[n] = v, a.ID
		case !alike(known[n], v):
			c.add(Error, VoltageMismatch, a, "%s is %s, and node %s has %s, by %s", what, v, node, known[n], told[n])
		}
	}
	for i := range m.Nodes {
		said(&m.Nodes[i].Asset, m.Nodes[i].ID, m.Nodes[i].Voltage, "its voltage")
	}
	for i := range m.Sources {
		said(&m.Sources[i].Asset, m.Sources[i].Node, m.Sources[i].Voltage, "its voltage")
	}
	for i := range m.Transformers {
		v := &m.Transformers[i]
		said(&v.Asset, v.From, v.HighVoltage, "its high voltage")
		said(&v.Asset, v.To, v.LowVoltage, "its low voltage")
	}
	for i := range m.Lines {
		v := &m.Lines[i]
		said(&v.Asset, v.From, v.Voltage, "its voltage")
		said(&v.Asset, v.To, v.Voltage, "its voltage")
	}
	for i := range m.Switches {
		v := &m.Switches[i]
		said(&v.Asset, v.From, v.Voltage, "its voltage")
		said(&v.Asset, v.To, v.Voltage, "its voltage")
	}
	c.spread(known, told)
	for i := range m.ServicePoints {
		said(&m.ServicePoints[i].Asset, m.ServicePoints[i].Node, m.ServicePoints[i].Voltage, "its voltage")
	}
}

// spread carries voltages along lines and switches, whatever their position,
// and tells of those where two meet.
func (c *networkChecker) spread(known []Voltage, told []string) {
	s := c.s
	queue := make([]int32, 0, len(known))
	for n := range known {
		if known[n] != 0 {
			queue = append(queue, int32(n))
		}
	}
	for at := 0; at < len(queue); at++ {
		n := queue[at]
		s.EdgesAt(int(n), func(edge, other int) {
			if s.edges[edge].Kind != KindTransformer && known[other] == 0 {
				known[other], told[other] = known[n], told[n]
				queue = append(queue, int32(other))
			}
		})
	}
	for i, e := range s.edges {
		if e.Kind == KindTransformer || known[e.A] == 0 || alike(known[e.A], known[e.B]) {
			continue
		}
		a := s.EdgeAsset(i)
		own := Voltage(0)
		if e.Kind == KindLine {
			own = c.model.Lines[e.Index].Voltage
		} else {
			own = c.model.Switches[e.Index].Voltage
		}
		if own != 0 {
			continue // it has been told that it isn't for one of them
		}
		side := func(n int) string { return fmt.Sprintf("%s with %s, by %s", s.NodeID(n), known[n], told[n]) }
		c.add(Error, VoltageMismatch, a, "it joins two voltages: node %s; and node %s", side(e.A), side(e.B))
	}
}

// alike reports whether two nominal voltages may be those of one network, in
// which windings are rated up to a tenth apart.
func alike(a, b Voltage) bool { return max(a, b) <= 1.1001*min(a, b) }
