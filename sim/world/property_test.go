package world_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridtest"
	"github.com/busbar/busbar/sim/network"
	"github.com/busbar/busbar/sim/world"
)

// anything plans what comes to mind on a network, and returns what happens.
func anything(m *grid.Model, seed uint64) (*world.World, []world.Event) {
	random := rand.New(rand.NewPCG(seed, 7))
	c := defaults()
	c.Seed = seed
	c.Crews = world.Crews{Count: random.IntN(3), Travel: world.Drawn{Median: time.Minute, Spread: 1}, Repair: world.Drawn{Median: time.Hour, Spread: 1},
		Replace: world.Drawn{Median: time.Minute}}
	w := world.New(m.At(0), c)
	s := w.Snapshot()
	var assets []string
	for e := range s.Edges() {
		assets = append(assets, s.EdgeAsset(e).ID)
	}
	for p := range s.Points() {
		assets = append(assets, s.PointAsset(p).ID)
	}
	for n := range s.Nodes() {
		assets = append(assets, s.NodeID(n))
	}
	for i := range 20 {
		a := world.Action{Act: world.Act(random.IntN(5)), Asset: assets[random.IntN(len(assets))], Phases: grid.Phases(random.IntN(8))}
		a.Fault = world.Fault{ID: fmt.Sprint(random.IntN(20)), Asset: a.Asset, Phases: a.Phases, Broken: random.IntN(4) == 0,
			Clears: time.Duration(random.IntN(3)) * time.Second}
		_ = w.Plan(int64(i)*int64(random.IntN(60e6)), a) // what the network can't do is refused
	}
	var events []world.Event
	for i := range 100 {
		events = append(events, w.Advance(int64(i+1)*3600e6)...)
	}
	return w, events
}

func TestAnyWorldHoldsWhatItSays(t *testing.T) {
	for seed := range uint64(2000) {
		m := gridtest.Random(rand.New(rand.NewPCG(seed, 1)))
		w, events := anything(m, seed)
		_, sameEvents := anything(m, seed)
		if !reflect.DeepEqual(events, sameEvents) {
			t.Fatalf("seed %d: other events the second time", seed)
		}
		if fed := w.Fed(); len(fed) > 0 {
			t.Fatalf("seed %d: the faults %v are fed, long after they began", seed, fed)
		}
		s := w.Snapshot()
		supply := make([]world.Levels, s.Points())
		fresh := world.New(s, defaults())
		for p := range supply {
			supply[p] = fresh.Level(p)
		}
		last := int64(0)
		for _, e := range events {
			if e.At < last {
				t.Fatalf("seed %d: an event at %d after one at %d", seed, e.At, last)
			}
			last = e.At
			for _, c := range e.Supply {
				if c.From != supply[c.Point] || c.From == c.To {
					t.Fatalf("seed %d: point %d goes from %v to %v and had %v", seed, c.Point, c.From, c.To, supply[c.Point])
				}
				supply[c.Point] = c.To
			}
		}
		for p := range supply {
			if supply[p] != w.Level(p) {
				t.Fatalf("seed %d: the events leave point %d at %v, it has %v", seed, p, supply[p], w.Level(p))
			}
		}
		for n := range s.Nodes() {
			if live := w.NodeLevel(n).Live() != 0; live && !reaches(w, n) {
				t.Fatalf("seed %d: node %s has voltage without a closed way to a source", seed, s.NodeID(n))
			}
		}
	}
}

// Who is out after a permanent fault is who is behind the nearest device with
// protection in the tree, found here by walking up.
func TestPermanentFaultTakesWhatIsBehindTheNearestDevice(t *testing.T) {
	m := network.Generate(network.Parameters{ServicePoints: 600, PerFeeder: 300, Overhead: 1, Seed: 4})
	s := m.At(0)
	random := rand.New(rand.NewPCG(1, 2))
	kinds := map[grid.SwitchType]int{}
	for range 150 {
		line := random.IntN(len(m.Lines))
		edge := s.EdgeOf(m.Lines[line].ID)
		below := s.Normal().Below(edge)
		if below == grid.None {
			continue // up to an open tie
		}
		device := grid.None
		for n := below; device == grid.None; n = s.Normal().Upstream(n) {
			e := s.Normal().Supply(n)
			if x := s.Edge(e); x.Kind == grid.KindSwitch && m.Switches[x.Index].Type.Protective() {
				device = e
				kinds[m.Switches[x.Index].Type]++
			}
		}
		w := world.New(s, defaults())
		if err := w.Plan(0, world.Action{Act: world.BeginFault, Fault: world.Fault{ID: "f", Asset: m.Lines[line].ID}}); err != nil {
			t.Fatal(err)
		}
		w.Advance(600e6)
		want := map[int]bool{}
		for _, p := range s.Normal().PointsBelow(s.Normal().Below(device)) {
			want[int(p)] = true
		}
		for p := range s.Points() {
			if out := w.Level(p).Live() == 0; out != want[p] {
				t.Fatalf("a fault on %s: %s out %v, want %v as %s opens", m.Lines[line].ID, s.PointAsset(p).ID, out, want[p], s.EdgeAsset(device).ID)
			}
		}
	}
	if len(kinds) != 3 {
		t.Errorf("only %v were tried", kinds)
	}
}

// reaches searches a way to a source along edges of which a phase is closed.
func reaches(w *world.World, from int) bool {
	s := w.Snapshot()
	sources := map[int]bool{}
	for _, source := range s.Model().Sources {
		sources[s.Node(source.Node)] = true
	}
	seen, queue := map[int]bool{from: true}, []int{from}
	for len(queue) > 0 {
		n := queue[0]
		if queue = queue[1:]; sources[n] {
			return true
		}
		s.EdgesAt(n, func(edge, other int) {
			if !seen[other] && s.Edge(edge).Phases&^w.Position(edge) != 0 {
				seen[other] = true
				queue = append(queue, other)
			}
		})
	}
	return false
}

func BenchmarkStorm100k(b *testing.B) {
	s := gridtest.Radial(100_000, 1).At(0)
	lines := s.Model().Lines
	for b.Loop() {
		w := world.New(s, defaults())
		for i := range 100 {
			_ = w.Plan(int64(i)*60e6, world.Action{Act: world.BeginFault, Fault: world.Fault{ID: fmt.Sprint(i), Asset: lines[i*397%len(lines)].ID}})
		}
		events := w.Advance(4 * 3600e6)
		b.ReportMetric(float64(len(events)), "events")
	}
}
