package outage_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
)

// town is a feeder with a recloser, two laterals behind fuses, and a tie to another
// feeder at its end.
const town = `
sources: [{id: grid, node: bus}]
feeders: [{id: north, head: north-breaker}, {id: south, head: south-breaker}]
switches:
  - {id: north-breaker, from: bus, to: n0, type: breaker, signal: Pos}
  - {id: south-breaker, from: bus, to: s0, type: breaker, signal: Pos}
  - {id: cut, from: n1, to: n2, type: load-switch}
  - {id: fuse-1, from: n1, to: l1, type: fuse}
  - {id: fuse-2, from: n3, to: l2, type: fuse}
  - {id: tie, from: n3, to: s1, type: load-switch, normally_open: true, signal: Pos}
lines:
  - {id: line-0, from: n0, to: n1}
  - {id: line-2, from: n2, to: n3}
  - {id: line-l1, from: l1, to: m1}
  - {id: line-l2, from: l2, to: m2}
  - {id: line-s, from: s0, to: s1}
service_points:
`

// desk is an engine over the town, with six service points at each of three places.
type desk struct {
	t       *testing.T
	e       *outage.Engine
	at      int64
	changes []outage.Change
	asks    []outage.Ask
	network *grid.Snapshot
}

func newDesk(t *testing.T, more string) *desk {
	t.Helper()
	var text strings.Builder
	text.WriteString(town)
	for _, place := range []string{"m1", "m2", "s1"} {
		for i := range 6 {
			fmt.Fprintf(&text, "  - {id: %s-%d, node: %s, customers: 2}\n", place, i, place)
		}
	}
	text.WriteString(more)
	m, findings := gridfile.ReadYAML("town.yaml", []byte(text.String()))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	d := &desk{t: t, at: 1e12, network: m.At(1e12)}
	d.e = outage.New(d.network, outage.Defaults(), d.at)
	for _, place := range []string{"m1", "m2", "s1"} {
		for i := range 6 {
			d.tell(outage.Evidence{Kind: outage.Meter, Point: fmt.Sprintf("%s-%d", place, i), Gateway: "gw " + place, PoweredBy: "measured"})
		}
	}
	d.pass(time.Hour)
	// However far the time goes, little is done for it.
	t.Cleanup(func() { d.e.Advance(d.at + 1000*365*86400e6) })
	return d
}

// tell is evidence that arrives now.
func (d *desk) tell(v outage.Evidence) {
	d.t.Helper()
	v.Arrival = d.at
	if v.Source == 0 {
		v.Source = d.at
	}
	if err := d.e.Take(v); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) each(kind outage.Kind, place string, numbers ...int) {
	d.t.Helper()
	if len(numbers) == 0 {
		numbers = []int{0, 1, 2, 3, 4, 5}
	}
	for _, i := range numbers {
		d.tell(outage.Evidence{Kind: kind, Point: fmt.Sprintf("%s-%d", place, i)})
	}
}

func (d *desk) position(id string, open bool) {
	d.t.Helper()
	d.tell(outage.Evidence{Kind: outage.Position, Switch: id, Open: &open})
}

func (d *desk) pass(time time.Duration) {
	d.at += time.Microseconds()
	changes, asks := d.e.Advance(d.at)
	d.changes, d.asks = append(d.changes, changes...), append(d.asks, asks...)
}

// only is the one incident that isn't over.
func (d *desk) only() outage.Incident {
	d.t.Helper()
	open := d.open()
	if len(open) != 1 {
		d.t.Fatalf("%d incidents go on, want 1: %+v", len(open), open)
	}
	return open[0]
}

func (d *desk) open() (open []outage.Incident) {
	for _, x := range d.e.Incidents() {
		if !x.State.Over() {
			open = append(open, x)
		}
	}
	return open
}

func (d *desk) count(kind outage.ChangeKind) (n int) {
	for _, c := range d.changes {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

func TestAFuseThatBlows(t *testing.T) {
	d := newDesk(t, "")
	began := d.at
	d.each(outage.LastGasp, "m1", 0, 1, 2, 4, 5)
	d.pass(time.Second)
	if x := d.only(); x.State != outage.Suspected || x.Device != "fuse-1" || len(x.Out) != 6 || x.CustomersOut != 12 || x.Feeder != "north" {
		t.Errorf("%+v", x)
	}
	d.pass(9 * time.Second)
	if x := d.only(); x.State != outage.Probable || x.Announced() || x.Start != began || x.Counts[outage.LastGasp] != 5 || len(x.Evidence) != 5 {
		t.Errorf("%+v", x)
	}
	d.pass(30 * time.Second)
	if x := d.only(); !x.Announced() || x.Class != outage.Sustained || x.Confidence < 0.7 || len(x.Candidates) < 2 {
		t.Errorf("%+v", x)
	}
	d.pass(time.Hour)
	d.each(outage.PowerUp, "m1")
	d.pass(10 * time.Second)
	if open := d.open(); len(open) != 0 {
		t.Errorf("goes on: %+v", open)
	}
	x := d.e.Incidents()[0]
	if x.State != outage.Closed || len(x.Steps) != 1 || len(x.Steps[0].Points) != 6 || x.Steps[0].Customers != 12 {
		t.Errorf("%+v", x)
	}
	if n := d.count(outage.Announce); n != 1 {
		t.Errorf("people were told %d times", n)
	}
}

// Two silent meters are asked, whatever else is known, and what they answer counts.
func TestTwoSilentMetersAreAsked(t *testing.T) {
	d := newDesk(t, "")
	d.tell(outage.Evidence{Kind: outage.Gateway, Gateway: "gw m1", Asset: "bus"})
	d.each(outage.Timeout, "m1", 2, 3)
	d.pass(time.Minute)
	if open := d.open(); len(open) != 0 {
		t.Fatalf("two silent meters made %+v", open)
	}
	if len(d.asks) != 1 || d.asks[0].Reason != outage.AskSilent || d.asks[0].Gateway != "gw m1" || !slices.Equal(d.asks[0].Points, []string{"m1-2", "m1-3"}) {
		t.Errorf("asked for %+v", d.asks)
	}
	d.each(outage.PingUnanswered, "m1", 0, 1, 2, 3, 4, 5)
	d.pass(10 * time.Second)
	if x := d.only(); x.Device != "fuse-1" {
		t.Errorf("%+v", x)
	}
}

// A meter that is silent for good is no evidence after a while.
func TestWhatNothingExplainsIsForgotten(t *testing.T) {
	d := newDesk(t, "")
	for i := range 6 {
		d.each(outage.LastGasp, "m1", i)
		d.pass(6 * time.Minute)
	}
	if n := len(d.e.Incidents()); n != 0 {
		t.Errorf("%d incidents of single last gasps", n)
	}
}

func TestGatewaysThatFallSilentAreNoOutage(t *testing.T) {
	d := newDesk(t, "")
	for _, g := range []string{"gw m1", "gw m2", "gw s1"} {
		d.tell(outage.Evidence{Kind: outage.GatewayGone, Gateway: g})
	}
	d.pass(time.Hour)
	if n := len(d.e.Incidents()); n != 0 {
		t.Errorf("%d incidents", n)
	}
}

// A position of good quality is enough, and lockout lets people be told at once.
func TestALockoutIsToldAtOnce(t *testing.T) {
	d := newDesk(t, "")
	open := true
	d.tell(outage.Evidence{Kind: outage.Position, Switch: "north-breaker", Open: &open, LockedOut: true})
	d.pass(4 * time.Second)
	if x := d.only(); x.State != outage.Confirmed || !x.Announced() || x.Device != "north-breaker" || len(x.Out) != 12 {
		t.Errorf("%+v", x)
	}
}

// What was told of a device shortly before it opened isn't when it did.
func TestItBeganWhenItsDeviceOpened(t *testing.T) {
	d := newDesk(t, "")
	d.position("north-breaker", false)
	d.pass(20 * time.Second)
	opened := d.at
	d.position("north-breaker", true)
	d.pass(4 * time.Second)
	if x := d.only(); x.Start != opened || x.Earliest != opened || x.Latest != opened {
		t.Errorf("it began %v s after it did, from %v to %v", float64(x.Start-opened)/1e6, float64(x.Earliest-opened)/1e6, float64(x.Latest-opened)/1e6)
	}
}

func TestAMomentaryInterruptionIsNotTold(t *testing.T) {
	d := newDesk(t, "")
	d.position("north-breaker", true)
	d.pass(time.Second)
	d.each(outage.LastGasp, "m1")
	d.pass(500 * time.Millisecond)
	d.position("north-breaker", false)
	d.pass(5 * time.Second)
	d.each(outage.PowerUp, "m1")
	d.pass(10 * time.Minute)
	if d.count(outage.Announce) != 0 || len(d.open()) != 0 {
		t.Errorf("%+v", d.changes)
	}
	if x := d.e.Incidents()[0]; x.Class != outage.Momentary || x.State != outage.Closed {
		t.Errorf("%+v", x)
	}
}

// Customers who are fed through a tie have supply again at that step, and what is
// left is out until its own device closes.
func TestPartOfItComesBackThroughATie(t *testing.T) {
	d := newDesk(t, "")
	d.position("north-breaker", true)
	d.pass(time.Second)
	d.each(outage.LastGasp, "m1")
	d.each(outage.LastGasp, "m2")
	d.pass(time.Minute)
	open := true
	d.tell(outage.Evidence{Kind: outage.Position, Switch: "cut", Open: &open, By: "operator"})
	d.position("tie", false)
	d.pass(5 * time.Second)
	d.each(outage.PowerUp, "m2")
	d.pass(3 * time.Minute)
	x := d.only()
	if x.State != outage.Partial || x.Device != "north-breaker" || len(x.Out) != 6 || len(x.Steps) != 1 || len(x.Steps[0].Points) != 6 || x.Steps[0].Tie != "tie" {
		t.Errorf("%s %s out %d, steps %+v", x.State, x.Device, len(x.Out), x.Steps)
	}
	if node := d.network.Node("m2"); d.e.Operation().Energised(node) == 0 {
		t.Error("m2 has no supply as operated")
	}
}

// Whoever feeds what is cut off makes an island, which isn't restored.
func TestAnIslandIsNotRestored(t *testing.T) {
	d := newDesk(t, "")
	d.position("north-breaker", true)
	d.pass(time.Second)
	d.each(outage.LastGasp, "m1")
	d.each(outage.LastGasp, "m2")
	d.pass(time.Minute)
	d.each(outage.Answer, "m1")
	d.each(outage.Answer, "m2")
	d.pass(10 * time.Minute)
	if x := d.only(); !x.Island || x.RestoredAt != 0 || len(x.Out) != 12 || d.count(outage.Islanded) != 1 {
		t.Errorf("island %v, restored %d, out %d", x.Island, x.RestoredAt, len(x.Out))
	}
}

// What is still without supply once that has come back further up is an incident of
// its own.
func TestWhatStaysOutBelowIsNested(t *testing.T) {
	d := newDesk(t, "")
	d.position("north-breaker", true)
	d.pass(time.Second)
	d.each(outage.LastGasp, "m1")
	d.each(outage.LastGasp, "m2")
	d.pass(time.Minute)
	first := d.only()
	d.position("north-breaker", false)
	d.pass(5 * time.Second)
	d.each(outage.PowerUp, "m1")
	d.pass(20 * time.Second)
	if x := d.only(); x.ID != first.ID {
		t.Errorf("%s before what comes back has had its time", x.ID)
	}
	d.pass(10 * time.Minute)
	var nested outage.Incident
	for _, x := range d.open() {
		if x.ID != first.ID {
			nested = x
		}
	}
	if nested.NestedIn != first.ID || nested.Device != "fuse-2" || len(nested.Out) != 6 {
		t.Errorf("%+v", nested)
	}
}

// What begins in parts and has one cause is one incident.
func TestPartsBecomeOne(t *testing.T) {
	d := newDesk(t, "")
	d.each(outage.LastGasp, "m1", 0, 1, 2)
	d.pass(time.Second)
	d.each(outage.LastGasp, "m2", 0, 1, 2)
	d.pass(300 * time.Millisecond)
	d.position("north-breaker", true)
	d.pass(time.Minute)
	if x := d.only(); x.Device != "north-breaker" || len(x.Out) != 12 {
		t.Errorf("%+v", x)
	}
	if n := d.count(outage.Announce); n != 1 {
		t.Errorf("people were told %d times", n)
	}
	for _, x := range d.e.Incidents() {
		if x.State == outage.Merged && x.MergedInto != d.only().ID {
			t.Errorf("merged into %q", x.MergedInto)
		}
	}
}

// Too few have answered: it isn't closed.
func TestItIsNotClosedUnverified(t *testing.T) {
	d := newDesk(t, "")
	d.position("north-breaker", true)
	d.pass(time.Second)
	d.each(outage.LastGasp, "m1", 0)
	for _, g := range []string{"gw m1", "gw m2"} {
		d.tell(outage.Evidence{Kind: outage.MainsFail, Gateway: g})
	}
	d.pass(time.Minute)
	d.position("north-breaker", false)
	d.tell(outage.Evidence{Kind: outage.MainsBack, Gateway: "gw m1"})
	d.each(outage.PowerUp, "m1", 0)
	d.pass(20 * time.Minute)
	if len(d.open()) == 0 {
		t.Fatal("closed while half of it says nothing")
	}
	asked := false
	for _, a := range d.asks {
		asked = asked || a.Reason == outage.AskRestored
	}
	if !asked {
		t.Error("nothing was asked")
	}
	d.tell(outage.Evidence{Kind: outage.MainsBack, Gateway: "gw m2"})
	d.pass(20 * time.Minute)
	if open := d.open(); len(open) != 0 {
		t.Errorf("goes on: %s %s %v", open[0].State, open[0].Device, open[0].Out)
	}
}

func TestPlannedSwitchingIsNoAlarm(t *testing.T) {
	d := newDesk(t, "")
	d.e.Plan([]outage.Plan{{ID: "works", Devices: []string{"north-breaker"}, From: d.at - 1, Until: d.at + 3600e6}})
	d.position("north-breaker", true)
	d.pass(10 * time.Minute)
	if x := d.only(); x.Class != outage.Planned || x.Plan != "works" || x.Announced() {
		t.Errorf("%+v", x)
	}
	d.pass(49 * time.Minute)
	if x := d.only(); x.Announced() {
		t.Errorf("people are told before its time is over: %+v", x)
	}
	d.pass(2 * time.Minute)
	if x := d.only(); x.Class != outage.Planned || x.AnnouncedAt != d.at-60e6 {
		t.Errorf("people aren't told when its time is over, but at %d: %+v", x.AnnouncedAt-d.at, x)
	}
}

func TestWhatIsPlannedNoLonger(t *testing.T) {
	d := newDesk(t, "")
	plan := outage.Plan{ID: "works", Devices: []string{"cut"}, From: d.at - 1, Until: d.at + 3600e6}
	d.e.Plan([]outage.Plan{plan})
	d.each(outage.LastGasp, "m2")
	d.each(outage.Answer, "m1")
	d.position("fuse-2", true)
	d.pass(5 * time.Minute)
	if x := d.only(); x.Class != outage.Planned || x.Announced() {
		t.Fatalf("what is behind it isn't part of it: %+v", x)
	}
	plan.Until += 3600e6
	d.e.Plan([]outage.Plan{plan})
	d.pass(100 * time.Minute)
	if x := d.only(); x.Class != outage.Planned || x.Announced() {
		t.Fatalf("it was given longer: %+v", x)
	}
	d.e.Plan(nil)
	d.pass(time.Second)
	if x := d.only(); x.Plan != "" || x.Class != outage.Sustained || !x.Announced() {
		t.Errorf("it isn't planned any more: %+v", x)
	}
}

// What people say is one stays one, whatever is known of its parts later, and ends when all of it
// has supply.
func TestWhatPeopleMerge(t *testing.T) {
	d := newDesk(t, "")
	d.each(outage.LastGasp, "m1")
	d.position("fuse-1", true)
	d.pass(10 * time.Minute)
	first := d.only().ID
	d.each(outage.LastGasp, "m2")
	d.position("fuse-2", true)
	d.pass(5 * time.Minute)
	second := ""
	for _, x := range d.open() {
		if x.ID != first {
			second = x.ID
		}
	}
	if second == "" {
		t.Fatalf("%+v", d.open())
	}
	d.tell(outage.Evidence{Kind: outage.Merge, Incident: second, Into: first, By: "ann"})
	d.pass(time.Minute)
	if x := d.only(); x.ID != first || len(x.Out) != 12 || x.CustomersOut != 24 || len(x.Ever) != 12 {
		t.Fatalf("%s has %d out: %+v", x.ID, len(x.Out), x)
	}
	if x, _ := d.e.Incident(second); x.State != outage.Merged || x.MergedInto != first {
		t.Errorf("%+v", x)
	}
	d.e.Use(d.network)
	d.pass(10 * time.Minute)
	d.position("fuse-2", false)
	d.each(outage.Answer, "m2")
	d.pass(5 * time.Minute)
	if x := d.only(); x.ID != first || len(x.Out) != 6 || x.State != outage.Partial || len(x.Steps) != 1 {
		t.Fatalf("a part of it has supply again: %+v", x)
	}
	d.position("fuse-1", false)
	d.each(outage.Answer, "m1")
	d.pass(10 * time.Minute)
	if x, _ := d.e.Incident(first); x.State != outage.Closed {
		t.Errorf("all of it has supply again: %+v", x)
	}
}

func TestPeopleHaveTheLastWord(t *testing.T) {
	d := newDesk(t, "")
	d.tell(outage.Evidence{Kind: outage.Gateway, Gateway: "gw m1", Asset: "bus"})
	d.each(outage.LastGasp, "m1", 0, 1, 2)
	d.pass(time.Minute)
	d.tell(outage.Evidence{Kind: outage.Confirm, Incident: d.only().ID, By: "ann"})
	d.pass(time.Second)
	if x := d.only(); x.State != outage.Confirmed {
		t.Errorf("%s", x.State)
	}
	d.tell(outage.Evidence{Kind: outage.Deny, Incident: d.only().ID, By: "ann"})
	d.pass(time.Second)
	if open := d.open(); len(open) != 0 {
		t.Errorf("goes on: %+v", open)
	}
	d.tell(outage.Evidence{Kind: outage.PointOut, Point: "m2-3", By: "crew"})
	d.pass(10 * time.Second)
	if x := d.only(); x.Device != "m2-3" || len(x.Out) != 1 {
		t.Errorf("%+v", x)
	}
	d.tell(outage.Evidence{Kind: outage.PointSupplied, Point: "m2-3", By: "crew"})
	d.pass(10 * time.Minute)
	if open := d.open(); len(open) != 0 {
		t.Errorf("goes on: %+v", open)
	}
}

// Another version of the network takes incidents along.
func TestAnotherVersionOfTheNetwork(t *testing.T) {
	d := newDesk(t, "")
	d.each(outage.LastGasp, "m1")
	d.pass(time.Minute)
	id := d.only().ID
	other := newDesk(t, "  - {id: a-new-one, node: m1}\n")
	d.e.Use(other.network)
	d.pass(time.Second)
	if x := d.only(); x.ID != id || len(x.Out) != 7 {
		t.Errorf("%s has %d out, want %s with 7", x.ID, len(x.Out), id)
	}
	d.each(outage.PowerUp, "m1")
	d.pass(time.Hour)
	if open := d.open(); len(open) != 0 {
		t.Errorf("goes on: %+v", open)
	}
}

// What was told just before another version of the network came counts in that, and so
// does what people say right after.
func TestAnotherVersionOfTheNetworkInBetween(t *testing.T) {
	d := newDesk(t, "")
	began := d.at
	d.each(outage.LastGasp, "m1")
	d.tell(outage.Evidence{Kind: outage.MainsFail, Gateway: "gw m1"})
	other := newDesk(t, "  - {id: a-new-one, node: m1}\n")
	d.e.Use(other.network)
	d.at += 2e6
	d.pass(time.Minute)
	x := d.only()
	if x.Start != began || x.Counts[outage.LastGasp] != 6 {
		t.Errorf("it began %d µs late, by %v", x.Start-began, x.Counts)
	}
	d.e.Use(d.network)
	d.tell(outage.Evidence{Kind: outage.Deny, Incident: x.ID, By: "ann"})
	d.pass(time.Second)
	if open := d.open(); len(open) != 0 {
		t.Errorf("goes on: %+v", open)
	}
}

// A voltage at a node outlives the version of the network.
func TestAVoltageOutlivesTheVersionOfTheNetwork(t *testing.T) {
	d := newDesk(t, "")
	other := newDesk(t, "  - {id: a-new-one, node: m1}\n")
	d.tell(outage.Evidence{Kind: outage.Voltage, Asset: "m2", Levels: &outage.Levels{0, 0, 0}})
	d.each(outage.LastGasp, "m2", 0, 1)
	d.pass(10 * time.Second)
	want := d.only()
	d.e.Use(other.network)
	d.pass(10 * time.Second)
	if x := d.only(); x.ID != want.ID || x.State != want.State || x.Lossy != want.Lossy || x.Lossy == 0 {
		t.Errorf("%+v, was %+v", x, want)
	}
}

// A sign of supply counts as one for three polls, however shortly after another it came.
func TestASignOfSupplyGrowsOld(t *testing.T) {
	d := newDesk(t, "")
	d.each(outage.PowerUp, "m1", 0)
	d.pass(time.Minute)
	d.each(outage.Answer, "m1", 0)
	d.pass(time.Hour)
	d.each(outage.LastGasp, "m1", 1, 2, 3, 4, 5)
	d.pass(10 * time.Second)
	if x := d.only(); x.Device != "fuse-1" {
		t.Errorf("%+v", x)
	}
}

// Evidence that arrives at the same time says the same in any order, and the same
// evidence again does so to the last byte.
func TestTheOrderMakesNoDifference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var want []outage.Change
	for turn := range 20 {
		d := newDesk(t, "")
		var list []outage.Evidence
		for i := range 6 {
			list = append(list, outage.Evidence{Kind: outage.LastGasp, Point: fmt.Sprintf("m1-%d", i)})
			list = append(list, outage.Evidence{Kind: outage.Timeout, Point: fmt.Sprintf("m2-%d", i)})
			list = append(list, outage.Evidence{Kind: outage.Answer, Point: fmt.Sprintf("s1-%d", i)})
		}
		list = append(list, outage.Evidence{Kind: outage.MainsFail, Gateway: "gw m1"}, outage.Evidence{Kind: outage.GatewayGone, Gateway: "gw s1"})
		if turn > 1 {
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		for _, v := range list {
			d.tell(v)
		}
		d.pass(time.Minute)
		for i := range d.changes { // which pieces of many are named is by their order
			d.changes[i].Incident.Evidence = nil
		}
		if turn == 0 {
			want = d.changes
		} else if !reflect.DeepEqual(d.changes, want) {
			t.Fatalf("turn %d: %+v, want %+v", turn, d.changes, want)
		}
	}
	if len(want) == 0 {
		t.Error("nothing was said")
	}
}

func TestWrongEvidenceIsRefusedByName(t *testing.T) {
	d := newDesk(t, "")
	for _, c := range []struct {
		v    outage.Evidence
		want string
	}{
		{outage.Evidence{Kind: outage.LastGasp}, "last-gasp without point"},
		{outage.Evidence{Kind: outage.Voltage, Point: "m1-0"}, "voltage without levels"},
		{outage.Evidence{Kind: outage.Position, Switch: "tie"}, "position without open"},
		{outage.Evidence{Kind: "gone fishing"}, `kind "gone fishing" is none that is known`},
	} {
		if err := d.e.Take(c.v); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if err := d.e.Take(outage.Evidence{Kind: outage.LastGasp, Point: "nobody"}); err != nil || d.e.Strange() != 1 {
		t.Errorf("%v, %d strange", err, d.e.Strange())
	}
}

// While half of the meters show supply and half don't yet, lost phases would explain both:
// they come back by and by.
func TestWhatComesBackByAndByHasLostNoPhases(t *testing.T) {
	const more = 200
	var text strings.Builder
	for i := range more {
		fmt.Fprintf(&text, "  - {id: more-%d, node: m1}\n", i)
	}
	d := newDesk(t, text.String())
	volts := func(percent uint8, from, to int) {
		for i := from; i < to; i++ {
			d.tell(outage.Evidence{Kind: outage.Voltage, Point: fmt.Sprintf("more-%d", i), Gateway: "gw m1", Levels: &outage.Levels{percent, percent, percent}})
		}
		d.pass(2 * time.Second)
	}
	volts(100, 0, more)
	volts(0, 0, more)
	d.pass(2 * time.Minute)
	out := d.only()
	for from := 0; from < more; from += 10 {
		volts(100, from, from+10)
		for _, x := range d.open() {
			if x.ID != out.ID {
				t.Fatalf("with %d of %d back: %+v", from+10, more, x)
			}
		}
	}
}

// A breaker is told to be closed, and then nothing is heard of its station: last gasps behind
// both fuses are then enough to say that it has opened since, and not they. One that is told to be open when
// its station falls silent stays open.
func TestAPositionIsOldOnceItsGatewayIsSilent(t *testing.T) {
	closed, open := false, true
	for _, silent := range []bool{false, true} {
		d := newDesk(t, "")
		d.tell(outage.Evidence{Kind: outage.Gateway, Gateway: "station", Asset: "bus"})
		d.tell(outage.Evidence{Kind: outage.Position, Switch: "north-breaker", Gateway: "station", Open: &closed, By: "telemetry"})
		d.pass(time.Minute)
		if silent {
			d.tell(outage.Evidence{Kind: outage.GatewayGone, Gateway: "station"})
			d.pass(time.Minute)
			if list := d.open(); len(list) != 0 {
				t.Fatalf("its silence alone is an outage: %+v", list)
			}
		}
		d.each(outage.LastGasp, "m1", 0, 1, 2)
		d.each(outage.LastGasp, "m2", 0, 1, 2)
		d.tell(outage.Evidence{Kind: outage.MainsFail, Gateway: "gw m1"})
		d.tell(outage.Evidence{Kind: outage.MainsFail, Gateway: "gw m2"})
		d.pass(2 * time.Minute)
		device := ""
		if list := d.open(); len(list) == 1 {
			device = list[0].Device
		}
		if (device == "north-breaker") != silent {
			t.Errorf("silent %t: %+v", silent, d.open())
		}
	}
	d := newDesk(t, "")
	d.tell(outage.Evidence{Kind: outage.Position, Switch: "north-breaker", Gateway: "station", Open: &open, By: "telemetry"})
	d.pass(2 * time.Minute)
	id := d.only().ID
	d.tell(outage.Evidence{Kind: outage.GatewayGone, Gateway: "station"})
	d.pass(30 * time.Minute)
	if x := d.only(); x.ID != id || len(x.Out) != 12 {
		t.Errorf("%+v", x)
	}
}

// What meters have noted of their own supply says when they had it again, of the outage that
// it was, and begins none.
func TestWhatMetersHaveNoted(t *testing.T) {
	d := newDesk(t, "")
	noted := func(place string, since, until int64) {
		for i := range 6 {
			d.tell(outage.Evidence{Kind: outage.Interrupted, Point: fmt.Sprintf("%s-%d", place, i), Gateway: "gw " + place, Since: since, Source: until})
		}
	}
	noted("m1", d.at-7200e6, d.at-3600e6)
	d.pass(10 * time.Minute)
	if open := d.open(); len(open) != 0 {
		t.Fatalf("%+v", open)
	}
	began := d.at
	d.each(outage.Timeout, "m1")
	d.each(outage.Call, "m1", 0, 1, 2)
	d.pass(2 * time.Minute)
	id := d.only().ID
	d.pass(10 * time.Minute)
	back := d.at
	d.pass(45 * time.Second)
	noted("m1", began-86400e6, began-86000e6) // as in a log that is told for the first time
	noted("m1", began, back)
	d.pass(10 * time.Minute)
	if open := d.open(); len(open) != 0 {
		t.Fatalf("it goes on: %+v", open)
	}
	for _, x := range d.e.Incidents() {
		if x.ID != id {
			t.Errorf("another one: %+v", x)
			continue
		}
		if x.Counts[outage.Interrupted] != 6 || len(x.Steps) != 1 || x.Steps[0].At != back || x.RestoredAt != back || x.Steps[0].Customers != 12 {
			t.Errorf("%d were noted; %+v, at %d, want %d", x.Counts[outage.Interrupted], x.Steps, x.RestoredAt, back)
		}
	}
	for _, v := range []outage.Evidence{{Source: 2}, {Since: 2, Source: 1}, {Since: 1}} {
		v.Kind, v.Point = outage.Interrupted, "m1-0"
		if err := d.e.Take(v); err == nil {
			t.Errorf("%+v is taken", v)
		}
	}
}
