package outage

import (
	"github.com/busbar/busbar/cloud/outage/infer"
	"github.com/busbar/busbar/grid"
)

// point is what is known of a service point. Times are those of arrival, 0 if it
// isn't so.
type point struct {
	gateway    int32 // or none
	incident   *incident
	owes       *incident         // the last one, which isn't verified
	seen       infer.Observation // as it is in the tree
	gasp       int64
	timeout    int64
	call       int64
	unanswered int64
	alive      int64 // the last sign of supply
	noted      int64 // when it had supply again, as its meter noted last
	joined     int64 // when it became part of its incident
	checked    int64 // the timer that looks after what isn't explained
	asked      int64
	meterTime  clock // newest of its own clock
	pollTime   clock // newest of its gateway's
	levels     Levels
	metered    bool
	auxiliary  bool
	measured   bool // levels are of now
	stale      bool // a loss that nothing explains, or a meter that never answers
	word       int8 // of people: 1 it has supply, -1 it hasn't
}

// lost reports whether there is evidence of a loss.
func (p *point) lost() bool { return p.gasp|p.timeout|p.call|p.unanswered != 0 || p.word < 0 }

// gateway is what is known of one.
type gateway struct {
	id     string
	points []int32
	edges  []int32 // whose positions it measures
	asset  string  // where it has its supply, as it was told
	node   int32   // or none
	placed bool
	failed int64
	gone   int64
	heard  int64 // last, before it was gone
	alive  int64 // last told to have supply
	source clock
	seen   infer.Observation
	stale  bool // what was above it has closed since, and it is silent
}

func (g *gateway) works() bool { return g.failed == 0 && g.gone == 0 }

// observe is what is known of a point, as weights.
func (e *Engine) observe(p *point) (o infer.Observation) {
	w := &e.c.Weights
	works := p.gateway == none || e.gateways[p.gateway].works()
	switch {
	case p.word < 0:
		o.Out = infer.Weight(w.Device) // it is out, which says nothing of others
		return o
	case p.word > 0:
		o.Alive = infer.Weight(w.Word)
		return o
	}
	if p.measured && works && !p.lost() {
		o.Levels, o.Seen = p.levels, infer.Weight(w.Voltage)
	}
	switch {
	case p.stale:
	case p.lost():
		out := 0.0
		if p.gasp != 0 {
			out = w.LastGasp
		}
		if p.timeout != 0 && (works || p.gasp != 0 || p.incident != nil) { // of a gateway that is silent itself by now it says little
			out = max(w.Timeout, out+w.Timeout/2)
		}
		if p.call != 0 {
			out += w.Call
		}
		if p.unanswered != 0 {
			out = max(w.Unanswered, out+w.Unanswered/2)
		}
		o.Out = infer.Weight(out)
	case p.measured && p.levels == Levels{}:
	case p.alive != 0 && e.now-p.alive < e.fresh():
		o.Alive = infer.Weight(w.Alive)
	case p.metered && works && p.gateway != none:
		o.Alive = infer.Weight(w.Quiet)
	}
	return o
}

// fresh is how long a sign of supply counts as such, and not only as silence: two
// polls and a bit.
func (e *Engine) fresh() int64 { return 3 * e.c.Poll.Microseconds() }

// look puts what is known of a point into the tree.
func (e *Engine) look(i int32) {
	p := &e.points[i]
	now := e.observe(p)
	if p.lost() && !p.stale && p.incident == nil {
		e.loose[i] = true
	} else {
		delete(e.loose, i)
	}
	if p.incident != nil {
		p.incident.touched = true
	}
	if now == p.seen {
		return
	}
	at := e.net.s.Point(int(i))
	e.exchange(at.Node, at.Phases, p.seen, now)
	p.seen = now
}

func (e *Engine) exchange(node int, phases grid.Phases, was, is infer.Observation) {
	delta, before := is.Costs(phases), was.Costs(phases)
	for s := range delta {
		delta[s] -= before[s]
	}
	busy := 0
	if was.None() {
		busy++
	}
	if is.None() {
		busy--
	}
	e.dirty = true
	if e.rebuild {
		return // it will be looked at anew
	}
	e.net.tree.Add(node, &delta, busy)
}

// lookAt puts what is known of a gateway's supply into the tree, and what that says
// of its meters.
func (e *Engine) lookAt(i int32) {
	g := &e.gateways[i]
	now := e.mains(g)
	if now != g.seen && g.node != none {
		e.exchange(int(g.node), grid.ABC, g.seen, now)
	}
	g.seen = now
	for _, p := range g.points {
		e.look(p)
	}
}

func (e *Engine) mains(g *gateway) (o infer.Observation) {
	w := &e.c.Weights
	switch {
	case g.failed != 0 && g.stale:
	case g.failed != 0:
		// One alone is a fuse of its power supply, or a plug.
		weight := w.Mains * 5 / 8
		if g.gone != 0 {
			weight = w.Mains
		}
		o.Out = infer.Weight(weight)
	case g.gone == 0:
		o.Alive = infer.Weight(w.Mains)
	default: // it had supply when it was heard last, and nothing says that it lost it
		o.Alive = infer.Weight(w.Mains / 2)
	}
	return o
}

// place finds where a gateway has its supply, if that wasn't told: behind the
// transformer of four fifths of the meters that it reads.
func (e *Engine) place(g *gateway) {
	g.placed, g.node = true, none
	s := e.net.s
	if g.asset != "" {
		if node := s.Node(g.asset); node != none {
			g.node = int32(node)
		} else if edge := s.EdgeOf(g.asset); edge != none {
			if below := s.Normal().Below(edge); below != none {
				g.node = int32(below)
			}
		}
		return
	}
	count := map[int]int{}
	best, depth := none, -1
	for _, p := range g.points {
		for v := s.Point(int(p)).Node; v != none; v = s.Normal().Upstream(v) {
			count[v]++
		}
	}
	for _, p := range g.points {
		v := s.Point(int(p)).Node
		for v != none && 5*count[v] < 4*len(g.points) {
			v = s.Normal().Upstream(v)
		}
		if v == none {
			continue
		}
		d := 0
		for u := v; u != none; u = s.Normal().Upstream(u) {
			d++
		}
		if d > depth || d == depth && v < best {
			best, depth = v, d
		}
	}
	for v := best; v != none; v = s.Normal().Upstream(v) {
		if edge := s.Normal().Supply(v); edge != none && s.Edge(edge).Kind == grid.KindTransformer {
			best = v
			break
		}
	}
	g.node = int32(best)
}

// way is what the way over an edge costs.
func (e *Engine) way(edge int) (w infer.Way, busy int32) {
	s, weights := e.net.s, &e.c.Weights
	x := s.Edge(edge)
	w.Phases = x.Phases
	open := weights.Device
	switch x.Kind {
	case grid.KindLine:
		open, w.Each = weights.Line, true
	case grid.KindTransformer:
		open += 1
		w.Winding = infer.WindingOf(&s.Model().Transformers[x.Index])
	default:
		switch sw := &s.Model().Switches[x.Index]; {
		case !sw.Type.Protective():
			open += 1.5 // it doesn't open by itself
		case !e.net.lines[edge]:
			open += 0.5 // faults are on lines
			w.Each = sw.Type == grid.Fuse
		default:
			w.Each = sw.Type == grid.Fuse
		}
	}
	if e.net.inLoop(edge) {
		open *= 2 // another one must open as well
	}
	t := &e.switches[edge]
	switch telemetered := x.Kind == grid.KindSwitch && s.Model().Switches[x.Index].Telemetered(); {
	case t.denied:
	case t.told && !t.bad && t.open != 0:
		open, w.Stay, busy = 0, infer.Weight(weights.ToldOpen*1000), 1
		w.Each = t.open&x.Phases != x.Phases
	case t.told && !t.bad && !e.unheard(t), telemetered && !t.told:
		open += weights.ToldClosed
	}
	w.Open = infer.Weight(open)
	return w, busy
}

// own is what a node's service points and gateways add to the tree.
func (e *Engine) own(node int) (c infer.Costs, busy int32) {
	s := e.net.s
	sum := func(o infer.Observation, phases grid.Phases) {
		if o.None() {
			return
		}
		x := o.Costs(phases)
		for i := range c {
			c[i] += x[i]
		}
		busy++
	}
	for _, i := range s.PointsAt(node) {
		at := s.Point(int(i))
		x := infer.Customers(at.Customers, at.Phases)
		for i := range c {
			c[i] += x[i]
		}
		p := &e.points[i]
		p.seen = e.observe(p)
		sum(p.seen, at.Phases)
	}
	for _, g := range e.gatewaysAt[int32(node)] {
		e.gateways[g].seen = e.mains(&e.gateways[g])
		sum(e.gateways[g].seen, grid.ABC)
	}
	sum(e.assets[int32(node)], grid.ABC)
	sum(e.vouched[int32(node)], grid.ABC)
	return c, busy
}
