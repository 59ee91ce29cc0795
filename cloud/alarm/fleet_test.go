package alarm

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kgo"
)

// watch is a fleet on a database, in a time of its own. Heartbeats come every minute.
type watch struct {
	*world
	fleet *fleet
	seq   uint64
}

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func newWatch(t testing.TB) *watch {
	w := &watch{world: newWorld(t)}
	w.restart()
	return w
}

// restart is what a new session of the consumer does.
func (w *watch) restart() { w.fleet = &fleet{store: w.store, log: slog.Default()} }

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// hear takes an event of a gateway.
func (w *watch) hear(seconds int, gateway string, e telemetry.Event) {
	w.Helper()
	w.take(seconds, gateway, e, 0)
}

// take takes an event that was read on, or again from a row of the quarantine.
func (w *watch) take(seconds int, gateway string, e telemetry.Event, aside int64) {
	w.Helper()
	id := record.Identity{Gateway: gateway, Epoch: 7, Stream: record.Events, First: w.seq, Last: w.seq}
	w.seq++
	rec := record.Record{Identity: id, Format: record.FormatEvent}
	identitytest.Enrol(w, w.store, gateway)
	if err := w.store.Write(w.Context(), func(tx *store.Tx) error {
		l := w.store.NewLedger()
		verdict, err := l.Judge(w.Context(), id, 1, false)
		if err != nil {
			return err
		}
		l.Note(id, 1, false, verdict, telemetry.MicrosOf(at(seconds)), telemetry.MicrosOf(at(seconds)), aside == 0)
		if err := tx.SaveLedger(l); err != nil {
			return err
		}
		return apply(tx, event{e, rec, arrival{Record: &kgo.Record{Timestamp: at(seconds)}, aside: aside}})
	}); err != nil {
		w.Fatal(err)
	}
}

func (w *watch) alive(seconds int, gateway, feeder, uplink string) {
	w.Helper()
	w.hear(seconds, gateway, telemetry.Event{Kind: telemetry.GatewayAlive, Presence: &telemetry.Presence{Every: 60_000_000, Site: "north", Feeder: feeder, Uplink: uplink}})
}

// judge follows the log from one second to another, as a session does.
func (w *watch) judge(from, to int) {
	w.Helper()
	for s := from; s <= to; s++ {
		if err := w.fleet.judge(w.Context(), at(s), at(s)); err != nil {
			w.Fatal(err)
		}
	}
}

// want compares the alarms, each with whether it is active and how often it was raised.
func (w *watch) want(alarms ...string) {
	w.Helper()
	_, list := w.list(false)
	var got []string
	for _, a := range list {
		_, history, err := Get(w.Context(), w.store, a.ID)
		if err != nil {
			w.Fatal(err)
		}
		raised := 0
		for _, e := range history {
			if e.By != "cloud" || e.Comment != "" {
				w.Errorf("%s of %s by %s: %s", e.Action, a.Rule, e.By, e.Comment)
			}
			if e.Action == Raised {
				raised++
			}
		}
		state := "cleared"
		if a.Active {
			state = "active"
		}
		got = append(got, fmt.Sprintf("%s %s %s %d", a.Gateway, strings.TrimPrefix(a.Rule, "gateway-"), state, raised))
	}
	slices.Sort(got)
	slices.Sort(alarms)
	if !slices.Equal(got, alarms) {
		w.Errorf("alarms %q, want %q", got, alarms)
	}
}

// The rows of the decision table, from what gateways send to the alarm.
func TestSilentGateways(t *testing.T) {
	three := func(w *watch) {
		for n, gateway := range []string{"a", "b", "c"} {
			w.alive(0, gateway, "f1", fmt.Sprint("carrier-", n))
		}
	}
	keep := func(w *watch, to int, gateways ...string) {
		for s := 60; s <= to; s += 60 {
			w.judge(s-59, s)
			for _, g := range gateways {
				w.alive(s, g, "f1", "carrier-"+fmt.Sprint(int(g[0]-'a')))
			}
		}
	}
	for name, c := range map[string]struct {
		do   func(w *watch)
		want []string
	}{
		"all are heard":        {func(w *watch) { three(w); keep(w, 600, "a", "b", "c") }, nil},
		"one alone is silent":  {func(w *watch) { three(w); keep(w, 600, "b", "c") }, []string{"a comms-suspect active 1"}},
		"for three heartbeats": {func(w *watch) { three(w); keep(w, 180, "b", "c") }, nil},
		"all are silent":       {func(w *watch) { three(w); w.judge(0, 600) }, []string{"a supply-suspect active 1", "b supply-suspect active 1", "c supply-suspect active 1"}},
		"it is heard again": {func(w *watch) {
			three(w)
			keep(w, 360, "b", "c")
			w.alive(361, "a", "f1", "carrier-0")
			w.judge(361, 362)
		}, []string{"a comms-suspect cleared 1"}},
		"a last gasp": {func(w *watch) {
			three(w)
			w.hear(1, "a", telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}})
			keep(w, 600, "b", "c")
		}, []string{"a supply-lost active 1"}},
		"the supply is back": {func(w *watch) {
			three(w)
			w.hear(1, "a", telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}})
			w.judge(1, 2)
			w.hear(3, "a", telemetry.Event{Kind: telemetry.SupplyRestored, Time: 1, Decided: 1, Restored: &telemetry.Restoration{Since: 1, Boot: "b"}})
			w.judge(3, 4)
		}, []string{"a supply-lost cleared 1"}},
		"it has started again": {func(w *watch) {
			three(w)
			w.hear(1, "a", telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}})
			w.judge(1, 2)
			w.hear(3, "a", telemetry.Event{Kind: telemetry.GatewayStarted, Decided: 1, Lifecycle: &telemetry.Lifecycle{ActiveAlarms: []string{}, Presence: &telemetry.Presence{Every: 60_000_000, Feeder: "f1", Uplink: "carrier-0"}}})
			w.judge(3, 4)
		}, []string{"a supply-lost cleared 1"}},
		"stopped by somebody": {func(w *watch) {
			three(w)
			w.hear(1, "a", telemetry.Event{Kind: telemetry.GatewayStopped, Decided: 1, Lifecycle: &telemetry.Lifecycle{}})
			keep(w, 600, "b", "c")
		}, nil},
		"without a feeder": {func(w *watch) {
			w.alive(0, "a", "", "")
			w.alive(0, "b", "", "")
			for s := 60; s <= 600; s += 60 {
				w.judge(s-59, s)
				w.alive(s, "b", "", "")
			}
		}, []string{"a comms-suspect active 1"}},
		"on another feeder": {func(w *watch) {
			w.alive(0, "a", "f1", "")
			w.alive(0, "b", "f2", "")
			for s := 60; s <= 600; s += 60 {
				w.judge(s-59, s)
				w.alive(s, "b", "f2", "")
			}
		}, []string{"a silent active 1"}},
		"an old program": {func(w *watch) {
			w.hear(0, "a", telemetry.Event{Kind: telemetry.GatewayStarted, Decided: 1, Lifecycle: &telemetry.Lifecycle{}})
			w.judge(0, 600)
		}, nil},
		"an older program follows": {func(w *watch) {
			three(w)
			keep(w, 360, "b", "c")
			w.hear(361, "a", telemetry.Event{Kind: telemetry.GatewayStarted, Decided: 1, Lifecycle: &telemetry.Lifecycle{}})
			for s := 361; s < 900; s += 60 {
				w.judge(s, s+59)
				w.alive(s, "b", "f1", "carrier-1")
				w.alive(s, "c", "f1", "carrier-2")
			}
		}, []string{"a comms-suspect cleared 1"}},
		"telemetry alone": {func(w *watch) {
			three(w)
			keep(w, 60, "b", "c")
			for s := 61; s < 600; s += 60 {
				w.hear(s, "a", telemetry.Event{Kind: telemetry.ClockChanged})
				w.judge(s, s+59)
				w.alive(s, "b", "f1", "carrier-1")
				w.alive(s, "c", "f1", "carrier-2")
			}
		}, nil},
		"a start of the silent": {func(w *watch) {
			three(w)
			keep(w, 360, "b", "c")
			w.hear(361, "a", telemetry.Event{Kind: telemetry.GatewayStarted, Decided: 1, Lifecycle: &telemetry.Lifecycle{ActiveAlarms: []string{}, Presence: &telemetry.Presence{Every: 60_000_000, Feeder: "f1", Uplink: "carrier-0"}}})
			w.judge(361, 362)
		}, []string{"a comms-suspect cleared 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatch(t)
			c.do(w)
			w.want(c.want...)
		})
	}
}

// A feeder of which the last records lie a minute apart, and were under way for longer
// or shorter, has lost its supply and nothing else.
func TestFeederFallsSilentOneAfterTheOther(t *testing.T) {
	for _, apart := range []int{1, 58, 60, 61, 63} { // s
		t.Run(fmt.Sprint(apart), func(t *testing.T) {
			w := newWatch(t)
			for n, g := range []string{"a", "b", "c"} {
				w.alive(0, g, "f1", fmt.Sprint("carrier-", n))
			}
			w.judge(0, apart)
			w.alive(apart, "b", "f1", "carrier-1")
			w.alive(apart, "c", "f1", "carrier-2")
			w.judge(apart+1, 600)
			w.want("a supply-suspect active 1", "b supply-suspect active 1", "c supply-suspect active 1")
		})
	}
}

func fail(w *watch, err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// A gateway that is enrolled after its start, which is then taken again, is watched
// like any other; what comes again changes nothing else.
func TestStartTakenAgain(t *testing.T) {
	started := telemetry.Event{Kind: telemetry.GatewayStarted, Decided: 1, Lifecycle: &telemetry.Lifecycle{Presence: &telemetry.Presence{Every: 60_000_000, Feeder: "f1", Uplink: "x"}}}
	w := newWatch(t)
	w.hear(0, "a", telemetry.Event{Kind: telemetry.ClockChanged})
	w.take(1, "a", started, 5)
	w.judge(1, 300)
	w.want("a silent active 1")
	w.alive(301, "a", "f2", "x")
	w.take(302, "a", started, 6)
	w.take(302, "a", telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}}, 7)
	w.take(302, "a", telemetry.Event{Kind: telemetry.GatewayStopped, Decided: 1, Lifecycle: &telemetry.Lifecycle{}}, 8)
	w.judge(302, 303)
	w.want("a silent cleared 1")
	list, err := w.store.Presences(t.Context())
	if err != nil || len(list) != 1 || list[0].Feeder != "f2" || list[0].Stopped || list[0].LastGasp != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// A verdict outlives the cloud, and isn't given twice; what waits to be one goes on.
func TestVerdictsSurviveARestart(t *testing.T) {
	w := newWatch(t)
	for n, g := range []string{"a", "b", "c"} {
		w.alive(0, g, "f1", fmt.Sprint("carrier-", n))
	}
	w.judge(0, 300)
	all := []string{"a supply-suspect active 1", "b supply-suspect active 1", "c supply-suspect active 1"}
	w.want(all...)
	for s := range 5 {
		w.restart()
		w.judge(400+s*400, 700+s*400)
		w.want(all...)
	}
	for _, g := range []string{"a", "b", "c"} {
		w.alive(3000, g, "f1", "carrier-"+fmt.Sprint(int(g[0]-'a')))
	}
	w.restart()
	w.judge(3001, 3001)
	w.want(all...) // it isn't known whether they still are
	for _, g := range []string{"a", "b", "c"} {
		w.alive(3002, g, "f1", "carrier-"+fmt.Sprint(int(g[0]-'a')))
	}
	w.judge(3002, 3003)
	w.want("a supply-suspect cleared 1", "b supply-suspect cleared 1", "c supply-suspect cleared 1")
}

// An alarm of a gateway whose id merely looks like the cloud's is the gateway's.
func TestAnIDThatIsNotTheFleets(t *testing.T) {
	for _, id := range []string{"Fleet-1", "fleet", "fleetX1"} {
		e := telemetry.Event{Kind: telemetry.AlarmRaised, Time: 1, Decided: 1, Alarm: &telemetry.AlarmChange{ID: id, Rule: "hot", Asset: "T1", Priority: telemetry.High}}
		if err := check(e); err != nil {
			t.Error(err)
		}
		w := newWatch(t)
		w.hear(1, "a", e)
		w.judge(2, 3)
		if _, list := w.list(true); len(list) != 1 || !list[0].Active || !list[0].OfItsGateway() {
			t.Errorf("the cloud ends %s: %+v", id, list)
		}
		w.hear(4, "a", startedWith(4, []string{}))
		if _, list := w.list(true); len(list) != 1 || list[0].Active {
			t.Errorf("the start doesn't end %s: %+v", id, list)
		}
	}
}

// A state that is lost, or of another version, leaves no alarm behind that nothing ends.
func TestVerdictsWithoutTheirState(t *testing.T) {
	w := newWatch(t)
	w.alive(0, "a", "f1", "")
	w.hear(1, "a", telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}})
	w.judge(1, 2)
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveFleetState([]byte(`{"version": 99}`), w.fleet.version) }); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.judge(10, 11)
	w.want("a supply-lost active 2") // it ended, and is the same occurrence
}

// Of two processes that judge, one is told that the other has.
func TestTwoProcessesJudgeOnce(t *testing.T) {
	w := newWatch(t)
	w.alive(0, "a", "f1", "")
	w.judge(0, 1)
	other := &fleet{store: w.store, log: slog.Default()}
	fail(w, other.judge(t.Context(), at(1), at(1)))
	w.hear(1, "a", telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}})
	w.judge(2, 2)
	if err := other.judge(t.Context(), at(3), at(3)); !errors.Is(err, store.ErrFenced) {
		t.Errorf("%v", err)
	}
	w.want("a supply-lost active 1")
}

// A gateway whose last key was revoked isn't in service: its alarm ends, and it says
// nothing of its neighbours.
func TestGatewayWithoutAKey(t *testing.T) {
	w := newWatch(t)
	for n, g := range []string{"a", "b", "c"} {
		w.alive(0, g, "f1", fmt.Sprint("carrier-", n))
	}
	w.judge(0, 100)
	revoke := func(gateway string) {
		id := record.KeyIDOf(identitytest.Public(identitytest.Key(gateway)))
		fail(w, w.store.RevokeKey(t.Context(), gateway, id, "test", "taken down", 1))
	}
	revoke("b")
	revoke("c")
	w.fleet.took = 0 // so that the change isn't waited for
	w.judge(101, 400)
	w.want("a silent active 1")
	revoke("a")
	w.fleet.took = 0
	w.judge(401, 402)
	w.want("a silent cleared 1")
}

// Two gateways were taken away for good, and have keys all the same; another loses its link.
func TestGatewaysThatAreAwayForGood(t *testing.T) {
	w := newWatch(t)
	names := []string{"a", "b", "c", "d"}
	from := 0
	keep := func(to int, of ...string) {
		for ; from < to; from += 60 {
			for _, g := range of {
				w.alive(from, g, "f1", fmt.Sprint("carrier-", slices.Index(names, g)))
			}
			for s := from; s < from+60; s += 10 {
				w.judge(s, s)
			}
		}
	}
	keep(60, names...)
	keep(5*3600, "c", "d")
	w.want("a comms-suspect active 1", "b comms-suspect active 1")
	keep(6*3600, "c")
	w.want("a comms-suspect active 1", "b comms-suspect active 1", "d comms-suspect active 1")
}

// What many gateways that fall silent together change is written a part at a time, and
// by one process alone.
func TestManyChanges(t *testing.T) {
	w := newWatch(t)
	w.alive(0, "a", "f1", "")
	w.judge(0, 1)
	parts := map[*store.Tx]int{}
	work := make([]func(*store.Tx) error, 2*mostChanges+1)
	for i := range work {
		work[i] = func(tx *store.Tx) error { parts[tx]++; return nil }
	}
	fail(w, w.fleet.commit(t.Context(), work))
	if got := slices.Sorted(maps.Values(parts)); !slices.Equal(got, []int{1, mostChanges, mostChanges}) {
		t.Errorf("parts of %v", got)
	}
	other := &fleet{store: w.store, log: slog.Default()}
	fail(w, other.judge(t.Context(), at(1), at(1)))
	w.hear(1, "a", telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}})
	w.judge(2, 2)
	clear(parts)
	if err := other.commit(t.Context(), work); !errors.Is(err, store.ErrFenced) || len(parts) > 0 {
		t.Errorf("%v, after %d parts", err, len(parts))
	}
}

// Who is heard again as another falls silent doesn't speak for its supply.
func TestHeardAsAnotherFallsSilent(t *testing.T) {
	w := newWatch(t)
	for n, g := range []string{"a", "y", "z"} {
		w.alive(0, g, "f1", fmt.Sprint("carrier-", n))
	}
	for s := 60; s <= 240; s += 60 {
		w.judge(s-59, s)
		w.alive(s, "a", "f1", "carrier-0")
	}
	w.judge(241, 420)
	w.want("y comms-suspect active 1", "z comms-suspect active 1")
	w.alive(421, "z", "f1", "carrier-2")
	w.judge(421, 421)
	w.want("y comms-suspect active 1", "z comms-suspect cleared 1")
}

func TestMoreThanAFeederHas(t *testing.T) {
	for n, supply := range map[int]string{mostOnSupply: "feeder f1", mostOnSupply + 1: ""} {
		gateways := make([]store.Presence, n)
		for i := range gateways {
			gateways[i] = store.Presence{Gateway: fmt.Sprint("g", i), Number: int64(i), Presence: telemetry.Presence{Feeder: "f1"}}
		}
		for _, d := range fleetModel(gateways).Devices {
			if d.Supply != supply {
				t.Fatalf("%s of %d is on the supply %q, want %q", d.ID, n, d.Supply, supply)
			}
		}
	}
}

// An alarm of a feeder with many gateways shows some of what it was decided by, its own
// gateway's values first.
func TestInputsOfAGatewaysAlarm(t *testing.T) {
	w := newWatch(t)
	for n := range mostFleetInputs {
		w.alive(0, fmt.Sprintf("g%02d", n), "f1", fmt.Sprint("carrier-", n))
	}
	w.judge(0, 181)
	_, list := w.list(true)
	if len(list) != mostFleetInputs {
		t.Fatalf("%d alarms", len(list))
	}
	for _, a := range list {
		if len(a.Inputs) != mostFleetInputs || a.Inputs[0].Device != a.Device {
			t.Errorf("%s: %d inputs, the first of %s", a.Device, len(a.Inputs), a.Inputs[0].Device)
		}
	}
}

// A gateway that moves to another feeder is judged there.
func TestGatewayMoves(t *testing.T) {
	w := newWatch(t)
	w.alive(0, "a", "f1", "x")
	w.judge(0, 300)
	w.want("a silent active 1")
	w.alive(300, "b", "f2", "x")
	w.alive(301, "a", "f2", "x")
	w.fleet.took = 0 // the next compilation waits for real time, of which none passes here
	w.judge(301, 302)
	w.want("a silent cleared 1")
	for s := 360; s <= 600; s += 60 {
		w.judge(s-57, s)
		w.alive(s, "b", "f2", "x")
	}
	w.want("a silent cleared 1", "a comms-suspect active 1")
}
