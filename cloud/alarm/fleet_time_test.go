package alarm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// A cloud, or a log, that was away makes no gateway silent: each is waited for anew.
func TestWhoWasAwayItselfJudgesNobody(t *testing.T) {
	for name, away := range map[string]func(w *watch){
		"the cloud": func(w *watch) { w.restart() },
		"the log":   func(w *watch) { w.judge(61, 61); fail(w, w.fleet.judge(w.Context(), at(61), at(3600))) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t)
			for n, g := range []string{"a", "b", "c"} {
				w.alive(0, g, "f1", fmt.Sprint("carrier-", n))
			}
			w.judge(0, 60)
			away(w)
			w.judge(3600, 3779)
			w.want()
			w.alive(3780, "b", "f1", "carrier-1")
			w.alive(3780, "c", "f1", "carrier-2")
			w.judge(3780, 3890)
			w.want("a comms-suspect active 1")
		})
	}
}

// Telemetry that is stored once in a minute doesn't keep gateways from being missed.
func TestSilenceWithSeldomFlushes(t *testing.T) {
	for _, flush := range []int{1, 20, 60} { // s
		w := newWatch(t)
		w.fleet.flush = time.Duration(flush) * time.Second
		w.alive(0, "a", "f1", "x")
		for s := range 600 {
			fail(w, w.fleet.judge(t.Context(), at(s/flush*flush), at(s)))
		}
		w.want("a silent active 1")
	}
}

// While the log is read again, or isn't read to its end, nothing is concluded from what
// may be over; a last gasp is an alarm of its own time.
func TestNothingIsConcludedBeforeTheEndOfTheLog(t *testing.T) {
	w := newWatch(t)
	gasp := telemetry.MicrosOf(at(30))
	w.alive(0, "a", "f1", "x")
	w.judge(0, 60)
	w.hear(61, "a", telemetry.Event{Kind: telemetry.SupplyFailed, Time: gasp, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}})
	fail(w, w.fleet.judge(w.Context(), at(60), at(100)))
	w.want()
	w.restart()
	fail(w, w.fleet.judge(w.Context(), time.Time{}, at(101)))
	w.want()
	w.judge(102, 102)
	w.want("a supply-lost active 1")
	if _, list := w.list(false); list[0].Raised != gasp {
		t.Errorf("raised at %s", list[0].Raised.Time())
	}
}

// A last gasp that is older than what the rules know of the gateway isn't passed over.
func TestLastGaspByAClockThatLags(t *testing.T) {
	w := newWatch(t)
	w.alive(0, "a", "f1", "x")
	w.judge(0, 60)
	w.hear(61, "a", telemetry.Event{Kind: telemetry.SupplyFailed, Time: 1, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}})
	w.judge(61, 61)
	w.want("a supply-lost active 1")
}

func TestClockSetBackEndsTheSession(t *testing.T) {
	w := newWatch(t)
	w.judge(10, 10)
	if err := w.fleet.judge(t.Context(), at(9), at(9)); !errors.Is(err, errSetBack) {
		t.Errorf("%v", err)
	}
}

// A clock that was a day ahead, and is set back, hides neither who falls silent nor who
// is heard again.
func TestClockThatWasAhead(t *testing.T) {
	const ahead = 86400
	t.Run("heard", func(t *testing.T) {
		w := newWatch(t)
		w.alive(ahead, "a", "f1", "x")
		w.judge(ahead, ahead+2)
		w.restart()
		w.judge(100, 279)
		w.want()
		w.judge(280, 400)
		w.want("a silent active 1")
	})
	t.Run("silent", func(t *testing.T) {
		w := newWatch(t)
		w.alive(ahead, "a", "f1", "x")
		w.judge(ahead, ahead+300)
		w.want("a silent active 1")
		w.restart()
		w.judge(100, 100)
		for s := 100; s < 700; s += 60 {
			w.alive(s, "a", "f1", "x")
			w.judge(s, s+59)
		}
		w.want("a silent cleared 1")
		list, err := w.store.Presences(t.Context())
		if err != nil || list[0].Silent != 0 || list[0].Heard != telemetry.MicrosOf(at(640)) {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// From the log to the alarm, and beside other events.
func TestSilenceByTheLog(t *testing.T) {
	w := newWorld(t)
	alive := func(gateway, uplink string) {
		w.send(gateway, telemetry.Event{Kind: telemetry.GatewayAlive, Decided: 1, Presence: &telemetry.Presence{Every: 1_000_000, Feeder: "f1", Uplink: uplink}})
	}
	_, stop := w.start()
	for n, g := range []string{"a", "b", "c"} {
		alive(g, fmt.Sprint("carrier-", n))
	}
	await.True(w, "three alarms", func() bool { _, list := w.list(true); return len(list) == 3 })
	_, list := w.list(true)
	if a := list[0]; a.Rule != "gateway-supply-suspect" || a.Asset != "f1" || a.Device != a.Gateway || a.Priority != telemetry.High || !strings.HasPrefix(a.ID, FleetID) || len(a.Inputs) == 0 {
		t.Errorf("%+v", a)
	}
	stop()
	w.start()
	alive("a", "carrier-0")
	await.True(w, "the alarms to clear", func() bool {
		_, list := w.list(true)
		return !slices.ContainsFunc(list, func(a Alarm) bool { return a.Active && a.Rule == "gateway-supply-suspect" })
	})
	if _, list := w.list(false); len(list) != 3 {
		t.Errorf("%+v", list)
	}
}
