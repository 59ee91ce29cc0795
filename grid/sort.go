package grid

import (
	"cmp"
	"slices"
	"strings"
)

// Sort puts every list into the order of its ids, in which numbers count as
// such (bus-2 before bus-10), and versions of an id into that of their times.
// It is the order in which files are written.
func (m *Model) Sort() {
	sortAssets(m.Zones, func(v *Zone) *Asset { return &v.Asset })
	sortAssets(m.Substations, func(v *Substation) *Asset { return &v.Asset })
	sortAssets(m.Nodes, func(v *Node) *Asset { return &v.Asset })
	sortAssets(m.Sources, func(v *Source) *Asset { return &v.Asset })
	sortAssets(m.Feeders, func(v *Feeder) *Asset { return &v.Asset })
	sortAssets(m.Lines, func(v *Line) *Asset { return &v.Asset })
	sortAssets(m.Switches, func(v *Switch) *Asset { return &v.Asset })
	sortAssets(m.Transformers, func(v *Transformer) *Asset { return &v.Asset })
	sortAssets(m.ServicePoints, func(v *ServicePoint) *Asset { return &v.Asset })
}

func sortAssets[T any](list []T, asset func(*T) *Asset) {
	slices.SortStableFunc(list, func(x, y T) int {
		a, b := asset(&x), asset(&y)
		return cmp.Or(compareIDs(a.ID, b.ID), cmp.Compare(a.ValidFrom, b.ValidFrom))
	})
}

// compareIDs orders digits by the number that they are.
func compareIDs(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		dx, dy := digits(x), digits(y)
		if dx == 0 || dy == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		n, m := strings.TrimLeft(x[:dx], "0"), strings.TrimLeft(y[:dy], "0")
		if c := cmp.Or(cmp.Compare(len(n), len(m)), cmp.Compare(n, m)); c != 0 {
			return c
		}
		x, y = x[dx:], y[dy:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

// digits is how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}
