package outage

import (
	"slices"

	"github.com/busbar/busbar/cloud/outage/infer"
)

// mention remembers evidence for incidents.
func (e *Engine) mention(m mention) {
	e.recent = append(e.recent, m)
}

// attach gives evidence to the incident that it is about.
func (e *Engine) attach() {
	at := map[int32]*incident{}
	edges := map[int32]*incident{}
	for _, x := range e.incidents {
		if x.node != none {
			at[x.node] = x
		}
		if x.edge != none {
			edges[x.edge] = x
		}
	}
	kept := e.recent[:0]
	for _, m := range e.recent {
		var x *incident
		switch {
		case m.point != none:
			if x = e.points[m.point].incident; x == nil {
				if x = e.points[m.point].owes; x != nil && x.State.Over() {
					x = nil
				}
			}
		case m.edge != none:
			x = edges[m.edge]
		case m.gateway != none:
			for v := e.gateways[m.gateway].node; v != none; v = e.net.parent[v] {
				if x = at[v]; x != nil {
					break
				}
			}
		}
		if x != nil && !x.State.Over() && !e.before(m, x) {
			e.about(x, m)
		} else if m.Arrival > e.now-remembered {
			kept = append(kept, m)
		}
	}
	clear(e.recent[len(kept):])
	e.recent = kept
}

// before reports whether evidence is of something that was over before an incident began.
func (e *Engine) before(m mention, x *incident) bool {
	return m.Kind == Interrupted && m.time < x.Earliest-micros(e.c.ClockTolerance)
}

// about is evidence about an incident.
func (e *Engine) about(x *incident, m mention) {
	e.refer(x, m.Reference)
	switch m.Kind {
	case LastGasp, MainsFail, PingUnanswered, PointOut, Call, Timeout, Voltage, GatewayGone:
		if m.Kind == Voltage && m.point != none && e.points[m.point].alive >= m.Arrival {
			x.back = append(x.back, m.time)
			return
		}
		x.first = min(x.first, m.Arrival)
		if m.Kind == LastGasp || m.Kind == MainsFail || m.Kind == PointOut {
			x.times = append(x.times, m.time)
		} else {
			x.Latest = min(x.Latest, m.Arrival)
		}
	case Position:
		if m.opened && m.edge == x.edge {
			x.first = min(x.first, m.Arrival)
			if x.first >= m.Arrival || x.opened == 0 {
				x.opened = m.time
			}
		}
	case PowerUp, Answer, MainsBack, PingAnswered, PointSupplied, Interrupted:
		x.back = append(x.back, m.time)
	}
	e.date(x)
}

// date finds when an incident began.
func (e *Engine) date(x *incident) {
	if e.now > x.Began+60e6 && x.Start != 0 && x.since != 0 && x.AnnouncedAt != 0 {
		return
	}
	if x.NestedIn != "" || x.SplitFrom != "" {
		return
	}
	start := x.first
	switch {
	case x.opened != 0:
		start = x.opened
	case len(x.times) > 0:
		start = quarter(x.times)
	}
	x.Start, x.since = start, start
	x.Latest = max(x.first, start)
	x.Earliest = start
	if len(x.times) > 0 {
		x.Earliest = min(start, slices.Min(x.times))
	} else if x.opened == 0 {
		x.Earliest = start - e.fresh()
	}
}

// refer adds a reference to an incident, the newest ones staying.
func (e *Engine) refer(x *incident, r Reference) {
	x.Counts[r.Kind]++
	x.Evidence = append(x.Evidence, r)
	if n := len(x.Evidence) - e.c.References; n > 0 {
		x.Evidence = slices.Delete(x.Evidence, 0, n)
	}
}

// forget drops what nobody needs any more.
func (e *Engine) forget() {
	keep := e.now - micros(e.c.Keep)
	e.over = slices.DeleteFunc(e.over, func(x *incident) bool {
		if x.OverAt >= keep {
			return false
		}
		delete(e.byID, x.ID)
		return true
	})
}

// say is what people say of an incident.
func (e *Engine) say(v Evidence) {
	x := e.byID[v.Incident]
	if x == nil || x.State.Over() {
		e.strange++
		return
	}
	e.refer(x, Reference{ID: v.ID, Arrival: v.Arrival, Source: v.Source, Kind: v.Kind, Of: v.By})
	e.dirty = true
	x.touched = true
	if v.Kind == Merge {
		e.merge(x, v.Into)
		return
	}
	e.prepare() // what is below it may be of a network that came just before
	if v.Kind == Confirm {
		x.State = Confirmed
		x.tell = append(x.tell, Settled)
		if edge := e.net.s.EdgeOf(v.Switch); edge != none && int32(edge) != x.edge {
			// It is that one which is open, and not this one.
			if x.edge != none && e.net.node[x.edge] != none {
				if t := &e.switches[x.edge]; !t.told {
					w := e.net.tree.Way(int(x.node))
					w.Open += infer.Weight(e.c.Weights.Word)
					e.net.tree.SetWay(int(x.node), w, 0)
				}
			}
			open := true
			_ = e.takePosition(edge, Evidence{Kind: Position, Arrival: v.Arrival, Open: &open, By: v.By, Phases: v.Phases}, v.Arrival)
		}
		return
	}
	if x.edge != none {
		if t := &e.switches[x.edge]; t.told && t.open != 0 {
			t.denied = true
			e.setPosition(int(x.edge))
		}
	}
	for _, p := range slices.Clone(x.out) {
		s := &e.points[p]
		s.incident = nil
		if s.word < 0 {
			s.word = 0
		}
		s.gasp, s.timeout, s.call, s.unanswered = 0, 0, 0, 0
		e.look(p)
	}
	for i := range e.gateways {
		if g := &e.gateways[i]; g.failed != 0 && x.node != none && g.node != none && e.net.isBelow(g.node, x.node) {
			g.failed = 0
			e.lookAt(int32(i))
		}
	}
	x.out = nil
	e.end(x, Withdrawn, Ended)
}
