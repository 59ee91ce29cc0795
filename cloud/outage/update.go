package outage

import (
	"slices"

	"github.com/busbar/busbar/cloud/outage/infer"
	"github.com/busbar/busbar/grid"
)

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

// vouch has a device that was told to have closed say that there is supply above it, while
// what is behind it is waited for. Losses of before would else be those of a device further
// up as soon as another one below that opens.
func (e *Engine) vouch(x *incident) {
	at := int32(none)
	if x.closed != 0 && x.holding(e) && x.node != none && !x.State.Over() {
		at = e.net.parent[x.node]
	}
	if at == x.vouched {
		return
	}
	was := x.vouched
	x.vouched = at
	for _, node := range []int32{was, at} {
		if node == none {
			continue
		}
		now := infer.Observation{}
		for _, y := range e.incidents {
			if y.vouched == node && !y.State.Over() {
				now.Alive = infer.Weight(e.c.Weights.ToldClosed)
			}
		}
		if before := e.vouched[node]; before != now {
			e.vouched[node] = now
			e.exchange(int(node), grid.ABC, before, now)
		}
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
	x.restoring, x.back, x.times = 0, nil, nil
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
		e.wake(e.now + micros(e.c.Restoring))
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
		passed := s.joined > x.Began+micros(e.c.Together) && e.now < s.joined+micros(e.c.Together)
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
				e.checkAt(p, e.now+micros(e.c.Unexplained))
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
		if x.node != none && !e.net.isBelow(int32(e.net.s.Point(int(p)).Node), x.node) {
			continue // behind another device, of an incident that was merged into this one
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
