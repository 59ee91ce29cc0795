package grid

// Circuits is the feeders that the network itself shows, for a model that has
// none. A station reaches from a source, or from a transformer to more than
// 1 kV, through everything but lines; each line that leaves it and supplies
// service points begins a circuit. Its head is what protects only it, or else
// what switches only it, or else the line. The id is the head's, with feeder-
// before it.
func (s *Snapshot) Circuits() []Feeder {
	o := s.normal
	children := make([]int32, len(s.nodes))
	for _, p := range o.parent {
		if p != None {
			children[p]++
		}
	}
	var out []Feeder
	station := make([]bool, len(s.nodes))
	for _, n := range o.order {
		edge := o.supply[n]
		switch {
		case edge == None:
			station[n] = o.islands[o.island[n]].Source != None
			continue
		case s.edges[edge].Kind == KindTransformer && s.model.Transformers[s.edges[edge].Index].LowVoltage > 1000:
			station[n] = true
			continue
		case !station[o.parent[n]]:
			continue
		case s.edges[edge].Kind != KindLine:
			station[n] = true
			continue
		case len(o.PointsBelow(int(n))) == 0:
			continue
		}
		head := edge
		for at := o.parent[n]; o.supply[at] != None && children[at] == 1 && len(s.PointsAt(int(at))) == 0; at = o.parent[at] {
			up := o.supply[at]
			if s.edges[up].Kind != KindSwitch {
				break
			}
			if t := s.model.Switches[s.edges[up].Index].Type; t.Protective() || s.edges[head].Kind == KindLine {
				head = up
				if t.Protective() {
					break
				}
			}
		}
		f := Feeder{Head: s.EdgeAsset(int(head)).ID}
		f.ID = "feeder-" + f.Head
		f.Place = s.EdgeAsset(int(head)).Place
		if e := s.edges[head]; e.Kind == KindSwitch {
			f.Substation = s.model.Switches[e.Index].Substation
		}
		out = append(out, f)
	}
	return out
}
