package network

import (
	"slices"

	"github.com/busbar/busbar/grid"
)

// PointsBehind is the service points that are supplied through any of some lines, switches,
// transformers and service points in normal operation, each once, in order. What isn't one of these
// has none.
func (n *Network) PointsBehind(devices []string) (points []int32) {
	for _, id := range devices {
		if point := n.PointOf(id); point != grid.None {
			points = append(points, int32(point))
		} else if edge := n.EdgeOf(id); edge != grid.None {
			if below := n.Normal().Below(edge); below != grid.None {
				points = append(points, n.Normal().PointsBelow(below)...)
			}
		}
	}
	slices.Sort(points)
	return slices.Compact(points)
}
