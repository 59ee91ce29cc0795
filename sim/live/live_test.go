package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/truth"
	"github.com/busbar/busbar/sim/world"
)

func open(t *testing.T, name string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Open(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func begin(t *testing.T, s *scenario.Scenario) *live.Live {
	t.Helper()
	l, err := live.New(s, scenario.Sinks{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// quiet is a town in which nothing happens by itself.
func quiet(t *testing.T) *live.Live {
	s := open(t, "service")
	s.Faults, s.Steps, s.Expect = nil, nil, nil
	s.Lasts = configfile.Duration(24 * time.Hour)
	return begin(t, s)
}

func advance(t *testing.T, l *live.Live, d time.Duration) {
	t.Helper()
	if err := l.Advance(l.Now() + d.Microseconds()); err != nil {
		t.Fatal(err)
	}
}

func TestWritesWhatARunWrites(t *testing.T) {
	for _, name := range []string{"nested", "transformer-overload", "telecom-failure"} {
		t.Run(name, func(t *testing.T) {
			written := func(play func(s *scenario.Scenario, to scenario.Sinks)) string {
				var out bytes.Buffer
				lines := json.NewEncoder(&out)
				play(open(t, name), scenario.Sinks{Truth: func(r truth.Record) error { return lines.Encode(r) },
					Evidence: func(e evidence.Event) error { return lines.Encode(e) }})
				return out.String()
			}
			run := written(func(s *scenario.Scenario, to scenario.Sinks) {
				if _, err := s.Run(context.Background(), to); err != nil {
					t.Fatal(err)
				}
			})
			// In one file, truth and evidence are in another order: each by itself isn't.
			lived := written(func(s *scenario.Scenario, to scenario.Sinks) {
				s.Expect = nil
				l, err := live.New(s, to)
				if err != nil {
					t.Fatal(err)
				}
				for i := int64(1); !l.Over(); i++ {
					if err := l.Advance(l.Now() + i*7_300_001); err != nil {
						t.Fatal(err)
					}
				}
			})
			for _, of := range []string{`{"time_us"`, `{"arrival_us"`} {
				if a, b := linesWith(run, of), linesWith(lived, of); !slices.Equal(a, b) || len(a) == 0 {
					t.Errorf("%s: %d lines by run, %d live, and not the same", of, len(a), len(b))
				}
			}
		})
	}
}

func linesWith(text, prefix string) (list []string) {
	for line := range bytes.Lines([]byte(text)) {
		if bytes.HasPrefix(line, []byte(prefix)) {
			list = append(list, string(line))
		}
	}
	return list
}

func TestAFaultByHandIsClearedAndRepaired(t *testing.T) {
	l := quiet(t)
	s := l.Snapshot()
	recloser, mill, church := s.EdgeOf("north-recloser"), s.PointOf("mill-1"), s.PointOf("church-1")
	advance(t, l, time.Hour)
	before := l.Point(mill)
	if !before.Alive || before.Voltage[0] < 207 || before.Voltage[0] > 253 || before.Current[0] <= 0 || before.Active[0] <= 0 ||
		math.Abs(before.Frequency-50) > 0.05 || l.Switch(recloser).Position != live.Closed {
		t.Fatalf("before: %+v, %+v", before, l.Switch(recloser))
	}
	next := l.Next()
	f, err := l.Fault(world.Fault{Asset: "north-2"})
	if err != nil || f.ID != "hand-1" {
		t.Fatal(f, err)
	}
	advance(t, l, 2*time.Minute)
	open := l.Switch(recloser)
	if open.Position != live.Open || !open.Tripped || !open.LockedOut || open.Operations != 7 { // four trips, three reclosings
		t.Errorf("locked out: %+v", open)
	}
	out := l.Point(mill)
	if out.Alive || out.Voltage != [3]float64{} || out.Current != [3]float64{} || out.Frequency != 0 {
		t.Errorf("without supply: %+v", out)
	}
	if x := l.Point(church); !x.Alive {
		t.Errorf("upstream: %+v", x)
	}
	if tr := l.Transformer(s.EdgeOf("mill")); tr.Alive || tr.Loading != 0 {
		t.Errorf("its transformer: %+v", tr)
	}
	advance(t, l, time.Hour)
	if again := l.Point(mill); again.Import != out.Import {
		t.Errorf("counts without supply: %v after %v", again.Import, out.Import)
	}
	var kinds []world.Kind
	for {
		list, n, _ := l.Changes(next)
		if len(list) == 0 {
			break
		}
		if list[0].Number != next {
			t.Errorf("number %d, want %d", list[0].Number, next)
		}
		for _, c := range list {
			if c.Event != nil {
				kinds = append(kinds, c.Event.Kind)
			}
		}
		next = n
	}
	if kinds[0] != world.FaultBegan || !slices.Contains(kinds, world.LockedOut) || !slices.Contains(kinds, world.SupplyChanged) {
		t.Errorf("changes: %v", kinds)
	}
	if list := l.Faults(); len(list) != 1 || !list[0].Active || !slices.Equal(list[0].Opened, []string{"north-recloser"}) {
		t.Errorf("faults: %+v", list)
	}
	if _, _, more := l.Changes(next); closed(more) {
		t.Error("more, and there is none")
	}
	_, _, more := l.Changes(next)
	if done, err := l.Repair("NORTH-2", true); err != nil || len(done) != 1 || done[0].Active || len(done[0].Opened) != 0 {
		t.Errorf("repaired: %+v, %v", done, err)
	}
	if !closed(more) {
		t.Error("nobody was told of the repair")
	}
	if x := l.Point(mill); !x.Alive || l.Switch(recloser).Position != live.Closed || len(l.Faults()) != 0 {
		t.Errorf("after: %+v, %+v, %+v", x, l.Switch(recloser), l.Faults())
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestNamesOfWhatIsFaulted(t *testing.T) {
	l := quiet(t)
	for name, want := range map[string]string{"North": "north-1", "north-recloser": "north-2", "mill-cable": "mill-cable", "mill-1": "mill-1"} {
		if f, err := l.Fault(world.Fault{Asset: name, Clears: time.Second}); err != nil || f.Asset != want {
			t.Errorf("%s: %q, %v, want %s", name, f.Asset, err, want)
		}
	}
	for _, name := range []string{"nowhere", ""} {
		if _, err := l.Fault(world.Fault{Asset: name}); err == nil {
			t.Errorf("a fault at %q", name)
		}
	}
	if _, err := l.Repair("south", false); err == nil {
		t.Error("repaired where no fault is")
	}
	if err := l.Open("bus", 0); err == nil {
		t.Error("a node was opened")
	}
	if ids, err := l.CutOff("north", time.Minute); err != nil || len(ids) == 0 {
		t.Errorf("cut off: %v, %v", ids, err)
	}
	if _, err := l.CutOff("gw-none", time.Minute); err == nil {
		t.Error("cut off what isn't there")
	}
}

// Registers count what the load model says, whatever the steps are.
func TestRegistersCountTheQuarterHours(t *testing.T) {
	s := open(t, "transformer-overload")
	s.Expect = nil
	counted := map[string]float64{}
	from := int64(s.Start) + 2*time.Hour.Microseconds()
	if _, err := s.Run(context.Background(), scenario.Sinks{Readings: func(r scenario.Reading) error {
		if r.At < from {
			counted[r.Meter] += float64(r.Import) - float64(r.Export)
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	l := begin(t, s)
	var starts []live.Point
	for p := range l.Snapshot().Points() {
		starts = append(starts, l.Point(p))
	}
	last := starts[0].Import
	for l.Now() < from {
		if err := l.Advance(min(from, l.Now()+37e6)); err != nil {
			t.Fatal(err)
		}
		if now := l.Point(0).Import; now < last {
			t.Fatalf("decreases from %v to %v", last, now)
		} else {
			last = now
		}
	}
	for p, start := range starts {
		x := l.Point(p)
		got, want := x.Import-start.Import-x.Export+start.Export, counted[l.Snapshot().PointAsset(p).ID]
		if math.Abs(got-want) > 1e-3*math.Abs(want)+1 {
			t.Errorf("%s: %v Wh, want %v", l.Snapshot().PointAsset(p).ID, got, want)
		}
	}
}

func TestALostPhaseIsSeen(t *testing.T) {
	l := quiet(t)
	s := l.Snapshot()
	if err := l.Open("mill-1", grid.A); err != nil {
		t.Fatal(err)
	}
	if x := l.Point(s.PointOf("mill-1")); x.Alive && x.Voltage[0] != 0 {
		t.Errorf("%+v", x)
	}
	if _, err := l.Fault(world.Fault{Asset: "lateral", Phases: grid.A, Broken: true}); err != nil {
		t.Fatal(err)
	}
	// Dyn5: one winding keeps its voltage, two have half of it.
	var u []float64
	point := s.PointOf("mill-4") // of all phases
	for _, v := range l.Point(point).Voltage {
		u = append(u, v)
	}
	slices.Sort(u)
	if u[0] < 100 || u[0] > 125 || u[1] < 100 || u[1] > 125 || u[2] < 215 || u[2] > 245 {
		t.Errorf("behind a Dyn transformer: %v V", u)
	}
}

func TestRunPlaysToTheEnd(t *testing.T) {
	l := begin(t, open(t, "service"))
	if err := l.Run(context.Background(), live.Fastest); err != nil {
		t.Fatal(err)
	}
	if !l.Over() || l.Now() != l.End() {
		t.Errorf("over %v at %d of %d", l.Over(), l.Now(), l.End())
	}
	if _, err := l.Fault(world.Fault{Asset: "north-1"}); err == nil {
		t.Error("a fault after the end")
	}
	if err := l.SetSpeed(-1); err == nil {
		t.Error("time passes backwards")
	}
}

// Pages and devices read while time passes and people act.
func TestReadersAndActorsAtOnce(t *testing.T) {
	l := quiet(t)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx, 600) }()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for ctx.Err() == nil {
			for p := range l.Snapshot().Points() {
				l.Point(p)
			}
			l.Faults()
			l.Changes(0)
		}
	}()
	for range 20 {
		if _, err := l.Fault(world.Fault{Asset: "lateral", Clears: time.Second}); err != nil {
			t.Error(err)
		}
		if err := l.Open("south-switch", 0); err != nil {
			t.Error(err)
		}
		if err := l.Close("south-switch", 0); err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	<-read
}
