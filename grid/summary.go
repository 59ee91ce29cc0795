package grid

// Summary is how much of what a network has.
type Summary struct {
	Substations   int   `json:"substations"`
	Feeders       int   `json:"feeders"`
	Nodes         int   `json:"nodes"`
	Lines         int   `json:"lines"`
	Switches      int   `json:"switches"`
	NormallyOpen  int   `json:"normally_open"` // of the switches
	Telemetered   int   `json:"telemetered"`   // of the switches
	Transformers  int   `json:"transformers"`
	ServicePoints int   `json:"service_points"`
	Customers     int64 `json:"customers"`
	Sources       int   `json:"sources"`
	UnfedIslands  int   `json:"unfed_islands"`
	Loops         int   `json:"loops"`
}

// Summary counts what is part of the network at the snapshot's time.
func (s *Snapshot) Summary() Summary {
	sum := Summary{Feeders: len(s.feeders), Nodes: len(s.nodes), ServicePoints: len(s.points), Sources: len(s.sources), Loops: len(s.normal.chords)}
	for i := range s.model.Substations {
		if s.model.Substations[i].ValidAt(s.at) {
			sum.Substations++
		}
	}
	for _, e := range s.edges {
		switch e.Kind {
		case KindLine:
			sum.Lines++
		case KindTransformer:
			sum.Transformers++
		case KindSwitch:
			sum.Switches++
			v := &s.model.Switches[e.Index]
			if v.NormallyOpen {
				sum.NormallyOpen++
			}
			if v.Telemetered() {
				sum.Telemetered++
			}
		}
	}
	for _, p := range s.points {
		sum.Customers += int64(p.Customers)
	}
	for _, island := range s.normal.islands {
		if island.Source == None {
			sum.UnfedIslands++
		}
	}
	return sum
}
