package evidence

import (
	"slices"

	"github.com/busbar/busbar/grid"
)

// Mistake is a service point that a model has elsewhere than it is.
type Mistake struct {
	Point string `json:"point"`
	Node  string `json:"node"`  // where it is
	Given string `json:"given"` // where the model has it
}

// Mistaken is the model as it is known, in which a share of the service points
// is behind another transformer than in truth: that of a service point near in
// the list, as the grid is at a time. The model itself isn't changed.
func Mistaken(m *grid.Model, at int64, share float64, seed uint64) (*grid.Model, []Mistake) {
	known := *m
	known.ServicePoints = slices.Clone(m.ServicePoints)
	if share <= 0 {
		return &known, nil
	}
	s := m.At(at)
	var mistakes []Mistake
	for point := range s.Points() {
		r := random(seed, drawTopology, point, 0)
		if r.Float64() >= share {
			continue
		}
		own, _ := gatewayOf(s, s.Point(point).Node)
		var others []string
		for near := max(point-200, 0); near < min(point+200, s.Points()); near++ {
			node := s.Point(near).Node
			if at, _ := gatewayOf(s, node); at != own {
				others = append(others, s.NodeID(node))
			}
		}
		if len(others) == 0 {
			continue
		}
		p := &known.ServicePoints[s.Point(point).Index]
		given := others[r.IntN(len(others))]
		mistakes = append(mistakes, Mistake{p.ID, p.Node, given})
		p.Node = given
	}
	return &known, mistakes
}
