package outage

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"github.com/busbar/busbar/cloud/outage/infer"
	"github.com/busbar/busbar/grid"
)

// incident is one with what the engine needs to go on.
type incident struct {
	Incident
	edge, point int32
	node        int32 // below the edge, or none if it supplies nothing now
	state       infer.State
	found       []*finding // of this decision
	below       []int32    // points below the device, as of made
	made        int        // the tree of that time

	out, ever []int32
	times     []int64 // of evidence of the loss
	back      []int64 // of evidence of supply
	since     int64   // when this interruption began
	first     int64   // arrival of its first evidence: what came before it says nothing
	changed   int64
	closed    int64 // when its device was told to have closed, as of stir
	restoring int64 // since when something has supply again
	stepOf    int64 // which of these the last step is of
	askedBack int64 // since when it is verified
	opened    int64 // when its device was told to have
	fresh     bool  // just begun
	moved     bool
	with      []int32 // edges of what people have merged into it
	touched   bool    // something is known of one of its points that wasn't
	shadowed  bool    // one further up, which began later, has taken its supply as well
	inherited bool    // people were told of what it was part of
	pinned    bool    // an operator has said which device it is
	tell      []ChangeKind
	pending   ChangeKind // to be told with what comes next, or after a while
	told      int64

	outIDs, everIDs []string
}

func older(a, b *incident) int {
	return cmp.Or(cmp.Compare(a.Began, b.Began), cmp.Compare(a.ID, b.ID))
}

// holding reports whether an incident waits for what comes back.
func (x *incident) holding(e *Engine) bool {
	return x.restoring != 0 && e.now < x.restoring+micros(e.c.Restoring)
}

func (x *incident) changedOut() { x.outIDs, x.everIDs = nil, nil }

// use makes the indices those of another version of the network.
func (x *incident) use(old, s *grid.Snapshot, all func([]int32) []int32) {
	if x.edge != none {
		x.edge = int32(s.EdgeOf(old.EdgeAsset(int(x.edge)).ID))
	}
	if x.point != none {
		x.point = int32(s.PointOf(old.PointAsset(int(x.point)).ID))
	}
	with := x.with
	x.with = nil
	for _, edge := range with {
		if to := s.EdgeOf(old.EdgeAsset(int(edge)).ID); to != none {
			x.with = append(x.with, int32(to))
		}
	}
	x.out, x.ever, x.below = all(x.out), all(x.ever), nil
	slices.Sort(x.out)
	slices.Sort(x.ever)
	x.touched = true
	x.changedOut()
}

// name says where an incident is.
func (e *Engine) name(x *incident, f *finding) {
	s := e.net.s
	x.Phases, x.Device, x.Feeder, x.Substation, x.Zone = f.Phases, "", "", "", ""
	var a *grid.Asset
	if f.point != none {
		a = &s.PointAsset(int(f.point)).Asset
	} else {
		a = s.EdgeAsset(int(f.edge))
		switch edge := s.Edge(int(f.edge)); edge.Kind {
		case grid.KindSwitch:
			x.Substation = s.Model().Switches[edge.Index].Substation
		case grid.KindTransformer:
			x.Substation = s.Model().Transformers[edge.Index].Substation
		}
	}
	x.Device, x.Zone = a.ID, a.Zone
	if feeder := s.Normal().Feeder(f.Node); feeder != none {
		v := s.Feeder(feeder)
		x.Feeder, x.Zone, x.Substation = v.ID, cmp.Or(x.Zone, v.Zone), cmp.Or(x.Substation, v.Substation)
	}
}

// idOf is an id that another run has as well.
func (e *Engine) idOf(x *incident) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(x.Device))
	id := fmt.Sprintf("o%s-%04x", strconv.FormatInt(x.Began/1000, 36), h.Sum32()&0xffff)
	for n := 2; e.byID[id] != nil; n++ {
		id = fmt.Sprintf("o%s-%04x-%d", strconv.FormatInt(x.Began/1000, 36), h.Sum32()&0xffff, n)
	}
	return id
}

// progress takes an incident on as far as time and evidence do.
func (e *Engine) progress(x *incident) {
	told := x.edge != none && e.toldOpen(x.edge)
	active := len(x.found) > 0 || x.shadowed
	lossOnly := active && len(x.out) == 0 && x.Lossy > 0
	if x.fresh {
		x.fresh = false
		x.tell = append(x.tell[:0], Began)
		e.wake(e.now + micros(e.c.Settle))
		e.wake(e.now + micros(e.c.Hurry))
	} else if x.moved {
		x.tell = append([]ChangeKind{Moved}, x.tell...)
		e.wake(e.now + micros(e.c.Settle))
	}
	x.moved = false
	e.cover(x)
	switch {
	case !active && x.State == Suspected && x.back == nil && len(x.Steps) == 0:
		e.end(x, Withdrawn, Ended)
		return
	case !active && x.State != Restored && x.State != Partial, x.State == Partial && len(x.out) == 0 && x.RestoredAt == 0:
		e.giveBack(x)
	case active && x.RestoredAt != 0: // it was thought that all had supply
		e.interrupt(x, x.RestoredAt, e.now, e.now)
		x.RestoredAt, x.opened = 0, 0
		if x.edge != none && told {
			x.opened = e.switches[x.edge].when
		}
		x.State, x.changed = Suspected, e.now
		e.wake(e.now + micros(e.c.Settle))
		e.date(x)
	}
	if x.Class == PhaseLoss && len(x.out) > 0 { // from now on it is an outage
		x.Class, x.AnnouncedAt, x.ProbableAt, x.State, x.changed = Open, 0, 0, Suspected, e.now
		x.times, x.since, x.first, x.opened = nil, e.now, e.now, 0
		x.Start, x.Seen, x.NestedIn, x.SplitFrom = e.now, e.now, "", ""
		e.wake(e.now + micros(e.c.Settle))
	}
	if active && x.State == Suspected {
		if e.now >= x.changed+micros(e.c.Settle) || e.now >= x.Began+micros(e.c.Hurry) {
			if x.State = Probable; told {
				x.State = Confirmed
			}
			x.ProbableAt = e.now
			x.tell = append(x.tell, Settled)
		}
	} else if active && x.State == Probable && told {
		x.State = Confirmed
		x.tell = append(x.tell, Settled)
	}
	if active && x.State == Partial && len(x.Steps) == 0 {
		x.State = Probable
	}
	if active && (x.State == Probable || x.State == Confirmed) && len(x.Steps) > 0 && len(x.out) > 0 && !x.holding(e) && x.partly() {
		x.State = Partial
	}
	e.announce(x, active, lossOnly)
	if x.State == Restored || x.State == Partial && x.RestoredAt != 0 {
		e.verify(x)
	}
	if x.pending != "" && e.now >= x.told+seldom && len(x.tell) == 0 {
		x.tell = append(x.tell, x.pending)
	}
	for _, kind := range x.tell {
		e.publish(x, kind)
	}
	x.tell = x.tell[:0]
}

func (x *incident) partly() bool { return len(x.out) < len(x.ever) }

// announce lets people be told of what lasts.
func (e *Engine) announce(x *incident, active, lossOnly bool) {
	if !active || x.AnnouncedAt != 0 || x.State == Suspected || x.Class == Planned || x.holding(e) {
		return
	}
	if x.Island && !e.anyLost(x) {
		return // a position that everything else contradicts
	}
	locked := x.edge != none && e.switches[x.edge].lockedOut
	if at := x.since + e.reclose(x) + micros(e.c.Return); !locked && !x.inherited && e.now < at {
		e.wake(at)
		return
	}
	x.AnnouncedAt = e.now
	if x.Class = Sustained; lossOnly {
		x.Class = PhaseLoss
	}
	x.tell = append(x.tell, Announce)
}

func (e *Engine) anyLost(x *incident) bool {
	return slices.ContainsFunc(x.out, func(p int32) bool { return e.points[p].lost() })
}

// reclose is how long supply may be gone until the slowest device on the way has
// closed again by itself.
func (e *Engine) reclose(x *incident) int64 {
	longest := int64(0)
	v := x.node
	if x.edge == none {
		v = int32(e.net.s.Point(int(x.point)).Node)
	}
	for ; v != none && e.net.edge[v] != none; v = e.net.parent[v] {
		edge := e.net.s.Edge(int(e.net.edge[v]))
		if edge.Kind != grid.KindSwitch {
			continue
		}
		sw := &e.net.s.Model().Switches[edge.Index]
		if d, ok := e.c.DeviceReclose[sw.ID]; ok {
			longest = max(longest, micros(d))
			continue
		}
		switch sw.Type {
		case grid.Breaker:
			longest = max(longest, micros(e.c.BreakerReclose))
		case grid.Recloser:
			longest = max(longest, micros(e.c.RecloserReclose))
		}
	}
	return longest
}

// cover finds the planned switching that an incident is part of.
func (e *Engine) cover(x *incident) {
	if x.Plan != "" {
		return
	}
	for _, plan := range e.plans {
		if x.Start+1 < plan.From || x.Start >= plan.Until {
			continue
		}
		for _, id := range plan.Devices {
			edge := e.net.s.EdgeOf(id)
			if edge == none || x.node == none {
				continue
			}
			if below := e.net.node[edge]; below != none && e.net.isBelow(x.node, below) {
				x.Plan, x.Class = plan.ID, Planned
				return
			}
		}
	}
}

// step is that some have supply again. What comes back while it is waited for is
// one step.
func (e *Engine) step(x *incident, points []int32) {
	at := e.backAt(x)
	s := e.net.s
	var step *Step
	if n := len(x.Steps); n > 0 && x.Steps[n-1].At >= x.restoring-micros(e.c.ClockTolerance) && x.stepOf == x.restoring && x.restoring != 0 {
		x.Steps = slices.Clone(x.Steps)
		step = &x.Steps[n-1]
		step.Points = slices.Clone(step.Points)
	} else {
		x.Steps = append(slices.Clip(x.Steps), Step{})
		step = &x.Steps[len(x.Steps)-1]
		x.stepOf = x.restoring
	}
	step.At = at
	for _, p := range points {
		step.Points = append(step.Points, s.PointAsset(int(p)).ID)
		step.Customers += int64(s.Point(int(p)).Customers)
	}
	slices.Sort(step.Points)
	if len(points) > 0 && x.node != none {
		node := s.Point(int(points[0])).Node
		if !e.net.isBelow(int32(node), x.node) {
			op := e.net.operation()
			for v := node; v != none; v = op.Upstream(v) {
				if edge := op.Supply(v); edge != none && e.net.usual[edge] != 0 {
					step.Tie = s.EdgeAsset(edge).ID
					break
				}
			}
		}
	}
	if len(x.out) > 0 {
		e.later(x, SteppedUp)
	}
}

// seldom is how long passes between two tellings of who is out in an incident.
const seldom = int64(10e6)

// later tells of a change that comes bit by bit.
func (e *Engine) later(x *incident, kind ChangeKind) {
	if x.pending == "" {
		e.wake(max(e.now, x.told+seldom))
	}
	x.pending = kind
}

// backAt is the best estimate of when what comes back did.
func (e *Engine) backAt(x *incident) int64 {
	shown := int64(0)
	back := slices.DeleteFunc(slices.Clone(x.back), func(at int64) bool { return at < x.Start }) // signs of supply before it was lost
	if len(back) > 0 {
		shown = quarter(back)
	} else if len(x.back) > 0 {
		shown = x.Start
	}
	// The last device on the way that was told to have closed since gave it back, if
	// signs of it don't come long after that.
	closed := int64(0)
	for v := x.node; v != none && e.net.edge[v] != none; v = e.net.parent[v] {
		if t := &e.switches[e.net.edge[v]]; t.told && t.open == 0 && t.when > x.Start {
			closed = max(closed, t.when)
		}
	}
	switch {
	case closed != 0 && (shown == 0 || shown < closed+120e6):
		return closed
	case shown != 0:
		return shown
	}
	return e.now
}

// quarter is a value that a quarter of them don't exceed: clocks are wrong in either
// direction, and messages only late.
func quarter(values []int64) int64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[(len(sorted)-1)/4]
}

// giveBack is that all of an incident have supply again, as far as is known.
func (e *Engine) giveBack(x *incident) {
	at := e.backAt(x)
	if n := len(x.Steps); n > 0 {
		at = max(at, x.Steps[n-1].At)
	}
	x.RestoredAt, x.State = at, Restored
	x.askedBack = e.now
	x.tell = append(x.tell, Returned)
	if x.AnnouncedAt == 0 && x.Class == Open {
		x.Class = Momentary
	}
	e.wake(e.now + micros(e.c.Verify))
	e.wake(e.now + e.fresh())
}

// verify closes an incident once enough of those who can answer have.
func (e *Engine) verify(x *incident) {
	reach, alive, metered := 0, 0, 0
	for _, p := range x.ever {
		s := &e.points[p]
		if s.metered {
			metered++
		}
		if !s.metered || s.stale || s.gateway != none && e.gateways[s.gateway].gone != 0 || s.incident != nil {
			continue
		}
		reach++
		switch works := s.gateway == none || e.gateways[s.gateway].works(); {
		case s.lost():
		case s.alive >= x.first, works && e.now >= x.askedBack+e.fresh():
			alive++
		}
	}
	if float64(alive) >= e.c.VerifyShare*float64(reach) && (reach > 0 || metered == 0 && e.now >= x.askedBack+e.fresh()) {
		e.end(x, Closed, Ended)
		return
	}
	if e.now >= x.askedBack+micros(e.c.Verify) && x.State == Restored {
		x.State = Partial
		x.tell = append(x.tell, Unverified)
	}
	if x.State == Partial {
		e.wake(e.now + max(micros(e.c.Verify), (e.now-x.askedBack)/2))
	}
}

// end is that no more comes of an incident.
func (e *Engine) end(x *incident, state State, kind ChangeKind) {
	x.State, x.OverAt = state, e.now
	for _, p := range x.out {
		if e.points[p].incident == x {
			e.points[p].incident = nil
			e.look(p)
			e.checkAt(p, e.now+micros(e.c.Unexplained))
		}
	}
	x.out = nil
	x.changedOut()
	for _, before := range x.tell {
		e.publish(x, before)
	}
	x.tell = x.tell[:0]
	e.publish(x, kind)
	e.incidents = slices.DeleteFunc(slices.Clone(e.incidents), func(y *incident) bool { return y == x })
	e.over = append(e.over, x)
	x.below, x.found, x.times, x.back = nil, nil, nil, nil
}
