package outage

import (
	"github.com/busbar/busbar/cloud/outage/infer"
	"github.com/busbar/busbar/grid"
)

// mention is evidence of late, to be found by incidents that begin.
type mention struct {
	Reference
	time    int64 // when it was, as far as can be believed
	point   int32
	gateway int32
	edge    int32
	opened  bool // a position that is open
}

// remembered is how long evidence is remembered for incidents to come.
const remembered = int64(180e6)

// Take takes a piece of evidence. An error says what is wrong with it, and it is
// left out. One about something that the network hasn't got is kept until it has,
// if it says what there is (a meter, a gateway), or how a switch is; else it is
// counted by Strange.
func (e *Engine) Take(v Evidence) error {
	if err := v.Check(); err != nil {
		return err
	}
	if v.Arrival == 0 {
		v.Arrival = e.now
	}
	if v.Unsynchronised {
		v.Source = 0
	}
	m := mention{Reference: Reference{ID: v.ID, Arrival: v.Arrival, Source: v.Source, Kind: v.Kind}, point: none, gateway: none, edge: none}
	switch {
	case v.Incident != "":
		e.say(v)
		return nil
	case v.Point != "":
		m.Of, m.point = v.Point, int32(e.net.s.PointOf(v.Point))
		if m.point == none {
			return e.keep(v, v.Point)
		}
		m.time = e.believed(v, e.points[m.point].gateway)
		if v.Kind == Interrupted && !v.Unsynchronised && v.Source <= v.Arrival { // the clock was compared before it was told
			m.time = v.Source
			e.points[m.point].noted = v.Source
		}
		if !e.takePoint(m.point, v) {
			return nil
		}
	case v.Switch != "":
		m.Of, m.edge = v.Switch, int32(e.net.s.EdgeOf(v.Switch))
		if m.edge == none {
			return e.keep(v, v.Switch)
		}
		if m.time = e.believed(v, none); v.ByPerson() && v.Source != 0 { // people say when they have operated it
			m.time = min(v.Source, v.Arrival)
		}
		m.opened = !v.Bad && (*v.Open || v.Phases != 0)
		if !e.takePosition(int(m.edge), v, m.time) {
			return nil
		}
	case v.Gateway != "":
		m.Of, m.gateway = v.Gateway, e.gateway(v.Gateway)
		m.time = e.believed(v, m.gateway)
		if !e.takeGateway(m.gateway, v) {
			return nil
		}
	default:
		return e.keep(v, v.Asset) // a voltage at an asset
	}
	if v.Kind != Meter && v.Kind != Gateway {
		e.mention(m)
	}
	return nil
}

// keep puts evidence aside about what the network hasn't got.
func (e *Engine) keep(v Evidence, of string) error {
	switch v.Kind {
	case Meter, Position:
		e.kept[key{v.Kind, of}] = v
	case Voltage:
		if v.Point == "" {
			e.takeAsset(v)
			return nil
		}
	}
	e.strange++
	return nil
}

// gateway is the one of an id, a new one if nothing was heard of it.
func (e *Engine) gateway(id string) int32 {
	i, ok := e.byGateway[id]
	if !ok {
		i = int32(len(e.gateways))
		e.gateways = append(e.gateways, gateway{id: id, node: none})
		e.byGateway[id] = i
		e.unplaced = append(e.unplaced, i)
	}
	return i
}

// believed is when evidence was: by its source if that can be, and when it arrived
// otherwise. What a gateway couldn't send may be older.
func (e *Engine) believed(v Evidence, g int32) int64 {
	earliest := v.Arrival - micros(e.c.ClockTolerance)
	if g != none {
		if heard := e.gateways[g].heard; heard != 0 {
			earliest = min(earliest, heard)
		}
	}
	const ahead = int64(2e6)
	if v.Source < earliest || v.Source > v.Arrival+ahead {
		return v.Arrival
	}
	return min(v.Source, v.Arrival)
}

// clock is what was told last by one clock: the time by it, and the time of its arrival.
type clock struct{ source, arrival int64 }

// overtaken reports whether evidence is older than what arrived shortly before it by the
// same clock, as what is sent at once comes in any order. One that was set back tells
// older times for good.
func (e *Engine) overtaken(v Evidence, c *clock) bool {
	if v.Source == 0 {
		return false
	}
	if v.Source < c.source && v.Arrival-c.arrival < micros(e.c.ClockTolerance) {
		return true
	}
	*c = clock{v.Source, v.Arrival}
	return false
}

// takePoint reports whether evidence about a point is news.
func (e *Engine) takePoint(i int32, v Evidence) bool {
	p := &e.points[i]
	at := v.Arrival
	supplied := func() {
		p.gasp, p.timeout, p.call, p.unanswered, p.stale = 0, 0, 0, 0, false
		p.alive = at
		e.checkAt(i, at+e.fresh())
	}
	answered := func() {
		if p.auxiliary { // that it answers says nothing of what it measures
			p.timeout, p.unanswered = 0, 0
			return
		}
		supplied()
	}
	lost := func(since *int64) {
		if *since == 0 || v.Kind != Timeout {
			*since = at
		}
		p.stale = false
		e.checkAt(i, at+micros(e.c.Unexplained))
	}
	switch v.Kind {
	case Meter:
		p.metered, p.auxiliary = true, v.PoweredBy == "auxiliary"
		if g := int32(none); v.Gateway != "" {
			if g = e.gateway(v.Gateway); g != p.gateway {
				p.gateway = g
				e.gateways[g].points = append(e.gateways[g].points, i)
				if !e.gateways[g].placed {
					break
				}
				e.gateways[g].placed = false
				e.unplaced = append(e.unplaced, g)
			}
		}
	case LastGasp:
		if e.overtaken(v, &p.meterTime) {
			return false
		}
		lost(&p.gasp)
	case PowerUp, Interrupted:
		if e.overtaken(v, &p.meterTime) {
			return false
		}
		supplied()
	case Timeout:
		if e.overtaken(v, &p.pollTime) {
			return false
		}
		lost(&p.timeout)
	case Answer:
		if e.overtaken(v, &p.pollTime) {
			return false
		}
		answered()
	case Voltage:
		if e.overtaken(v, &p.pollTime) {
			return false
		}
		p.levels = *v.Levels
		phases := e.net.s.Point(int(i)).Phases
		p.measured = false
		live := false
		for k, level := range p.levels {
			if phases&(1<<k) != 0 {
				p.measured = p.measured || level < 75
				live = live || level >= 25
			}
		}
		if live {
			supplied()
		} else {
			p.gasp, p.timeout, p.unanswered, p.stale, p.alive = 0, 0, 0, false, 0
		}
	case Call:
		lost(&p.call)
		e.checkAt(i, at+micros(e.c.CallLasts))
	case PingAnswered:
		answered()
	case PingUnanswered:
		lost(&p.unanswered)
	case PointOut:
		p.word = -1
	case PointSupplied:
		p.word = 1
		supplied()
	}
	if v.Kind == PowerUp || v.Kind == Interrupted || v.Kind == Answer || v.Kind == PingAnswered || v.Kind == Voltage {
		p.word = 0
	}
	e.look(i)
	return true
}

// takeGateway reports whether evidence about a gateway is news.
func (e *Engine) takeGateway(i int32, v Evidence) bool {
	g := &e.gateways[i]
	g.stale = false
	switch v.Kind {
	case Gateway:
		g.asset = v.Asset
		if g.placed {
			g.placed = false
			e.unplaced = append(e.unplaced, i)
		}
		return true
	case MainsFail:
		if e.overtaken(v, &g.source) {
			return false
		}
		g.failed = v.Arrival
	case MainsBack:
		if e.overtaken(v, &g.source) {
			return false
		}
		g.failed, g.alive = 0, v.Arrival
	case GatewayGone:
		if g.gone == 0 {
			g.gone, g.heard = v.Arrival, v.Arrival-micros(5*e.c.Poll)
		}
	case GatewayThere, PingAnswered:
		g.gone = 0
		if v.Kind == PingAnswered {
			g.failed, g.alive = 0, v.Arrival
		}
	default: // a ping of a gateway that wasn't answered says that it is gone, which is known
		return false
	}
	if v.Kind == GatewayGone || v.Kind == GatewayThere || v.Kind == PingAnswered {
		e.weigh(i)
	}
	e.lookAt(i)
	return true
}

// takePosition reports whether a position is news.
func (e *Engine) takePosition(edge int, v Evidence, when int64) bool {
	t := &e.switches[edge]
	closed := !v.Bad && !*v.Open && v.Phases == 0
	if e.overtaken(v, &t.source) && v.By == "" {
		if closed && t.open != 0 && t.when > when { // it came late: it has opened again since
			t.gap = gap{when, t.when, t.at}
			e.dirty = true
		}
		return false
	}
	switch {
	case v.Bad:
	case closed && t.told && t.open != 0:
		t.closed = when
	case !closed && t.open == 0 && t.closed != 0:
		t.gap, t.closed = gap{t.closed, when, v.Arrival}, 0
	}
	t.when = when
	e.measures(edge, v)
	t.told, t.bad, t.at, t.denied = true, v.Bad, v.Arrival, false
	if !v.Bad {
		t.lockedOut = v.LockedOut || t.lockedOut && !closed // until it closes, whoever tells that it is open
		t.open = 0
		if *v.Open {
			if t.open = grid.ABC; v.Phases != 0 {
				t.open = v.Phases & grid.ABC
			}
		} else if v.Phases != 0 {
			t.open = v.Phases & grid.ABC
		}
	}
	if v.Bad {
		t.lockedOut = false
	}
	e.dirty = true
	e.setPosition(edge)
	return true
}

// positionOf is the position of an edge as far as it can be relied on.
func (e *Engine) positionOf(edge int) grid.Phases {
	if t := &e.switches[edge]; t.told && !t.bad && !t.denied {
		return t.open
	}
	if t := &e.switches[edge]; t.bad {
		return e.net.positions[edge] // as it was last known
	}
	return e.net.usual[edge]
}

// setPosition puts a position into the tree.
func (e *Engine) setPosition(edge int) {
	if e.net.tree == nil || e.rebuild {
		e.net.positions[edge] = e.positionOf(edge)
		e.rebuild = true
		return
	}
	if e.net.moves(edge, e.positionOf(edge)) {
		e.rebuild = true
		return
	}
	node := e.net.node[edge]
	if node == none {
		return
	}
	was := e.net.tree.Way(int(node))
	w, _ := e.way(edge)
	busy := 0
	if w.Stay != 0 && was.Stay == 0 {
		busy = 1
	} else if w.Stay == 0 && was.Stay != 0 {
		busy = -1
	}
	e.net.tree.SetWay(int(node), w, busy)
}

// takeAsset takes a voltage at a node or behind a transformer.
func (e *Engine) takeAsset(v Evidence) {
	s := e.net.s
	node := s.Node(v.Asset)
	if edge := s.EdgeOf(v.Asset); node == none && edge != none {
		node = s.Normal().Below(edge)
	}
	if node == none {
		e.kept[key{v.Kind, v.Asset}] = v
		e.strange++
		return
	}
	e.assetSeen(int32(node), *v.Levels)
}

func (e *Engine) assetSeen(node int32, levels Levels) {
	now := infer.Observation{Levels: levels, Seen: infer.Weight(e.c.Weights.Voltage)}
	if was := e.assets[node]; was != now {
		e.assets[node] = now
		e.exchange(int(node), grid.ABC, was, now)
	}
}
