package outage

import "slices"

// measures remembers which gateway has told a position, if it was measured.
func (e *Engine) measures(edge int, v Evidence) {
	t := &e.switches[edge]
	if t.by = none; v.Gateway == "" {
		return
	}
	t.by = e.gateway(v.Gateway)
	if g := &e.gateways[t.by]; !slices.Contains(g.edges, int32(edge)) {
		g.edges = append(g.edges, int32(edge))
	}
}

// unheard reports whether nothing comes any more from what has told a position. That a
// device was closed then doesn't speak against its having opened since. That it was open is
// what an outage began with, and stays.
func (e *Engine) unheard(t *position) bool {
	return t.by != none && e.gateways[t.by].gone != 0
}

// weigh has the positions that a gateway measures count as they do while it is silent, or
// heard again.
func (e *Engine) weigh(i int32) {
	for _, edge := range e.gateways[i].edges {
		if t := &e.switches[edge]; t.by == i && t.told && !t.bad && t.open == 0 {
			e.dirty = true
			e.setPosition(int(edge))
		}
	}
}
