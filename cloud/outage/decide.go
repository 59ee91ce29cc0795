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
	// What was there before stays an incident of its own.
	for _, x := range e.incidents {
		x.shadowed = false
		if len(x.found) > 0 || x.RestoredAt != 0 || x.node == none || len(x.out)+x.Lossy == 0 || e.now < x.Began+µs(e.c.Together) || x.holding(e) {
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
		if f.of == nil {
			x := e.begin(f)
			x.found = append(x.found, f)
			f.of = x
		}
	}
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

// update finds who is out in an incident now.
func (e *Engine) update(x *incident) {
	told := x.edge != none && e.toldOpen(x.edge)
	if x.shadowed {
		return
	}
	if len(x.found) == 1 && !x.touched && !x.moved && x.made == e.grown && x.restoring == 0 && !x.fresh {
		f := x.found[0]
		if f.edge == x.edge && f.Phases == x.Phases {
			return
		}
	}
	x.touched, x.made = false, e.grown
	var out []int32
	for _, f := range x.found {
		if f.edge == x.edge && f.point == x.point {
			x.below, x.state, x.Lossy = f.points, f.State, f.lossy
			if x.Phases != f.Phases {
				x.Phases, x.changed, x.moved = f.Phases, e.now, true
			}
		}
		if len(out) == 0 {
			out = f.points
		} else {
			out = union(out, f.points)
		}
	}
	back := func(p int32) bool { return e.isBack(x, p) }
	islanded := 0
	if told {
		for _, p := range out {
			if s := &e.points[p]; s.alive > e.switches[x.edge].at+islandAfter && !s.lost() && s.word == 0 {
				islanded++
			}
		}
	}
	if island := islanded >= 2; island != x.Island {
		x.Island = island
		if island {
			x.tell = append(x.tell, Islanded)
		}
	}
	if !x.fresh && len(x.found) == 0 {
		e.hold(x)
	}
	if len(x.found) > 0 && x.holding(e) && !x.fresh {
		out = union(out, x.out)
	}
	out = slices.DeleteFunc(slices.Clone(out), func(p int32) bool {
		other := e.points[p].incident
		return back(p) || other != nil && other != x && (other.shadowed || !x.fresh && len(other.found) > 0)
	})
	e.setOut(x, out)
	if x.restoring != 0 && !x.holding(e) && x.closed >= x.restoring-pace && x.closed != 0 {
		e.doubt(x)
	}
	if x.restoring != 0 && !x.holding(e) && len(out) > 0 {
		x.restoring, x.back = 0, nil // what is out now is what is waited for
	}
}

// isBack reports whether a point has shown a sign of supply since it lost it, and it
// isn't that somebody feeds an island.
func (e *Engine) isBack(x *incident, p int32) bool {
	s := &e.points[p]
	return s.alive > x.first && !s.lost() && (s.word > 0 || x.edge == none || !e.toldOpen(x.edge))
}

// stir lets an incident wait for what comes back, once something does.
func (e *Engine) stir(x *incident) {
	if x.RestoredAt != 0 || x.shadowed {
		return
	}
	if x.edge != none && x.opened != 0 {
		if t := &e.switches[x.edge]; t.gap.back > x.Start && t.open != 0 {
			g := t.gap
			t.gap = gap{}
			e.interrupt(x, g.back, g.lost, g.seen)
			return
		}
		if t := &e.switches[x.edge]; t.told && !t.bad && t.open == 0 && t.at > x.first && t.at != x.closed {
			x.closed = t.at
			x.restoring = 0
			e.hold(x)
			return
		}
	}
	if x.touched && x.restoring == 0 && slices.ContainsFunc(x.out, func(p int32) bool { return e.isBack(x, p) }) {
		e.hold(x)
	}
}

// interrupt is that supply was back at a time, and was lost again.
func (e *Engine) interrupt(x *incident, back, lost, seen int64) {
	i := Interruption{Start: x.Start, End: back, Device: x.Device}
	of := x.out
	if len(of) == 0 {
		of = x.ever
	}
	for _, p := range of {
		i.Points = append(i.Points, e.net.s.PointAsset(int(p)).ID)
		i.Customers += int64(e.net.s.Point(int(p)).Customers)
	}
	slices.Sort(i.Points)
	if len(i.Points) > 0 {
		x.Interruptions = append(slices.Clip(x.Interruptions), i)
	}
	x.restoring, x.back, x.times, x.verified = 0, nil, nil, false
	x.first, x.opened, x.since, x.Start, x.Latest, x.Earliest, x.Seen = seen, lost, lost, lost, seen, lost, seen
	x.NestedIn, x.SplitFrom, x.touched = "", "", true
	if x.Class == Momentary {
		x.Class = Open
	}
	x.tell = append(x.tell, Reopened)
}

func (e *Engine) hold(x *incident) {
	if x.restoring == 0 {
		x.restoring = e.now
		e.wake(e.now + µs(e.c.Restoring))
	}
}

// islandAfter is how long after a device was told to be open a sign of supply is none of
// before.
const islandAfter = int64(5e6)

// toldOpen reports whether a device is known to be open.
func (e *Engine) toldOpen(edge int32) bool {
	t := &e.switches[edge]
	return t.told && !t.bad && !t.denied && t.open&e.net.s.Edge(int(edge)).Phases == e.net.s.Edge(int(edge)).Phases
}

// setOut is who is out in an incident from now on, and makes a step of those who
// no longer are.
func (e *Engine) setOut(x *incident, out []int32) {
	was := x.out
	var returned []int32
	for _, p := range was {
		if _, still := slices.BinarySearch(out, p); !still {
			if e.points[p].incident == x {
				e.points[p].incident = nil
				returned = append(returned, p)
			} else if e.points[p].incident == nil {
				returned = append(returned, p)
			}
		}
	}
	x.out = out
	grew := false
	for _, p := range out {
		s := &e.points[p]
		if s.incident != x {
			grew = true
			if y := s.incident; y != nil && x.NestedIn != y.ID {
				e.drop(y, p) // it never was part of that
			}
			s.incident, s.joined = x, e.now
			if _, was := slices.BinarySearch(x.ever, p); was {
				s.joined = x.Began
			}
			delete(e.loose, p)
		}
	}
	if grew {
		x.ever = union(x.ever, out)
		if !x.fresh && !x.moved {
			e.later(x, Grew)
		}
	}
	if len(returned) > 0 || grew {
		x.changedOut()
	}
	// Those who joined later, and not for long, were in a momentary interruption further
	// up.
	returned = slices.DeleteFunc(returned, func(p int32) bool {
		s := &e.points[p]
		passed := s.joined > x.Began+µs(e.c.Together) && e.now < s.joined+µs(e.c.Together)
		if passed {
			e.drop(x, p)
			e.look(p)
		}
		return passed
	})
	if len(returned) > 0 {
		e.step(x, returned)
		for _, p := range returned {
			e.points[p].owes = x
			e.look(p)
			if e.points[p].lost() {
				e.checkAt(p, e.now+µs(e.c.Unexplained))
			}
		}
	}
}

// drop takes a point out of those that ever were in an incident.
func (e *Engine) drop(x *incident, p int32) {
	if i, ok := slices.BinarySearch(x.ever, p); ok {
		x.ever = slices.Delete(slices.Clone(x.ever), i, i+1)
		x.changedOut()
	}
	if i, ok := slices.BinarySearch(x.out, p); ok {
		x.out = slices.Delete(slices.Clone(x.out), i, i+1)
	}
}

// doubt is that a device has closed, and some of what is behind it can't say whether
// it has supply: what they said before counts no more.
func (e *Engine) doubt(x *incident) {
	for _, p := range slices.Clone(x.out) {
		s := &e.points[p]
		if s.gateway == none || e.gateways[s.gateway].gone == 0 || s.word != 0 {
			continue
		}
		if s.lost() && !s.stale {
			s.stale = true
			e.look(p)
		}
		if g := &e.gateways[s.gateway]; !g.stale {
			g.stale = true
			e.lookAt(s.gateway)
		}
	}
}
