package world

import "github.com/busbar/busbar/grid"

// Fed is the short circuits that have voltage although there is a device that
// could clear them.
func (w *World) Fed() (ids []string) {
	for i := range w.faults {
		f := &w.faults[i]
		if !f.active || f.Broken {
			continue
		}
		node, phases := w.fed(f)
		if phases != 0 && (f.point != grid.None || w.guardOf(node, phases).edge != grid.None) {
			ids = append(ids, f.ID)
		}
	}
	return ids
}
