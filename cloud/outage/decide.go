package outage

import (
	"cmp"
	"slices"

	"github.com/busbar/busbar/cloud/outage/infer"
	"github.com/busbar/busbar/grid"
)

// finding is an opening of the best explanation.
type finding struct {
	infer.Opening
	edge   int32 // or none, if it is a service point's own
	point  int32 // or none
	of     *incident
	points []int32
	lossy  int
}

// decide makes the incidents those that the best explanation has.
func (e *Engine) decide() {
	e.dirty = false
	e.prepare()
	found := e.find()
	for _, x := range e.incidents {
		x.found = x.found[:0]
		e.stir(x)
	}
	e.match(found)
	for _, x := range slices.Clone(e.incidents) {
		if !x.State.Over() {
			e.update(x)
		}
	}
	e.attach()
	for _, x := range slices.Clone(e.incidents) {
		if !x.State.Over() {
			e.progress(x)
		}
	}
	e.ask()
	e.forget()
}

// prepare makes the tree, if it is another one.
func (e *Engine) prepare() {
	if len(e.unplaced) > 0 {
		e.gatewaysAt = map[int32][]int32{}
		for _, i := range e.unplaced {
			e.place(&e.gateways[i])
		}
		e.unplaced = e.unplaced[:0]
		for i := range e.gateways {
			if node := e.gateways[i].node; node != none {
				e.gatewaysAt[node] = append(e.gatewaysAt[node], int32(i))
			}
		}
		e.rebuild = true
	}
	if !e.rebuild {
		return
	}
	e.rebuild = false
	e.grown++
	e.net.plant(e.own, e.way)
	for _, x := range e.incidents {
		x.node = none
		if x.edge != none {
			x.node = e.net.node[x.edge]
		}
	}
}

// find is the openings that leave somebody without supply, or with less.
func (e *Engine) find() (found []*finding) {
	var openings []infer.Opening
	for _, root := range e.net.roots {
		openings = e.net.tree.Solve(int(root), openings)
	}
	known := map[int32]*incident{}
	for _, x := range e.incidents {
		if x.edge != none {
			known[x.edge] = x
		}
	}
	covered := map[int32]bool{}
	for _, o := range openings {
		f := &finding{Opening: o, edge: e.net.edge[o.Node], point: none}
		if x := known[f.edge]; x != nil && x.made == e.grown && x.Phases == o.Phases && x.state == o.State && x.below != nil {
			f.points, f.lossy = x.below, x.Lossy
		} else {
			f.points, f.lossy = e.net.out(o, nil)
			slices.Sort(f.points)
		}
		if len(f.points)+f.lossy > 0 {
			found = append(found, f)
		}
	}
	single := infer.Weight(e.c.Weights.Device + 0.2)
	alone := func(p int32) {
		if s := &e.points[p]; !covered[p] && (s.seen.Out >= single || s.word < 0) {
			covered[p] = true
			found = append(found, &finding{Opening: infer.Opening{Node: e.net.s.Point(int(p)).Node, Phases: grid.ABC}, edge: none, point: p, points: []int32{p}})
		}
	}
	in := func(p int32) bool {
		for _, f := range found {
			if _, ok := slices.BinarySearch(f.points, p); ok {
				return true
			}
		}
		return false
	}
	for p := range e.loose {
		if s := &e.points[p]; (s.seen.Out >= single || s.word < 0) && !in(p) {
			alone(p)
		}
	}
	for _, x := range e.incidents {
		if x.point != none && !in(x.point) {
			alone(x.point)
		}
	}
	slices.SortStableFunc(found, func(a, b *finding) int {
		return cmp.Or(cmp.Compare(a.edge, b.edge), cmp.Compare(a.point, b.point))
	})
	return found
}

// match gives each finding the incident that it is of.
func (e *Engine) match(found []*finding) {
	give := func(f *finding, x *incident) {
		f.of = x
		x.found = append(x.found, f)
	}
	for _, x := range e.incidents {
		for _, f := range found {
			// Phases lost after an outage, or in its place, are an incident of their own.
			if f.of == nil && f.edge == x.edge && f.point == x.point && len(x.found) == 0 && (len(f.points) > 0 || len(x.ever) == 0) {
				give(f, x)
			}
		}
	}
	e.gather(found)
	// What was there before stays an incident of its own.
	for _, x := range e.incidents {
		x.shadowed = false
		if len(x.found) > 0 || x.RestoredAt != 0 || x.node == none || len(x.out)+x.Lossy == 0 || e.now < x.Began+micros(e.c.Together) || x.holding(e) {
			continue
		}
		for _, f := range found {
			if f.edge != none && f.edge != x.edge && e.net.isBelow(x.node, int32(f.Node)) {
				x.shadowed = true
				break
			}
		}
	}
	for _, f := range found {
		if f.of != nil {
			continue
		}
		in := e.incidentsOf(f)
		if len(in) == 0 {
			continue
		}
		// What comes back by and by is one incident until it has had its time.
		if x := in[0].x; x.holding(e) && 2*in[0].points >= len(f.points) {
			give(f, x)
			if f.edge != none && f.edge != x.edge && x.node != none && e.net.isBelow(x.node, int32(f.Node)) {
				e.move(x, f)
			}
			continue
		}
		// It is further up: what was there is part of it, and the oldest goes on.
		var inside []*incident
		for _, c := range in {
			if len(c.x.found) == 0 && 2*c.points >= len(c.x.out) {
				inside = append(inside, c.x)
			}
		}
		if len(inside) == 0 {
			continue
		}
		slices.SortFunc(inside, older)
		whole := inside[0]
		if len(inside) == 1 && !e.covers(f, whole) && len(whole.Steps) > 0 {
			continue // a part of it that is still out, and is no longer waited for
		}
		give(f, whole)
		e.move(whole, f)
		for _, x := range inside[1:] {
			e.absorb(x, whole)
		}
	}
	for _, f := range found {
		if f.of == nil && !e.comesBack(f) {
			x := e.begin(f)
			x.found = append(x.found, f)
			f.of = x
		}
	}
}

// comesBack reports whether a finding is of phases alone where supply comes back by and by.
// While some show it and others don't yet, lost phases explain both best.
func (e *Engine) comesBack(f *finding) bool {
	if len(f.points) > 0 {
		return false
	}
	for _, x := range e.incidents {
		if len(x.ever) > 0 && x.node != none && (x.holding(e) || len(x.out) > 0 && len(x.found) == 0) && (x.node == int32(f.Node) || e.net.isBelow(int32(f.Node), x.node)) {
			return true
		}
	}
	return false
}

// covers reports whether a finding has most of what is or was out in an incident.
func (e *Engine) covers(f *finding, x *incident) bool {
	n := 0
	for _, p := range x.ever {
		if _, ok := slices.BinarySearch(f.points, p); ok {
			n++
		}
	}
	return 4*n >= 3*len(x.ever)
}

type common struct {
	x      *incident
	points int
}

// incidentsOf is which incidents have how many of a finding's points, most first.
func (e *Engine) incidentsOf(f *finding) (in []common) {
	at := map[*incident]int{}
	for _, p := range f.points {
		if x := e.points[p].incident; x != nil && !x.State.Over() && !x.shadowed {
			i, ok := at[x]
			if !ok {
				i = len(in)
				at[x] = i
				in = append(in, common{x: x})
			}
			in[i].points++
		}
	}
	slices.SortFunc(in, func(a, b common) int { return cmp.Or(b.points-a.points, older(a.x, b.x)) })
	return in
}

// begin is a new incident.
func (e *Engine) begin(f *finding) *incident {
	x := &incident{edge: f.edge, point: f.point, node: int32(f.Node), changed: e.now, fresh: true, first: e.now}
	x.Began, x.Seen, x.State, x.Class = e.now, e.now, Suspected, Open
	x.Counts = map[Kind]int{}
	x.since, x.Start, x.Earliest, x.Latest = e.now, e.now, e.now, e.now
	e.name(x, f)
	x.ID = e.idOf(x)
	if in := e.incidentsOf(f); len(in) > 0 && 2*in[0].points >= len(f.points) {
		from := in[0].x
		x.first = from.first
		if len(from.Steps) > 0 {
			x.NestedIn = from.ID
		} else {
			x.SplitFrom = from.ID
		}
		x.since, x.Start, x.Earliest, x.Latest = from.since, from.Start, from.Earliest, from.Latest
		x.inherited = from.AnnouncedAt != 0 && from.Class == Sustained
	}
	e.incidents = append(e.incidents, x)
	e.byID[x.ID] = x
	return x
}

// move makes another device that of an incident.
func (e *Engine) move(x *incident, f *finding) {
	x.edge, x.point, x.node = f.edge, f.point, int32(f.Node)
	e.name(x, f)
	x.changed, x.moved = e.now, true
}

// absorb makes an incident a part of another one.
func (e *Engine) absorb(x, by *incident) {
	x.MergedInto = by.ID
	by.first = min(by.first, x.first)
	for _, r := range x.Evidence {
		e.refer(by, r)
		by.Counts[r.Kind]--
	}
	for k, n := range x.Counts {
		by.Counts[k] += n
	}
	by.times = append(by.times, x.times...)
	if x.AnnouncedAt != 0 && x.Class == Sustained {
		by.inherited = true
	}
	by.ever = union(by.ever, x.ever)
	by.changedOut()
	for _, p := range x.out {
		if e.points[p].incident == x {
			e.points[p].incident = nil
		}
	}
	x.out = nil
	x.changedOut()
	e.end(x, Merged, Absorbed)
}

// union is that of two sorted lists.
func union(a, b []int32) []int32 {
	out := make([]int32, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return out
}
