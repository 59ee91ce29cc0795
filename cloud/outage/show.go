package outage

import (
	"cmp"
	"math"
	"slices"

	"github.com/busbar/busbar/grid"
)

// publish tells of a change.
func (e *Engine) publish(x *incident, kind ChangeKind) {
	x.Revision++
	x.pending, x.told = "", e.now
	if !x.State.Over() && len(x.found) > 0 {
		e.consider(x)
	}
	e.changes = append(e.changes, Change{At: e.now, Kind: kind, Incident: e.shown(x)})
}

// shown is an incident as others see it.
func (e *Engine) shown(x *incident) Incident {
	s := e.net.s
	ids := func(points []int32) []string {
		out := make([]string, len(points))
		for i, p := range points {
			out[i] = s.PointAsset(int(p)).ID
		}
		slices.Sort(out)
		return out
	}
	if x.outIDs == nil {
		x.outIDs, x.CustomersOut, x.Critical, x.High = ids(x.out), 0, 0, 0
		for _, p := range x.out {
			x.CustomersOut += int64(s.Point(int(p)).Customers)
			switch s.PointAsset(int(p)).Priority {
			case grid.CriticalPriority:
				x.Critical++
			case grid.HighPriority:
				x.High++
			}
		}
	}
	if x.everIDs == nil {
		x.everIDs, x.CustomersEver = ids(x.ever), 0
		for _, p := range x.ever {
			x.CustomersEver += int64(s.Point(int(p)).Customers)
		}
	}
	out := x.Incident
	out.Out, out.Ever = x.outIDs, x.everIDs
	out.Counts = map[Kind]int{}
	for k, n := range x.Counts {
		out.Counts[k] = n
	}
	out.Evidence = slices.Clone(x.Evidence)
	return out
}

// consider finds what else explains the evidence, and how much worse.
func (e *Engine) consider(x *incident) {
	s := e.net.s
	if x.node == none {
		x.Candidates, x.Confidence = []Candidate{{Device: x.Device, Phases: x.Phases, Confidence: 1}}, 1
		return
	}
	list := []Candidate{{Device: x.Device, Phases: x.Phases}}
	if more, ok := e.net.tree.Forced(int(x.node), 0); ok {
		c := Candidate{Cost: more.Weight()}
		if below := e.net.tree.Below(int(x.node), nil); len(below) > 0 {
			c.Device, c.Phases = s.EdgeAsset(int(e.net.edge[below[0].Node])).ID, below[0].Phases
		}
		list = append(list, c)
	}
	above := 0
	for v := e.net.parent[x.node]; v != none && e.net.edge[v] != none && above < 3; v = e.net.parent[v] {
		edge := int(e.net.edge[v])
		if s.Edge(edge).Kind == grid.KindLine {
			continue
		}
		above++
		if more, ok := e.net.tree.Forced(int(v), grid.ABC); ok {
			list = append(list, Candidate{Device: s.EdgeAsset(edge).ID, Phases: grid.ABC, Cost: more.Weight()})
		}
	}
	slices.SortStableFunc(list, func(a, b Candidate) int { return cmp.Compare(a.Cost, b.Cost) })
	sum := 0.0
	for i := range list {
		list[i].Confidence = math.Exp(-max(list[i].Cost, 0))
		sum += list[i].Confidence
	}
	for i := range list {
		list[i].Confidence /= sum
	}
	x.Candidates, x.Confidence = list, list[0].Confidence
}

// Incidents is those that are known, by their ids: those that go on, and those over
// for less than Config.Keep.
func (e *Engine) Incidents() (all []Incident) {
	for _, x := range e.incidents {
		all = append(all, e.shown(x))
	}
	for _, x := range e.over {
		all = append(all, e.shown(x))
	}
	slices.SortFunc(all, func(a, b Incident) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Incident is one of them.
func (e *Engine) Incident(id string) (Incident, bool) {
	x := e.byID[id]
	if x == nil {
		return Incident{}, false
	}
	return e.shown(x), true
}
