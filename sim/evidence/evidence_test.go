package evidence_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridtest"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/world"
)

func defaults(change func(*evidence.Config)) evidence.Config {
	var c evidence.Config
	c.SetDefaults()
	c.LastGaspsLost, c.ClockError = 0, 0
	if change != nil {
		change(&c)
	}
	return c
}

// step is what is done to the world at a second.
type step struct {
	second float64
	world.Action
}

func open(second float64, asset string) step {
	return step{second, world.Action{Act: world.Open, Asset: asset}}
}

func shut(second float64, asset string) step {
	return step{second, world.Action{Act: world.Close, Asset: asset}}
}

var network = gridtest.Radial(2000, 3)

// played is what the edge tells of two hours.
func played(t *testing.T, c evidence.Config, cut func(*evidence.Edge), steps ...step) (*world.World, *evidence.Edge, []evidence.Event) {
	t.Helper()
	w := world.New(network.At(0), world.Config{Protection: world.DefaultProtection()})
	for _, s := range steps {
		if err := w.Plan(int64(s.second*1e6), s.Action); err != nil {
			t.Fatal(err)
		}
	}
	e := evidence.New(w, c, 5)
	if cut != nil {
		cut(e)
	}
	const end = int64(7200e6)
	var events []evidence.Event
	for {
		at, ok := w.Next()
		if !ok || at > end {
			break
		}
		happened := w.Advance(at)
		e.Observe(happened)
		events = append(events, e.Until(at)...)
	}
	w.Advance(end)
	events = append(events, e.Until(end)...)
	for i := range events {
		if i > 0 && events[i].Arrival < events[i-1].Arrival {
			t.Fatalf("event %d arrives before the one before it", i)
		}
	}
	return w, e, events
}

// told counts the events of a kind by point, gateway or switch.
func told(events []evidence.Event, kind evidence.Kind) map[string]int {
	count := map[string]int{}
	for _, e := range events {
		if e.Kind == kind {
			switch {
			case e.Point != "":
				count[e.Point]++
			case e.Switch != "":
				count[e.Switch]++
			default:
				count[e.Gateway]++
			}
		}
	}
	return count
}

// below is each service point behind an edge in normal operation, once.
func below(t *testing.T, asset string) map[string]int {
	t.Helper()
	s := network.At(0)
	points := map[string]int{}
	for _, p := range s.Normal().PointsBelow(s.Normal().Below(s.EdgeOf(asset))) {
		points[s.PointAsset(int(p)).ID] = 1
	}
	if len(points) == 0 || len(points) == s.Points() {
		t.Fatalf("%d points are behind %s", len(points), asset)
	}
	return points
}

const place = "transformer-7"

func TestMetersTellOfTheirOutageAndItsEnd(t *testing.T) {
	c := defaults(func(c *evidence.Config) { c.HoldUp = configfile.Duration(time.Hour) })
	_, _, events := played(t, c, nil, open(600, "feeder-1-breaker"), shut(1800, "feeder-1-breaker"))
	want := below(t, "feeder-1-breaker")
	for _, kind := range []evidence.Kind{evidence.LastGasp, evidence.PowerUp, evidence.Timeout, evidence.Answer} {
		if got := told(events, kind); !reflect.DeepEqual(got, want) {
			t.Errorf("%s by %d meters, want %d once each", kind, len(got), len(want))
		}
	}
	if got := told(events, evidence.Position); !reflect.DeepEqual(got, map[string]int{"feeder-1-breaker": 2}) {
		t.Errorf("positions %v", got)
	}
	if n := len(told(events, evidence.Meter)); n != 2000 {
		t.Errorf("%d meters introduced, want 2000", n)
	}
	for _, e := range events {
		if at := float64(e.Source) / 1e6; e.Kind == evidence.LastGasp && at != 601 || e.Kind == evidence.Timeout && (at < 660 || at > 720) {
			t.Fatalf("%s at %v s", e.Kind, at)
		}
	}
}

func TestAGatewayWithoutSupplyIsSilentAboutItsMeters(t *testing.T) {
	_, _, events := played(t, defaults(nil), nil, open(600, "feeder-1-breaker"), shut(1800, "feeder-1-breaker"))
	if got := told(events, evidence.Timeout); len(got) != 0 {
		t.Errorf("timeouts %v from gateways that are off", got)
	}
	fail, gone, there := told(events, evidence.MainsFail), told(events, evidence.GatewayGone), told(events, evidence.GatewayThere)
	if len(fail) == 0 || !reflect.DeepEqual(fail, gone) || !reflect.DeepEqual(gone, there) {
		t.Errorf("mains-fail of %d, gone %d, back %d gateways", len(fail), len(gone), len(there))
	}
}

// A gateway boots later than its meters, and tells of them then.
func TestMetersOfAGatewayThatWasOffTellOfTheEnd(t *testing.T) {
	_, _, events := played(t, defaults(nil), nil, open(600, "feeder-1-breaker"), shut(1800, "feeder-1-breaker"))
	if got, want := told(events, evidence.PowerUp), below(t, "feeder-1-breaker"); !reflect.DeepEqual(got, want) {
		t.Errorf("power-up by %d meters, want %d once each", len(got), len(want))
	}
	for _, e := range events {
		if at := float64(e.Source) / 1e6; e.Kind == evidence.PowerUp && (at < 1802 || at > 1810 || e.Arrival < 1830e6) {
			t.Fatalf("%+v", e)
		}
	}
}

func TestASwitchIsOpenIfNoPhaseIsClosed(t *testing.T) {
	phase := func(second float64, act world.Act, phases grid.Phases) step {
		return step{second, world.Action{Act: act, Asset: "feeder-1-breaker", Phases: phases}}
	}
	_, _, events := played(t, defaults(nil), nil, phase(600, world.Open, grid.A), phase(700, world.Open, grid.B|grid.C),
		phase(800, world.Close, grid.B), phase(900, world.Close, grid.ABC))
	var got []bool
	for _, e := range events {
		if e.Kind == evidence.Position {
			if got = append(got, *e.Open); len(got) == 1 && e.Source != 700e6 {
				t.Errorf("%+v", e)
			}
		}
	}
	if !reflect.DeepEqual(got, []bool{true, false}) {
		t.Errorf("told %v, want open and closed", got)
	}
}

// It has no supply, and loses its connection as well before that is told.
func TestFurtherFailuresDontPostponeThatAGatewayIsGone(t *testing.T) {
	_, _, events := played(t, defaults(nil), func(e *evidence.Edge) {
		e.Cut(600e6, 600e6, func(id string, _ int) bool { return id == "gw-"+place })
	}, open(700, "feeder-0-breaker"))
	if below(t, "feeder-0-breaker")[place+"-sp-0"] != 1 || told(events, evidence.GatewayGone)["gw-"+place] != 1 {
		t.Fatal("the gateway isn't gone, or has its supply")
	}
	for _, e := range events {
		if e.Kind == evidence.GatewayGone && e.Gateway == "gw-"+place && e.Source != 780e6 {
			t.Errorf("gone is told at %v s, want 780", float64(e.Source)/1e6)
		}
	}
}

// All of its meters are disconnected, so none of them loses anything.
func TestAGatewayLosesItsSupplyWhereNoMeterDoes(t *testing.T) {
	var steps []step
	for p := range below(t, place) {
		steps = append(steps, open(500, p))
	}
	_, _, events := played(t, defaults(nil), nil, append(steps, open(600, place))...)
	if got := told(events, evidence.MainsFail); !reflect.DeepEqual(got, map[string]int{"gw-" + place: 1}) {
		t.Errorf("mains-fail of %v", got)
	}
}

func TestALastGaspNeedsAGatewayThatRuns(t *testing.T) {
	_, _, events := played(t, defaults(func(c *evidence.Config) { c.HoldUp = 0 }), nil, open(600, "feeder-1-breaker"), shut(1800, "feeder-1-breaker"))
	if got := told(events, evidence.LastGasp); len(got) > 0 {
		t.Errorf("%d last gasps came through gateways without supply", len(got))
	}
}

// The first loss is over before the second poll, which finds the second loss.
func TestATimeoutIsTwoPollsLong(t *testing.T) {
	c := defaults(func(c *evidence.Config) { c.HoldUp = configfile.Duration(time.Hour) })
	_, _, events := played(t, c, nil, open(600, "feeder-1-breaker"), shut(610, "feeder-1-breaker"), open(655, "feeder-1-breaker"))
	if got, want := told(events, evidence.Timeout), below(t, "feeder-1-breaker"); !reflect.DeepEqual(got, want) {
		t.Errorf("timeouts of %d meters, want %d", len(got), len(want))
	}
	for _, e := range events {
		if e.Kind == evidence.Timeout && e.Source < 715e6 {
			t.Fatalf("a timeout at %v s of a meter that lost its supply at 655 s", float64(e.Source)/1e6)
		}
	}
}

func TestMomentaryInterruptionsMakeNoLastGasp(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		want    bool
	}{{0.9, false}, {1.1, true}} {
		_, _, events := played(t, defaults(nil), nil, open(600, "feeder-1-breaker"), shut(600+c.seconds, "feeder-1-breaker"))
		if got := len(told(events, evidence.LastGasp)) > 0; got != c.want {
			t.Errorf("after %v s: last gasps %v, want %v", c.seconds, got, c.want)
		}
	}
}

func TestAuxiliaryMetersReadZero(t *testing.T) {
	c := defaults(func(c *evidence.Config) { c.Auxiliary, c.HoldUp = 1, configfile.Duration(time.Hour) })
	_, _, events := played(t, c, nil, open(600, "feeder-1-breaker"))
	if n := len(told(events, evidence.LastGasp)) + len(told(events, evidence.Timeout)); n > 0 {
		t.Errorf("%d last gasps and timeouts of meters that go on", n)
	}
	if got, want := told(events, evidence.Voltage), below(t, "feeder-1-breaker"); !reflect.DeepEqual(got, want) {
		t.Errorf("%d meters tell a voltage, want %d", len(got), len(want))
	}
	for _, e := range events {
		if e.Kind == evidence.Voltage && *e.Levels != (world.Levels{}) {
			t.Fatalf("%+v, want 0 V", e)
		}
	}
}

func TestAPhaseLostIsSeenAsVoltage(t *testing.T) {
	_, _, events := played(t, defaults(nil), nil, step{600, world.Action{Act: world.Open, Asset: "feeder-1-breaker", Phases: grid.A}})
	levels := map[uint8]int{}
	for _, e := range events {
		if e.Kind == evidence.Voltage {
			levels[max(e.Levels[0], e.Levels[1], e.Levels[2])]++
		}
	}
	if len(levels) != 1 || levels[50] == 0 || len(told(events, evidence.LastGasp)) > 0 {
		t.Errorf("single-phase meters told of the levels %v, want 50 %% by those that changed", levels)
	}
}

func TestALostConnectionIsNoLossOfSupply(t *testing.T) {
	_, _, events := played(t, defaults(nil), func(e *evidence.Edge) {
		e.Cut(600e6, 1200e6, func(id string, _ int) bool { return id == "gw-"+place })
	})
	want := map[string]int{"gw-" + place: 1}
	if !reflect.DeepEqual(told(events, evidence.GatewayGone), want) || !reflect.DeepEqual(told(events, evidence.GatewayThere), want) {
		t.Error("the gateway isn't gone once and back once")
	}
	if n := len(events) - 2000 - 2; n != 0 {
		t.Errorf("%d events beside", n)
	}
}

func TestWhatAGatewayKnowsWithoutAConnectionComesLate(t *testing.T) {
	c := defaults(func(c *evidence.Config) { c.HoldUp = configfile.Duration(time.Hour) })
	_, _, events := played(t, c, func(e *evidence.Edge) {
		e.Cut(500e6, 1500e6, func(string, int) bool { return true })
	}, open(600, "feeder-1-breaker"))
	n := 0
	for _, e := range events {
		if e.Kind == evidence.LastGasp {
			if n++; e.Source != 601e6 || e.Arrival < 2000e6 {
				t.Fatalf("%+v arrived while there was no connection", e)
			}
		}
	}
	if n != len(below(t, "feeder-1-breaker")) {
		t.Errorf("%d last gasps", n)
	}
}

func TestTelecomThatAFeederSuppliesTakesOthersAlong(t *testing.T) {
	c := defaults(func(c *evidence.Config) {
		c.TelecomServes, c.TelecomBattery = 1000, configfile.Duration(10*time.Minute)
	})
	w, _, events := played(t, c, nil, open(600, "feeder-0-breaker"), open(600, "feeder-1-breaker"), shut(660, "feeder-1-breaker"))
	if w.Level(w.Snapshot().PointOf("transformer-60-sp-0")) == (world.Levels{}) {
		t.Fatal("feeder-1 has no supply")
	}
	late, all := 0, 0
	for _, e := range events {
		if all++; e.Kind == evidence.GatewayGone && e.Arrival > 1200e6 {
			late++
		}
	}
	only := defaults(func(c *evidence.Config) { c.TelecomBattery = configfile.Duration(10 * time.Minute) })
	_, _, without := played(t, only, nil, open(600, "feeder-0-breaker"), open(600, "feeder-1-breaker"), shut(660, "feeder-1-breaker"))
	for _, e := range without {
		if e.Kind == evidence.GatewayGone && e.Arrival > 1200e6 {
			t.Fatalf("%+v without a telecom node", e)
		}
	}
	if late == 0 {
		t.Error("no gateway of the supplied feeder is gone when the telecom node's battery is empty")
	}
}

func TestSharesAreWhatIsAskedFor(t *testing.T) {
	c := defaults(func(c *evidence.Config) {
		c.Metered, c.Silent, c.LastGaspsLost, c.WrongClocks, c.FalseLastGasps, c.Calls = 0.5, 0.1, 0.3, 0.2, 0.6, 0.4
		c.HoldUp = configfile.Duration(time.Hour)
	})
	_, _, events := played(t, c, nil, open(3600, "feeder-1-breaker"))
	out := below(t, "feeder-1-breaker")
	meters := told(events, evidence.Meter)
	near(t, "metered", len(meters), 2000, 0.5)
	real, wrong, false_ := 0, 0, 0
	for _, e := range events {
		if e.Kind != evidence.LastGasp {
			continue
		}
		if e.Arrival > 3600e6 && e.Arrival < 3700e6 && out[e.Point] == 1 {
			if real++; math.Abs(float64(e.Source)-3601e6) > 10e6 {
				wrong++
			}
		} else {
			false_++
		}
	}
	near(t, "last gasps", real, len(out), 0.5*0.9*0.7)
	near(t, "wrong clocks", wrong, real, 0.2)
	near(t, "false last gasps", false_, 2000, 0.6*0.45/12)
	near(t, "calls", len(told(events, evidence.Call)), len(out), 0.4*(1-math.Pow(0.5, 6)))
	silent := 0
	for _, e := range events {
		if e.Kind == evidence.Timeout && e.Arrival < 600e6 {
			silent++
		}
	}
	near(t, "silent", silent, len(meters), 0.1)
}

// near allows for four standard deviations.
func near(t *testing.T, what string, got, of int, share float64) {
	t.Helper()
	want := share * float64(of)
	if math.Abs(float64(got)-want) > 4*math.Sqrt(want*(1-share))+1 {
		t.Errorf("%s: %d of %d, want about %.0f", what, got, of, want)
	}
}

func TestStaleSwitchesTellNothing(t *testing.T) {
	c := defaults(func(c *evidence.Config) { c.StalePositions = 1 })
	_, e, events := played(t, c, nil, open(600, "feeder-1-breaker"))
	if got := told(events, evidence.Position); len(got) > 0 || len(e.Stale()) != 3 { // two breakers and a tie
		t.Errorf("positions %v, stale %v", got, e.Stale())
	}
}

func TestMistakenModelHasSomePointsElsewhere(t *testing.T) {
	known, mistakes := evidence.Mistaken(network, 0, 0.02, 9)
	near(t, "mistakes", len(mistakes), 2000, 0.02)
	n := 0
	for i, p := range network.ServicePoints {
		if known.ServicePoints[i].Node != p.Node {
			if m := mistakes[n]; m.Point != p.ID || m.Node != p.Node || m.Given != known.ServicePoints[i].Node {
				t.Fatalf("%s: %+v", p.ID, m)
			}
			n++
		}
	}
	if n != len(mistakes) {
		t.Errorf("%d points moved, %d listed", n, len(mistakes))
	}
}

func TestTheSameSeedTellsTheSame(t *testing.T) {
	c := defaults(func(c *evidence.Config) {
		c.LastGaspsLost, c.FalseLastGasps, c.Dropouts, c.TelecomServes, c.Calls = 0.2, 1, 5, 10, 0.5
	})
	_, _, a := played(t, c, nil, open(600, "feeder-1-breaker"), shut(1800, "feeder-1-breaker"))
	_, _, b := played(t, c, nil, open(600, "feeder-1-breaker"), shut(1800, "feeder-1-breaker"))
	if !reflect.DeepEqual(a, b) {
		t.Error("other evidence the second time")
	}
	if len(told(a, evidence.GatewayGone)) == 0 {
		t.Error("no connection was lost by itself")
	}
}

// positions are those of a switch as they arrive.
func positions(events []evidence.Event, of string) (list []evidence.Event) {
	for _, e := range events {
		if e.Kind == evidence.Position && e.Switch == of {
			list = append(list, e)
		}
	}
	return list
}

func TestPositionsComeLateOrNotAtAllWithoutAConnection(t *testing.T) {
	const breaker, gateway = "feeder-1-breaker", "gw-feeder-1-breaker"
	cut := func(e *evidence.Edge) {
		e.Cut(500e6, 1500e6, func(id string, _ int) bool { return id == gateway })
	}
	steps := []step{open(600, breaker), shut(700, breaker), open(800, breaker)}
	kept := defaults(func(c *evidence.Config) { c.PositionsLost = 0 })
	_, _, events := played(t, kept, cut, steps...)
	list := positions(events, breaker)
	if len(list) != 3 || told(events, evidence.GatewayGone)[gateway] != 1 {
		t.Fatalf("kept: %+v", list)
	}
	for i, e := range list {
		if e.Source != int64(600+100*i)*1e6 || e.Arrival < 2000e6 || *e.Open != (i != 1) || e.Gateway != gateway {
			t.Errorf("%+v", e)
		}
	}
	lost := defaults(func(c *evidence.Config) { c.PositionsLost = 1 })
	_, _, events = played(t, lost, cut, steps...)
	if list := positions(events, breaker); len(list) != 1 || list[0].Source != 2000e6 || !*list[0].Open {
		t.Errorf("lost: %+v", list)
	}
	if _, _, events := played(t, lost, cut, steps[:2]...); len(positions(events, breaker)) != 0 {
		t.Errorf("closed as before: %+v", positions(events, breaker))
	}
	// Its own supply has failed, and its battery is empty.
	empty := defaults(func(c *evidence.Config) { c.PositionsLost, c.StationBattery = 0, configfile.Duration(time.Minute) })
	_, e, events := played(t, empty, nil, open(500, "feeder-0-breaker"), shut(600, "tie-1"))
	if list := positions(events, "tie-1"); len(list) != 1 || list[0].Source != 630e6 || *list[0].Open {
		t.Errorf("without supply: %+v", list)
	}
	if _, runs, connected := e.Teller(network.At(0).EdgeOf("tie-1")); !runs || !connected {
		t.Errorf("runs %v, connected %v", runs, connected)
	}
	_, e, _ = played(t, empty, nil, open(500, "feeder-0-breaker"))
	if _, runs, connected := e.Teller(network.At(0).EdgeOf("tie-1")); runs || connected {
		t.Errorf("without supply it runs %v, connected %v", runs, connected)
	}
	// With a clock that is wrong.
	wrong := defaults(func(c *evidence.Config) { c.WrongClocks = 1 })
	_, _, events = played(t, wrong, nil, open(600, breaker))
	if list := positions(events, breaker); len(list) != 1 || list[0].Source == 600e6 || list[0].Arrival > 620e6 {
		t.Errorf("with a wrong clock: %+v", list)
	}
}
