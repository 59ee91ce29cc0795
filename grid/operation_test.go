package grid_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridtest"
)

// reach is what can be reached from nodes over closed edges, searched for without
// any of the snapshot's order. skip is an edge that counts as open.
func reach(s *grid.Snapshot, p grid.Positions, from []int, skip int) map[int]bool {
	seen := map[int]bool{}
	for _, n := range from {
		seen[n] = true
	}
	for grew := true; grew; {
		grew = false
		for e := range s.Edges() {
			edge := s.Edge(e)
			if e == skip || edge.Phases&^p[e] == 0 || seen[edge.A] == seen[edge.B] {
				continue
			}
			seen[edge.A], seen[edge.B], grew = true, true, true
		}
	}
	return seen
}

func threePhase(m *grid.Model) {
	for i := range m.Lines {
		m.Lines[i].Phases = grid.ABC
	}
	for i := range m.Switches {
		m.Switches[i].Phases = grid.ABC
	}
	for i := range m.Transformers {
		m.Transformers[i].Phases = grid.ABC
	}
}

func sourceNodes(s *grid.Snapshot) []int {
	var out []int
	for _, source := range s.Model().Sources {
		out = append(out, s.Node(source.Node))
	}
	return out
}

// What Operate says of random networks with random positions is what naive
// searches of them say.
func TestOperationAgainstNaiveSearch(t *testing.T) {
	const networks = 4000
	loops, below, dead := 0, 0, 0
	for seed := range uint64(networks) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := gridtest.Random(random)
		threePhase(m)
		s := m.At(0)
		sources := sourceNodes(s)
		var o *grid.Operation
		for range 3 {
			p := s.NormalPositions()
			for e := range p {
				if random.IntN(4) == 0 {
					p[e] = grid.ABC
				} else if random.IntN(8) == 0 {
					p[e] = 0
				}
			}
			o = s.Operate(p, o)
			fail := func(format string, args ...any) {
				t.Helper()
				t.Fatalf("seed %d: %s", seed, fmt.Sprintf(format, args...))
			}
			fed := reach(s, p, sources, grid.None)
			for n := range s.Nodes() {
				if (o.Energised(n) != 0) != fed[n] {
					fail("node %s: energised %s, and the search says %v", s.NodeID(n), o.Energised(n), fed[n])
				}
				if !fed[n] {
					dead++
				}
			}
			for e := range s.Edges() {
				edge := s.Edge(e)
				closed := p[e] == 0
				// An edge is in a loop, or between sources, if its ends are
				// joined without it as well.
				joined := closed && (reach(s, p, []int{edge.A}, e)[edge.B] ||
					edge.A != edge.B && meets(reach(s, p, []int{edge.A}, e), sources) && meets(reach(s, p, []int{edge.B}, e), sources))
				if o.InLoop(e) != joined {
					fail("edge %s: in a loop %v, and the search says %v", s.EdgeAsset(e).ID, o.InLoop(e), joined)
				}
				if joined {
					loops++
					continue
				}
				n := o.Below(e)
				if (n != grid.None) != closed {
					fail("edge %s: closed %v, below it %d", s.EdgeAsset(e).ID, closed, n)
				}
				if n == grid.None {
					continue
				}
				// What is downstream of an edge is what has no way to a source, or
				// to the root of the island, without it.
				below++
				island := o.Islands()[o.Island(n)]
				with, without := reach(s, p, []int{island.Root}, grid.None), reach(s, p, append(slices.Clone(sources), island.Root), e)
				var want []int
				for i := range s.Nodes() {
					if with[i] && !without[i] {
						want = append(want, i)
					}
				}
				got := ints(o.Downstream(n))
				slices.Sort(got)
				if !slices.Equal(got, want) {
					fail("below %s: %v, and the search says %v", s.EdgeAsset(e).ID, got, want)
				}
				checkBelow(t, s, o, n, want)
			}
			checkIslands(t, s, o, p, sources)
		}
	}
	if loops < networks || below < networks || dead < networks {
		t.Errorf("only %d edges in loops, %d with something below and %d nodes without supply were seen", loops, below, dead)
	}
}

func meets(seen map[int]bool, nodes []int) bool {
	return slices.ContainsFunc(nodes, func(n int) bool { return seen[n] })
}

func ints(list []int32) []int {
	out := make([]int, len(list))
	for i, n := range list {
		out[i] = int(n)
	}
	return out
}

func checkBelow(t *testing.T, s *grid.Snapshot, o *grid.Operation, node int, nodes []int) {
	t.Helper()
	var points []int
	customers := int64(0)
	for p := range s.Points() {
		if slices.Contains(nodes, s.Point(p).Node) {
			points = append(points, p)
			customers += int64(s.Point(p).Customers)
		}
	}
	got := ints(o.PointsBelow(node))
	slices.Sort(got)
	if !slices.Equal(got, points) || o.CustomersBelow(node) != customers {
		t.Fatalf("below node %s: points %v with %d customers, expected %v with %d", s.NodeID(node), got, o.CustomersBelow(node), points, customers)
	}
	for n := range s.Nodes() {
		if o.IsBelow(n, node) != slices.Contains(nodes, n) {
			t.Fatalf("node %s below %s: %v", s.NodeID(n), s.NodeID(node), o.IsBelow(n, node))
		}
	}
}

func checkIslands(t *testing.T, s *grid.Snapshot, o *grid.Operation, p grid.Positions, sources []int) {
	t.Helper()
	nodes := make([]int, len(o.Islands()))
	for n := range s.Nodes() {
		nodes[o.Island(n)]++
		if up := o.Upstream(n); up != grid.None {
			e := s.Edge(o.Supply(n))
			if e.A+e.B != n+up || o.Island(up) != o.Island(n) || !o.IsBelow(n, up) {
				t.Fatalf("node %s hangs on %s by %v", s.NodeID(n), s.NodeID(up), e)
			}
		}
	}
	for i, island := range o.Islands() {
		if island.Nodes != nodes[i] || (island.Source != grid.None) != slices.Contains(sources, island.Root) || o.Upstream(island.Root) != grid.None {
			t.Fatalf("island %d: %+v of %d nodes", i, island, nodes[i])
		}
	}
	for _, chord := range o.Loops() {
		around := o.Around(int(chord))
		seen := map[int]int{}
		for _, e := range around {
			if p[e] != 0 || !o.InLoop(e) {
				t.Fatalf("around %d: edge %d is open or in no loop", chord, e)
			}
			seen[s.Edge(e).A]++
			seen[s.Edge(e).B]++
		}
		odd := 0
		for _, n := range seen {
			odd += n % 2
		}
		e := s.Edge(int(chord))
		if joins := o.Island(e.A) != o.Island(e.B); odd != 0 && !joins || joins && odd != 2 {
			t.Fatalf("around %d is no loop: %v", chord, around)
		}
	}
}

// A phase is there only if each edge on the way carries it.
func TestPhases(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 2))
		s := gridtest.Random(random).At(0)
		p := s.NormalPositions()
		for e := range p {
			p[e] |= grid.Phases(random.IntN(8) & random.IntN(8))
		}
		o := s.Operate(p, nil)
		for n := range s.Nodes() {
			want := grid.ABC
			at := n
			for ; o.Upstream(at) != grid.None; at = o.Upstream(at) {
				want &= s.Edge(o.Supply(at)).Phases &^ p[o.Supply(at)]
			}
			if !slices.Contains(sourceNodes(s), at) {
				want = 0
			}
			if o.Energised(n) != want {
				t.Fatalf("seed %d: node %s has %q, expected %q", seed, s.NodeID(n), o.Energised(n), want)
			}
		}
		for point := range s.Points() {
			if want := o.Energised(s.Point(point).Node) & s.Point(point).Phases; o.Supplied(point) != want {
				t.Fatalf("seed %d: point %d has %q, expected %q", seed, point, o.Supplied(point), want)
			}
		}
	}
}

// Two feeders of one station, with a switch in the middle of the first and a
// tie between their ends.
func ring() *grid.Model {
	m := &grid.Model{
		Nodes:   []grid.Node{{Asset: grid.Asset{ID: "1d"}}, {Asset: grid.Asset{ID: "1c"}}},
		Sources: []grid.Source{{Asset: grid.Asset{ID: "grid"}, Node: "bus"}},
		Feeders: []grid.Feeder{{Asset: grid.Asset{ID: "F1"}, Head: "CB1"}, {Asset: grid.Asset{ID: "F2"}, Head: "CB2"}},
		Switches: []grid.Switch{
			{Asset: grid.Asset{ID: "CB1"}, From: "bus", To: "1a"}, {Asset: grid.Asset{ID: "CB2"}, From: "2a", To: "bus"},
			{Asset: grid.Asset{ID: "S"}, From: "1b", To: "1c", Type: grid.LoadSwitch},
			{Asset: grid.Asset{ID: "TIE"}, From: "1d", To: "2b", Type: grid.LoadSwitch, NormallyOpen: true},
		},
		Lines: []grid.Line{
			{Asset: grid.Asset{ID: "L1"}, From: "1a", To: "1b"}, {Asset: grid.Asset{ID: "L2"}, From: "1c", To: "1d"},
			{Asset: grid.Asset{ID: "L3"}, From: "2a", To: "2b"},
		},
	}
	for i, node := range []string{"1b", "1c", "1d", "2b"} {
		m.ServicePoints = append(m.ServicePoints, grid.ServicePoint{Asset: grid.Asset{ID: "sp-" + node}, Node: node, Customers: 10 << i})
	}
	return m
}

func TestBackFeed(t *testing.T) {
	s := ring().At(0)
	feeder := func(o *grid.Operation, node string) string {
		if f := o.Feeder(s.Node(node)); f != grid.None {
			return s.Feeder(f).ID
		}
		return ""
	}
	o := s.Normal()
	if got := feeder(o, "1d") + feeder(o, "2b") + feeder(o, "bus"); got != "F1F2" {
		t.Errorf("normally the feeders are %q", got)
	}
	if n := o.Below(s.EdgeOf("CB1")); o.CustomersBelow(n) != 10+20+40 || s.NodeID(n) != "1a" {
		t.Errorf("below CB1: %d customers from node %s", o.CustomersBelow(n), s.NodeID(n))
	}
	if o.Device(s.Node("1d")) != s.EdgeOf("S") || o.Device(s.Node("1b")) != s.EdgeOf("CB1") || o.Device(s.Node("bus")) != grid.None {
		t.Error("the devices upstream are others")
	}

	// A fault on L1: its breaker opens. What is behind keeps its direction.
	p := s.NormalPositions()
	p[s.EdgeOf("CB1")] = grid.ABC
	out := s.Operate(p, nil)
	if out.Energised(s.Node("1b")) != 0 || out.Energised(s.Node("2b")) != grid.ABC {
		t.Error("CB1 opens, and the wrong nodes lose their supply")
	}
	if root := out.Islands()[out.Island(s.Node("1d"))].Root; s.NodeID(root) != "1a" || !out.IsBelow(s.Node("1d"), s.Node("1b")) {
		t.Errorf("the dead part hangs on node %s", s.NodeID(root))
	}

	// S opens and the tie closes: 1c and 1d are back, by the other feeder.
	p[s.EdgeOf("S")], p[s.EdgeOf("TIE")] = grid.ABC, 0
	back := s.Operate(p, out)
	if back.Energised(s.Node("1b")) != 0 || back.Energised(s.Node("1c")) != grid.ABC || feeder(back, "1c") != "F2" {
		t.Errorf("after the tie closes 1b has %q and 1c %q by %q", back.Energised(s.Node("1b")), back.Energised(s.Node("1c")), feeder(back, "1c"))
	}
	if n := back.Below(s.EdgeOf("TIE")); s.NodeID(n) != "1d" || back.CustomersBelow(n) != 20+40 {
		t.Errorf("below the tie: node %s with %d customers", s.NodeID(n), back.CustomersBelow(n))
	}
	if len(back.Loops()) != 0 {
		t.Error("there is a loop")
	}
	p[s.EdgeOf("S")], p[s.EdgeOf("CB1")] = 0, 0
	if loop := s.Operate(p, back); len(loop.Loops()) != 1 || len(loop.Around(int(loop.Loops()[0]))) != 7 {
		t.Errorf("with all closed: loops %v", loop.Loops())
	}
}

// A feeder that feeds its own station backwards isn't the station's feeder.
func TestStationFedBackwards(t *testing.T) {
	m := ring()
	m.Sources = append(m.Sources, grid.Source{Asset: grid.Asset{ID: "other"}, Node: "far"})
	m.Switches = append(m.Switches,
		grid.Switch{Asset: grid.Asset{ID: "CB0"}, From: "station", To: "bus"},
		grid.Switch{Asset: grid.Asset{ID: "CB3"}, From: "far", To: "3a"},
		grid.Switch{Asset: grid.Asset{ID: "TIE3"}, From: "3a", To: "1d", NormallyOpen: true})
	m.Sources[0].Node = "station"
	m.Feeders = append(m.Feeders, grid.Feeder{Asset: grid.Asset{ID: "F3"}, Head: "CB3"})
	s := m.At(0)
	p := s.NormalPositions()
	p[s.EdgeOf("CB0")], p[s.EdgeOf("TIE3")] = grid.ABC, 0
	o := s.Operate(p, nil)
	for node, want := range map[string]string{"1a": "F3", "bus": "F3", "2b": "F2"} {
		if got := s.Feeder(o.Feeder(s.Node(node))).ID; got != want {
			t.Errorf("node %s is on %s, expected %s", node, got, want)
		}
	}
}

func TestOperateReusesMemory(t *testing.T) {
	s := gridtest.Radial(2000, 1).At(0)
	o := s.Operate(nil, nil)
	p := s.NormalPositions()
	p[s.EdgeOf("feeder-1-breaker")], p[s.EdgeOf("tie-1")] = grid.ABC, 0
	o = s.Operate(nil, s.Operate(p, o))
	if o.Energised(s.Node("feeder-1-1")) != grid.ABC || len(o.Loops()) != 0 || o.Feeder(s.Node("feeder-1-1")) != s.FeederOf("feeder-1") {
		t.Error("what was operated before is left")
	}
	if n := testing.AllocsPerRun(5, func() { o = s.Operate(p, o); o = s.Operate(nil, o) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestValidity(t *testing.T) {
	m := ring()
	m.Lines[2].ValidTo = 1000
	m.Lines = append(m.Lines, grid.Line{Asset: grid.Asset{ID: "L3", ValidFrom: 1000}, From: "2a", To: "2c"},
		grid.Line{Asset: grid.Asset{ID: "L4", ValidFrom: 1000, ValidTo: 2000}, From: "2c", To: "2b"})
	for at, want := range map[int64]string{0: "2b", 999: "2b", 1000: "2c", 1999: "2c", 2000: "2c"} {
		s := m.At(at)
		e := s.Edge(s.EdgeOf("L3"))
		if got := s.NodeID(e.B); got != want {
			t.Errorf("at %d L3 ends at %s, expected %s", at, got, want)
		}
		if fed := s.Normal().Energised(s.Node("2b")) != 0; fed != (at < 2000) {
			t.Errorf("at %d 2b is energised: %v", at, fed)
		}
	}
}

func TestRadial(t *testing.T) {
	m := gridtest.Radial(3500, 7)
	s := m.At(0)
	if s.Points() != 3500 || s.Feeders() != 4 || s.Summary().Loops != 0 || s.Summary().UnfedIslands != 0 {
		t.Errorf("%+v", s.Summary())
	}
	if findings := m.Check(0); len(findings) != 0 {
		t.Errorf("%d findings, first %s", len(findings), findings[0])
	}
	points := 0
	for f := range s.Feeders() {
		points += len(s.Normal().PointsBelow(s.Normal().Below(s.EdgeOf(s.Feeder(f).Head))))
	}
	if points != 3500 {
		t.Errorf("%d service points are on feeders", points)
	}
}
