package world_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/world"
)

// town is a source with a breaker, a recloser on the line, a lateral behind a
// fuse with a transformer, whose low side has a fuse as well, and a tie from a
// second breaker to the end of the line:
//
//	source ─ breaker ─ l1 ─ recloser ─ l2 ─┬─ l3 ─ tie ─ l9 ─ breaker-2 ─ source
//	                                       ├─ end (service point "end")
//	                                       └─ fuse ─ lateral ─ transformer ─ lv-fuse ─ cable (a, b, c, abc)
func town(t *testing.T) *grid.Snapshot {
	t.Helper()
	asset := func(id string) grid.Asset { return grid.Asset{ID: id} }
	line := func(id, from, to string) grid.Line {
		return grid.Line{Asset: asset(id), From: from, To: to, Phases: grid.ABC}
	}
	device := func(id, from, to string, kind grid.SwitchType) grid.Switch {
		return grid.Switch{Asset: asset(id), From: from, To: to, Type: kind, Phases: grid.ABC}
	}
	point := func(id, node string, phases grid.Phases) grid.ServicePoint {
		return grid.ServicePoint{Asset: asset(id), Node: node, Customers: 1, Phases: phases}
	}
	m := &grid.Model{
		Sources: []grid.Source{{Asset: asset("source"), Node: "bus"}},
		Lines: []grid.Line{line("l1", "n1", "n2"), line("l2", "n3", "n4"), line("l3", "n4", "n5"), line("lateral", "n6", "n7"),
			line("cable", "n9", "n10"), line("l9", "n11", "n5b")},
		Switches: []grid.Switch{device("breaker", "bus", "n1", grid.Breaker), device("recloser", "n2", "n3", grid.Recloser),
			device("fuse", "n4", "n6", grid.Fuse), device("lv-fuse", "n8", "n9", grid.Fuse), device("breaker-2", "bus", "n11", grid.Breaker),
			{Asset: asset("tie"), From: "n5", To: "n5b", Type: grid.LoadSwitch, NormallyOpen: true, Phases: grid.ABC}},
		Transformers: []grid.Transformer{{Asset: asset("transformer"), From: "n7", To: "n8", VectorGroup: "Dyn5", Phases: grid.ABC}},
		ServicePoints: []grid.ServicePoint{point("a", "n10", grid.A), point("abc", "n10", grid.ABC), point("b", "n10", grid.B),
			point("c", "n10", grid.C), point("end", "n5", grid.ABC), point("near", "n2", grid.ABC)},
	}
	return m.At(0)
}

// played is a world and what has happened in it, a line an event.
type played struct {
	*world.World
	t     *testing.T
	lines []string
}

func play(t *testing.T, s *grid.Snapshot, c world.Config) *played {
	return &played{World: world.New(s, c), t: t}
}

func defaults() world.Config { return world.Config{Protection: world.DefaultProtection()} }

func us(seconds float64) int64 { return int64(seconds * 1e6) }

func (p *played) plan(seconds float64, a world.Action) {
	p.t.Helper()
	if err := p.Plan(us(seconds), a); err != nil {
		p.t.Fatal(err)
	}
}

func (p *played) fault(seconds float64, asset string, clears time.Duration) {
	p.t.Helper()
	p.plan(seconds, world.Action{Act: world.BeginFault, Fault: world.Fault{ID: fmt.Sprintf("%s@%g", asset, seconds), Asset: asset, Clears: clears}})
}

func (p *played) to(seconds float64) {
	for _, e := range p.Advance(us(seconds)) {
		line := fmt.Sprintf("%.2f %s", float64(e.At)/1e6, e.Kind)
		switch {
		case e.Edge != grid.None:
			line += " " + p.Snapshot().EdgeAsset(e.Edge).ID
		case e.Point != grid.None:
			line += " " + p.Snapshot().PointAsset(e.Point).ID
		}
		if e.Phases != 0 && e.Phases != grid.ABC {
			line += " " + e.Phases.String()
		}
		for _, c := range e.Supply {
			line += fmt.Sprintf(" %s:%s", p.Snapshot().PointAsset(int(c.Point)).ID, levels(c.To, p.Snapshot().Point(int(c.Point)).Phases))
		}
		p.lines = append(p.lines, line)
	}
}

func levels(l world.Levels, phases grid.Phases) string {
	var words []string
	for i := range 3 {
		if phases&(1<<i) != 0 {
			words = append(words, fmt.Sprint(l[i]))
		}
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), "/")
}

func (p *played) want(lines ...string) {
	p.t.Helper()
	for i := range max(len(lines), len(p.lines)) {
		got, want := "nothing", "nothing"
		if i < len(p.lines) {
			got = p.lines[i]
		}
		if i < len(lines) {
			want = lines[i]
		}
		if got != want {
			p.t.Fatalf("event %d: %s, want %s; all:\n%s", i, got, want, strings.Join(p.lines, "\n"))
		}
	}
}

// O-C(0.5 s)-reset: momentary, one trip.
func TestTemporaryFaultIsClearedByTheFirstReclosing(t *testing.T) {
	p := play(t, town(t), defaults())
	p.fault(10, "l3", 300*time.Millisecond)
	p.to(1000)
	p.want("10.00 fault-begin l3", "10.05 trip recloser", "10.05 supply a:0 abc:0 b:0 c:0 end:0", "10.35 fault-end l3",
		"10.55 reclose recloser", "10.55 supply a:100 abc:100 b:100 c:100 end:100")
}

// O-C-O-C-O-C-O stays open: lockout after four trips.
func TestPermanentFaultLocksTheRecloserOut(t *testing.T) {
	p := play(t, town(t), defaults())
	p.fault(10, "l3", 0)
	p.to(1000)
	const lost, back = "supply a:0 abc:0 b:0 c:0 end:0", "supply a:100 abc:100 b:100 c:100 end:100"
	p.want("10.00 fault-begin l3", "10.05 trip recloser", "10.05 "+lost, // fast
		"10.55 reclose recloser", "10.55 "+back, "10.75 trip recloser", "10.75 "+lost, // slow from here
		"15.75 reclose recloser", "15.75 "+back, "15.95 trip recloser", "15.95 "+lost,
		"30.95 reclose recloser", "30.95 "+back, "31.15 trip recloser", "31.15 lockout recloser", "31.15 "+lost)
}

func TestSequenceBeginsAnewAfterTheResetTime(t *testing.T) {
	for _, c := range []struct {
		after float64 // the reclosing of the first
		want  int     // trips counted at the second fault
	}{{179, 2}, {181, 1}} {
		w := world.New(town(t), defaults())
		for i, at := range []float64{10, 10.55 + c.after} {
			if err := w.Plan(us(at), world.Action{Act: world.BeginFault, Fault: world.Fault{ID: fmt.Sprint(i), Asset: "l3", Clears: time.Millisecond}}); err != nil {
				t.Fatal(err)
			}
		}
		trips := 0
		for _, e := range w.Advance(us(1000)) {
			if e.Kind == world.Tripped {
				trips = e.Trips
			}
		}
		if trips != c.want {
			t.Errorf("a fault %g s after reclosing is trip %d of the sequence, want %d", c.after, trips, c.want)
		}
	}
}

func TestRecloserSavesTheFuseAtATemporaryFaultOnly(t *testing.T) {
	p := play(t, town(t), defaults())
	p.fault(10, "lateral", 300*time.Millisecond)
	p.to(400)
	p.want("10.00 fault-begin lateral", "10.05 trip recloser", "10.05 supply a:0 abc:0 b:0 c:0 end:0", "10.35 fault-end lateral",
		"10.55 reclose recloser", "10.55 supply a:100 abc:100 b:100 c:100 end:100")
	p.lines = nil
	p.fault(500, "lateral", 0)
	p.to(1000)
	p.want("500.00 fault-begin lateral", "500.05 trip recloser", "500.05 supply a:0 abc:0 b:0 c:0 end:0",
		"500.55 reclose recloser", "500.55 supply a:100 abc:100 b:100 c:100 end:100",
		"500.65 blown fuse", "500.65 supply a:0 abc:0 b:0 c:0")
}

func TestFuseBlowsAtATemporaryFaultWithoutFastTrips(t *testing.T) {
	c := defaults()
	c.Protection.Recloser.FastTrips = 0
	p := play(t, town(t), c)
	p.fault(10, "lateral", 300*time.Millisecond)
	p.to(1000)
	p.want("10.00 fault-begin lateral", "10.10 blown fuse", "10.10 supply a:0 abc:0 b:0 c:0", "10.40 fault-end lateral")
}

func TestBreakerTriesOnceAndLocksOut(t *testing.T) {
	p := play(t, town(t), defaults())
	p.fault(10, "l1", 0)
	p.to(1000)
	p.want("10.00 fault-begin l1", "10.30 trip breaker", "10.30 supply a:0 abc:0 b:0 c:0 end:0 near:0",
		"11.30 reclose breaker", "11.30 supply a:100 abc:100 b:100 c:100 end:100 near:100",
		"11.60 trip breaker", "11.60 lockout breaker", "11.60 supply a:0 abc:0 b:0 c:0 end:0 near:0")
}

func TestFaultBehindATransformerIsLeftToItsFuse(t *testing.T) {
	p := play(t, town(t), defaults())
	p.plan(10, world.Action{Act: world.BeginFault, Fault: world.Fault{ID: "x", Asset: "cable", Phases: grid.B}})
	p.to(1000)
	p.want("10.00 fault-begin cable B", "10.10 blown lv-fuse B", "10.10 supply abc:0/100 b:0")
}

func TestOnePhaseLostIsSeenThroughDyn(t *testing.T) {
	p := play(t, town(t), defaults())
	p.plan(10, world.Action{Act: world.Open, Asset: "fuse", Phases: grid.A})
	p.to(11)
	p.want("10.00 open fuse A", "10.00 supply a:50 abc:100/50 c:50")
	p.plan(20, world.Action{Act: world.Open, Asset: "fuse", Phases: grid.B})
	p.to(1000)
	p.want("10.00 open fuse A", "10.00 supply a:50 abc:100/50 c:50", "20.00 open fuse B", "20.00 supply a:0 abc:0 b:0 c:0")
}

func TestBrokenConductorTripsNothing(t *testing.T) {
	p := play(t, town(t), defaults())
	p.plan(10, world.Action{Act: world.BeginFault, Fault: world.Fault{ID: "x", Asset: "l3", Phases: grid.C, Broken: true}})
	p.plan(20, world.Action{Act: world.RepairFault, Fault: world.Fault{ID: "x"}})
	p.to(1000)
	p.want("10.00 fault-begin l3 C", "10.00 supply end:0/100", "20.00 repaired l3", "20.00 supply end:100")
}

func TestSecondFaultShowsWhenTheFirstIsRepaired(t *testing.T) {
	p := play(t, town(t), defaults())
	p.fault(10, "l1", 0)
	p.to(20)
	p.lines = nil
	p.fault(30, "lateral", 0) // in the outage
	p.plan(40, world.Action{Act: world.RepairFault, Fault: world.Fault{ID: "l1@10"}})
	p.plan(41, world.Action{Act: world.Close, Asset: "breaker"})
	p.to(1000)
	p.want("30.00 fault-begin lateral", "40.00 repaired l1", "41.00 close breaker", "41.00 supply a:100 abc:100 b:100 c:100 end:100 near:100",
		"41.05 trip recloser", "41.05 supply a:0 abc:0 b:0 c:0 end:0", "41.55 reclose recloser", "41.55 supply a:100 abc:100 b:100 c:100 end:100",
		"41.65 blown fuse", "41.65 supply a:0 abc:0 b:0 c:0")
}

func TestTieBackFeedsWhatIsSound(t *testing.T) {
	p := play(t, town(t), defaults())
	p.fault(10, "l2", 0)
	p.to(100)
	p.lines = nil
	p.plan(200, world.Action{Act: world.Open, Asset: "l3"}) // cut, so the fault is left behind
	p.plan(201, world.Action{Act: world.Close, Asset: "tie"})
	p.to(300)
	p.want("200.00 open l3", "201.00 close tie", "201.00 supply end:100")
	if f := p.Operation().Supply(p.Snapshot().Node("n5")); p.Snapshot().EdgeAsset(f).ID != "tie" {
		t.Errorf("end hangs on %s", p.Snapshot().EdgeAsset(f).ID)
	}
	p.lines = nil
	p.plan(400, world.Action{Act: world.Close, Asset: "l3"}) // onto the fault, through the tie
	p.to(500)
	p.want("400.00 close l3", "400.00 supply a:100 abc:100 b:100 c:100", "400.30 trip breaker-2", "400.30 supply a:0 abc:0 b:0 c:0 end:0",
		"401.30 reclose breaker-2", "401.30 supply a:100 abc:100 b:100 c:100 end:100",
		"401.60 trip breaker-2", "401.60 lockout breaker-2", "401.60 supply a:0 abc:0 b:0 c:0 end:0")
}

// With the tie closed the fault is fed from both sides, and both trip.
func TestFaultInALoopIsClearedFromBothSides(t *testing.T) {
	p := play(t, town(t), defaults())
	p.plan(1, world.Action{Act: world.Close, Asset: "tie"})
	p.fault(10, "l3", 0)
	p.to(1000)
	locked := map[string]bool{}
	for _, line := range p.lines {
		if device, ok := strings.CutPrefix(line[strings.Index(line, " ")+1:], "lockout "); ok {
			locked[device] = true
		}
	}
	if len(locked) != 2 || !locked["recloser"] || !locked["breaker-2"] {
		t.Errorf("locked out: %v\n%s", locked, strings.Join(p.lines, "\n"))
	}
	for i, want := range []uint8{0, 0, 0, 0, 0, 100} { // all but near
		if got := p.Level(i).Live() != 0; got != (want > 0) {
			t.Errorf("point %d has supply: %v", i, got)
		}
	}
}

func TestClosingOntoAFaultLocksOutAtOnce(t *testing.T) {
	p := play(t, town(t), defaults())
	p.fault(10, "l3", 0)
	p.to(100)
	p.lines = nil
	p.plan(200, world.Action{Act: world.Close, Asset: "recloser"})
	p.to(1000)
	p.want("200.00 close recloser", "200.00 supply a:100 abc:100 b:100 c:100 end:100",
		"200.20 trip recloser", "200.20 lockout recloser", "200.20 supply a:0 abc:0 b:0 c:0 end:0")
}

func TestNextDeviceBacksUpOneThatIsJammed(t *testing.T) {
	p := play(t, town(t), defaults())
	p.plan(1, world.Action{Act: world.Jam, Asset: "recloser"})
	p.plan(1, world.Action{Act: world.Jam, Asset: "fuse"})
	p.fault(10, "lateral", time.Millisecond)
	p.to(1000)
	p.want("10.00 fault-begin lateral", "10.30 trip breaker", "10.30 supply a:0 abc:0 b:0 c:0 end:0 near:0", "10.30 fault-end lateral",
		"11.30 reclose breaker", "11.30 supply a:100 abc:100 b:100 c:100 end:100 near:100")
}

// The source's own protection does it, which is no device.
func TestSourceBacksUpABreakerThatIsJammed(t *testing.T) {
	p := play(t, town(t), defaults())
	p.plan(1, world.Action{Act: world.Jam, Asset: "breaker"})
	p.fault(10, "l1", 0)
	p.to(1000)
	p.want("10.00 fault-begin l1", "10.30 lockout", "10.30 supply a:0 abc:0 b:0 c:0 end:0 near:0")
}

func TestRecloserIsNotFastEnoughForAFastFuse(t *testing.T) {
	c := defaults()
	c.Protection.FuseMelts = 20 * time.Millisecond
	p := play(t, town(t), c)
	p.fault(10, "lateral", 0)
	p.to(1000)
	p.want("10.00 fault-begin lateral", "10.02 blown fuse", "10.02 supply a:0 abc:0 b:0 c:0")
}

func TestSwitchingWhatIsSwitchedIsNoEvent(t *testing.T) {
	p := play(t, town(t), defaults())
	for i, act := range []world.Act{world.Close, world.Open, world.Open, world.Close} {
		p.plan(float64(10*i), world.Action{Act: act, Asset: "near"})
	}
	p.to(1000)
	p.want("10.00 open near", "10.00 supply near:0", "30.00 close near", "30.00 supply near:100")
}

// What is drawn neither takes for ever nor runs over into the past.
func TestCrewsTakeNoLongerThanAYear(t *testing.T) {
	c := defaults()
	forever := world.Drawn{Median: 30 * 24 * time.Hour, Spread: 300}
	c.Crews = world.Crews{Count: 1, Travel: forever, Repair: forever, Replace: forever}
	for seed := range uint64(20) {
		c.Seed = seed
		p := play(t, town(t), c)
		p.fault(10, "l1", 0)
		last := int64(0)
		for _, e := range p.Advance(us(3 * 366 * 86400)) {
			if e.At < last {
				t.Errorf("seed %d: %s at %d, after %d", seed, e.Kind, e.At, last)
			}
			last = e.At
		}
		if p.Level(0).Live() == 0 {
			t.Errorf("seed %d: nobody has come in two years", seed)
		}
	}
}

func TestServicePointHasItsOwnFuse(t *testing.T) {
	p := play(t, town(t), defaults())
	p.fault(10, "abc", 0)
	p.to(1000)
	p.want("10.00 fault-begin abc", "10.10 blown abc", "10.10 supply abc:0")
}

func TestCrewRepairsAndClosesAgain(t *testing.T) {
	c := defaults()
	c.Crews = world.Crews{Count: 1, Travel: world.Drawn{Median: time.Minute}, Repair: world.Drawn{Median: time.Hour}, Replace: world.Drawn{Median: 10 * time.Minute}}
	p := play(t, town(t), c)
	p.fault(10, "lateral", 0)
	p.fault(20, "abc", 0) // waits for the crew; hidden by the first
	p.to(10 + 3*3600)
	const lost, back = "supply a:0 abc:0 b:0 c:0", "supply a:100 abc:100 b:100 c:100"
	p.want("10.00 fault-begin lateral", "10.05 trip recloser", "10.05 "+lost+" end:0", "10.55 reclose recloser", "10.55 "+back+" end:100",
		"10.65 blown fuse", "10.65 dispatched fuse", "10.65 "+lost, "20.00 fault-begin abc",
		"3670.65 repaired lateral", "3670.65 close fuse", "3670.65 "+back,
		"3670.75 blown abc", "3670.75 dispatched abc", "3670.75 supply abc:0",
		"7330.75 repaired abc", "7330.75 close abc", "7330.75 supply abc:100")
}

func TestPlanRefusesWhatTheGridHasNot(t *testing.T) {
	w := world.New(town(t), defaults())
	for want, a := range map[string]world.Action{
		`no line, switch, transformer, node or service point "x"`: {Act: world.Open, Asset: "x"},
		`"n4" can't be switched`:                                  {Act: world.Open, Asset: "n4"},
		`"l1" is no switch`:                                       {Act: world.Jam, Asset: "l1"},
		`"fuse" is a switch`:                                      {Act: world.BeginFault, Fault: world.Fault{ID: "f", Asset: "fuse"}},
		`"a" has the phases A only`:                               {Act: world.BeginFault, Fault: world.Fault{ID: "f", Asset: "a", Phases: grid.B}},
		`"n4" is a node`:                                          {Act: world.BeginFault, Fault: world.Fault{ID: "f", Asset: "n4", Broken: true}},
		`no fault "f" before`:                                     {Act: world.RepairFault, Fault: world.Fault{ID: "f"}},
		`an id of its own`:                                        {Act: world.BeginFault, Fault: world.Fault{Asset: "l1"}},
	} {
		if err := w.Plan(0, a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", a, err, want)
		}
	}
}
