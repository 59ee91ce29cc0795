package grid

import (
	"fmt"
	"math/bits"
	"strings"
)

// networkChecker checks how the assets of one time are connected.
type networkChecker struct {
	*checker
	s *Snapshot
}

func (c *networkChecker) check() {
	c.islands()
	c.loops()
	c.phases()
	c.attached()
	c.feederSupply()
	c.voltages()
}

// islands tells of each part without a source once, whatever is in it.
func (c *networkChecker) islands() {
	s, o := c.s, c.s.Normal()
	if len(s.sources) == 0 && len(s.nodes) > 0 {
		c.findings = append(c.findings, Finding{Severity: Error, Code: NoSource, Message: fmt.Sprintf(
			"no source feeds the network, which has %d nodes and %d service points; expected at least one in sources", len(s.nodes), len(s.points))})
		return
	}
	for i, island := range o.Islands() {
		if island.Source != None {
			continue
		}
		nodes, points := o.Downstream(island.Root), o.PointsBelow(island.Root)
		if len(nodes) == 1 && s.start[island.Root] == s.start[island.Root+1] {
			for _, p := range points {
				c.add(Error, NotConnected, &s.PointAsset(int(p)).Asset, "nothing supplies it: no line, switch or transformer is at node %s", s.NodeID(island.Root))
			}
			continue
		}
		asset := &Asset{}
		ties := []string{}
		for _, n := range nodes {
			s.EdgesAt(int(n), func(edge, other int) {
				if asset.ID == "" || compareIDs(s.EdgeAsset(edge).ID, asset.ID) < 0 {
					asset = s.EdgeAsset(edge)
				}
				if o.Island(other) != i {
					ties = append(ties, s.EdgeAsset(edge).ID)
				}
			})
		}
		severity, load := Error, fmt.Sprintf("%s with %s", count(len(points), "service point"), count(int(o.CustomersBelow(island.Root)), "customer"))
		if len(points) == 0 {
			severity, load = Warning, "no service points"
		}
		way := "nothing joins it to the rest"
		if len(ties) > 0 {
			way = "only what is open joins it to the rest: " + listed(ties, len(ties))
		}
		c.add(severity, UnfedIsland, asset, "it is in a part that no source feeds: %s (%s), %s; %s",
			count(len(nodes), "node"), c.names(nodes), load, way)
	}
}

// shown is how many ids a message lists.
const shown = 5

func (c *networkChecker) names(nodes []int32) string {
	names := make([]string, min(len(nodes), shown))
	for i := range names {
		names[i] = c.s.NodeID(int(nodes[i]))
	}
	return listed(names, len(nodes))
}

// listed is the first of ids, which may be all that are given of total.
func listed(ids []string, total int) string {
	if total <= shown {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:shown], ", "), total-shown)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// loops names the switches by which each loop can be opened.
func (c *networkChecker) loops() {
	s, o := c.s, c.s.Normal()
	const described = 1000 // whose way around is looked at: a mesh has very many
	for i, chord := range o.Loops() {
		a := s.EdgeAsset(int(chord))
		if i >= described {
			c.add(Warning, InLoop, a, "it closes another loop in normal operation")
			continue
		}
		around := o.Around(int(chord))
		var switches []string
		for _, e := range around {
			if s.edges[e].Kind == KindSwitch {
				switches = append(switches, s.EdgeAsset(e).ID)
			}
		}
		what := fmt.Sprintf("closes a loop of %d edges", len(around))
		e := s.edges[chord]
		if x, y := o.Island(e.A), o.Island(e.B); x != y {
			sources := c.model.Sources
			what = fmt.Sprintf("joins sources %s and %s over %s", sources[o.islands[x].Source].ID, sources[o.islands[y].Source].ID, count(len(around), "edge"))
		}
		by := "there is no switch on it"
		if len(switches) > 0 {
			by = "the switches on it are " + listed(switches, len(switches))
		}
		c.add(Warning, InLoop, a, "it %s in normal operation; %s", what, by)
	}
}

// phases checks that what hangs on something has no phases beyond it.
func (c *networkChecker) phases() {
	s, o := c.s, c.s.Normal()
	for _, n := range o.order {
		edge := o.supply[n]
		if edge == None {
			continue
		}
		if beyond := s.edges[edge].Phases &^ o.phases[o.parent[n]]; beyond != 0 {
			c.add(Error, PhaseMismatch, s.EdgeAsset(int(edge)), "it has %s, and what supplies it at node %s only %s",
				phaseName(s.edges[edge].Phases), s.NodeID(int(o.parent[n])), o.phases[o.parent[n]])
		}
	}
	for i := range s.edges {
		// An edge that no common phase reaches is passed by as if it were open.
		e := &s.edges[i]
		if s.normally[i] == 0 && o.Island(e.A) != o.Island(e.B) && (e.Phases&o.phases[e.A] == 0 || e.Phases&o.phases[e.B] == 0) {
			c.add(Error, PhaseMismatch, s.EdgeAsset(i), "it has %s, which nodes %s and %s don't both have", phaseName(e.Phases), s.NodeID(e.A), s.NodeID(e.B))
		}
	}
	for i, p := range s.points {
		if beyond := p.Phases &^ o.phases[p.Node]; beyond != 0 {
			c.add(Error, PhaseMismatch, &s.PointAsset(i).Asset, "it has %s, and what supplies it at node %s only %s",
				phaseName(p.Phases), s.NodeID(p.Node), o.phases[p.Node])
		}
	}
}

func phaseName(p Phases) string {
	if bits.OnesCount8(uint8(p)) == 1 {
		return "phase " + p.String()
	}
	return "phases " + p.String()
}

// attached finds what is there and leads nowhere.
func (c *networkChecker) attached() {
	s := c.s
	used := map[string]bool{}
	source := make([]*Asset, len(s.nodes))
	for i, n := range s.sourceAt {
		source[n] = &c.model.Sources[s.sources[i]].Asset
	}
	for n := range s.nodes {
		entry, degree := s.NodeEntry(n), s.start[n+1]-s.start[n]
		switch {
		case len(s.PointsAt(n)) > 0 || source[n] != nil && degree > 0:
		case degree == 0 && source[n] != nil:
			c.add(Warning, NothingAttached, source[n], "nothing is connected to its node %s", s.NodeID(n))
		case degree == 0 && entry != nil:
			c.add(Warning, NothingAttached, &entry.Asset, "nothing is connected to this node")
		case degree == 1 && entry == nil:
			edge := int(s.links[s.start[n]].edge)
			c.add(Warning, NothingAttached, s.EdgeAsset(edge), "nothing else is connected to its node %s", s.NodeID(n))
		}
		if entry != nil {
			used[entry.Substation] = true
		}
	}
	for _, e := range s.edges {
		switch e.Kind {
		case KindSwitch:
			used[c.model.Switches[e.Index].Substation] = true
		case KindTransformer:
			used[c.model.Transformers[e.Index].Substation] = true
		}
	}
	for i := range s.feeders {
		used[s.Feeder(i).Substation] = true
	}
	for i := range c.model.Substations {
		if v := &c.model.Substations[i]; v.ValidAt(s.at) && !used[v.ID] {
			c.add(Warning, NothingAttached, &v.Asset, "nothing is in this substation")
		}
	}
}

// feederSupply checks that each feeder's head supplies something.
func (c *networkChecker) feederSupply() {
	s, o := c.s, c.s.Normal()
	for i := range s.feeders {
		v := s.Feeder(i)
		edge := s.EdgeOf(v.Head)
		switch {
		case edge == None:
		case s.headOf[edge] != int32(i):
			c.add(Error, FeederWithoutHead, &v.Asset, "its head %s is that of feeder %s too", v.Head, s.Feeder(int(s.headOf[edge])).ID)
		case o.Below(edge) == None:
			c.add(Error, FeederWithoutHead, &v.Asset, "its head %s supplies nothing in normal operation: it is open, or closes a loop", v.Head)
		}
	}
}
