// Package outage makes outages of evidence: which device has opened, who is without
// supply, since when, and until when. It is pure: the same evidence gives the
// same incidents, and it knows no clock but the one it is given.
//
// docs/outage.md says how it decides.
package outage

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/outage/infer"
	"github.com/busbar/busbar/grid"
)

// Engine turns evidence into incidents. It is not safe for concurrent use.
//
// Whoever uses it gives it evidence in the order of arrival by Take, and the time
// by Advance, which is when it decides: at Next, or sooner. An engine that is given the
// same again, in the same order and at the same times, says the same.
type Engine struct {
	c   Config
	now int64
	net network

	points     []point
	gateways   []gateway
	byGateway  map[string]int32
	gatewaysAt map[int32][]int32 // by node
	unplaced   []int32
	assets     map[int32]infer.Observation // voltages at nodes
	vouched    map[int32]infer.Observation // of nodes above devices that have closed
	switches   []position                  // by edge
	kept       map[key]Evidence            // about what the network hasn't got
	strange    int

	rebuild bool // the tree is to be made anew
	dirty   bool // something to decide
	decided int64
	timers  timers
	loose   map[int32]bool // points with a loss that no incident has
	recent  []mention
	grown   int // how often the tree was made

	incidents []*incident // that go on, in the order in which they began
	over      []*incident
	byID      map[string]*incident
	plans     []Plan
	planning  int // how often they were said

	changes []Change
	asks    []Ask
	minute  int64 // in which is asked
	asked   int   // points in it
}

type key struct {
	kind Kind
	of   string
}

// pace is how long passes between two decisions at least.
const pace = int64(250e3)

// New is an engine over a network, with all in its normal position, at a time in µs
// since 1970 UTC.
func New(network *grid.Snapshot, c Config, at int64) *Engine {
	e := &Engine{c: c, now: at, byGateway: map[string]int32{}, kept: map[key]Evidence{}, loose: map[int32]bool{}, byID: map[string]*incident{}}
	e.lay(network)
	return e
}

// lay begins with a network of which nothing is known.
func (e *Engine) lay(s *grid.Snapshot) {
	e.net = networkOf(s)
	e.points = make([]point, s.Points())
	for i := range e.points {
		e.points[i].gateway = none
	}
	e.switches = make([]position, s.Edges())
	for i := range e.switches {
		e.switches[i].by = none
	}
	e.assets, e.vouched = map[int32]infer.Observation{}, map[int32]infer.Observation{}
	e.rebuild, e.dirty = true, true
}

func networkOf(s *grid.Snapshot) network {
	return network{s: s, positions: s.NormalPositions(), usual: s.NormalPositions()}
}

// Use is another version of the network, from the next Advance on. What is known
// of assets that it still has stays.
func (e *Engine) Use(s *grid.Snapshot) {
	old, points, switches, gateways, assets := e.net.s, e.points, e.switches, e.gateways, e.assets
	e.lay(s)
	moved := func(i int32) int32 { return int32(s.PointOf(old.PointAsset(int(i)).ID)) }
	for i := range points {
		if to := moved(int32(i)); to != none {
			e.points[to] = points[i]
		}
	}
	for edge := range switches {
		if to := s.EdgeOf(old.EdgeAsset(edge).ID); to != none && switches[edge].told {
			e.switches[to] = switches[edge]
			e.net.positions[to] = e.positionOf(to)
		}
	}
	for node, o := range assets {
		if to := s.Node(old.NodeID(int(node))); to != none {
			e.assets[int32(to)] = o
		}
	}
	all := func(list []int32) (out []int32) {
		for _, i := range list {
			if to := moved(i); to != none {
				out = append(out, to)
			}
		}
		return out
	}
	e.unplaced = e.unplaced[:0]
	for i := range gateways {
		g := &gateways[i]
		g.points, g.placed = all(g.points), false
		edges := g.edges
		g.edges = nil
		for _, edge := range edges {
			if to := s.EdgeOf(old.EdgeAsset(int(edge)).ID); to != none {
				g.edges = append(g.edges, int32(to))
			}
		}
		e.unplaced = append(e.unplaced, int32(i))
	}
	e.gatewaysAt = nil
	loose := map[int32]bool{}
	for i := range e.loose {
		if to := moved(i); to != none {
			loose[to] = true
		}
	}
	e.loose = loose
	for _, x := range e.incidents {
		x.use(old, s, all)
	}
	for i := range e.timers {
		if t := &e.timers[i]; t.point != none {
			t.point = moved(t.point)
		}
	}
	for i := range e.recent {
		switch m := &e.recent[i]; {
		case m.point != none:
			m.point = moved(m.point)
		case m.edge != none:
			m.edge = int32(s.EdgeOf(old.EdgeAsset(int(m.edge)).ID))
		}
	}
	e.recent = slices.DeleteFunc(e.recent, func(m mention) bool {
		return m.point == none && m.edge == none && m.gateway == none
	})
	e.again()
}

// again takes what was kept about what the network hadn't got.
func (e *Engine) again() {
	kept := e.kept
	e.kept = map[key]Evidence{}
	for _, k := range slices.SortedFunc(maps.Keys(kept), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.of, b.of))
	}) {
		_ = e.Take(kept[k]) // it was checked
	}
}

// Plan is all switching that is planned, instead of what was.
func (e *Engine) Plan(plans []Plan) {
	e.plans = slices.Clone(plans)
	e.planning++
	e.dirty = true
}

// Advance is the time. What has changed since is returned in the order in which it
// did, and what the engine wants to know. A time before the last one is that one.
func (e *Engine) Advance(at int64) ([]Change, []Ask) {
	for {
		next, ok := e.Next()
		if !ok || next > at {
			break
		}
		e.now = max(e.now, next)
		e.work()
	}
	e.now = max(e.now, at)
	changes, asks := e.changes, e.asks
	e.changes, e.asks = nil, nil
	return changes, asks
}

// Next is when Advance has something to decide, if no evidence comes; false if
// never.
func (e *Engine) Next() (at int64, ok bool) {
	if e.dirty {
		at, ok = max(e.now, e.decided+pace), true
	}
	if len(e.timers) > 0 && (!ok || e.timers[0].at < at) {
		at, ok = max(e.timers[0].at, e.now), true
	}
	return at, ok
}

// work does what is to be done now.
func (e *Engine) work() {
	for len(e.timers) > 0 && e.timers[0].at <= e.now {
		t := heap.Pop(&e.timers).(timer)
		if t.point != none {
			e.check(t.point)
		} else {
			e.dirty = true
		}
	}
	if e.dirty && e.now >= e.decided+pace {
		e.decided = e.now
		e.decide()
	}
}

// check looks after a point: a sign of supply isn't new any more, or a loss is
// still not explained.
func (e *Engine) check(i int32) {
	p := &e.points[i]
	if p.checked > e.now {
		return // there is a later one
	}
	p.checked = 0
	if p.lost() && !p.stale && p.incident == nil && p.word == 0 {
		since := max(p.gasp, p.timeout, p.unanswered)
		lasts := e.c.Unexplained.Microseconds()
		if p.call != 0 {
			since, lasts = max(since, p.call), e.c.CallLasts.Microseconds()
		}
		owed := p.owes != nil && !p.owes.State.Over()
		switch works := p.gateway == none || e.gateways[p.gateway].works(); {
		case e.now < since+lasts:
			e.checkAt(i, since+lasts)
		case owed:
			e.checkAt(i, e.now+max(lasts, (e.now-since)/2)) // it is asked
		case !works && p.call == 0:
			e.checkAt(i, e.now+max(lasts, (e.now-since)/2)) // nothing could say otherwise
		default:
			p.stale = true
		}
	}
	if again := p.alive + e.fresh(); p.alive != 0 && !p.lost() && e.now < again {
		e.checkAt(i, again) // there was another sign since
	}
	e.look(i)
}

// checkAt lets a point be looked after.
func (e *Engine) checkAt(i int32, at int64) {
	p := &e.points[i]
	if p.checked != 0 && p.checked <= at && p.checked > e.now {
		return
	}
	p.checked = at
	heap.Push(&e.timers, timer{at: at, point: i})
}

// wake lets the engine decide at a time.
func (e *Engine) wake(at int64) {
	heap.Push(&e.timers, timer{at: at, point: none})
}

// Operation is the network as it is operated as far as is known: by telemetered
// positions of good quality and those that people entered. It is valid until the next
// Advance.
func (e *Engine) Operation() *grid.Operation { return e.net.operation() }

// Strange counts evidence about what the network hasn't got.
func (e *Engine) Strange() int { return e.strange }

type timer struct {
	at    int64
	point int32
}

type timers []timer

func (t timers) Len() int      { return len(t) }
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].point < t[j].point
}
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}

// micros is a duration in µs.
func micros(d time.Duration) int64 { return d.Microseconds() }
