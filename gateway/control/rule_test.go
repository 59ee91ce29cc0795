package control

import (
	"context"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// A rule operates only what the configuration lets rules operate.
func TestRulesNeedPermission(t *testing.T) {
	f, a := newField(t, func(o *Options) { o.Points[2].ByRules = true })
	by := func(r Request) Request {
		r.Origin = telemetry.ControlRule
		return r
	}
	f.expect(t, "a point that rules may not operate", a.Operate(t.Context(), by(ask("SetW", telemetry.IntValue(5), "rule low, alarm 1", ""))), refused, Unlisted)
	f.expect(t, "one that they may", a.Operate(t.Context(), by(ask("Tap", telemetry.IntValue(1), "rule low, alarm 1", ""))), done, "")
	f.expect(t, "a person", a.Operate(t.Context(), ask("SetW", telemetry.IntValue(5), "Ana", "")), done, "")
}

// Who can wait waits for what goes on, for the interval, and for a change of the
// configuration; and for nothing that waiting doesn't change.
func TestAwait(t *testing.T) {
	now := time.Now()
	f, a := newField(t, func(o *Options) { o.Now = func() time.Time { return now } })
	free := func(what, signal string, want bool) {
		t.Helper()
		if a.free("bay-1", signal) != want {
			t.Errorf("%s: %v", what, !want)
		}
	}
	free("at first", "SetW", true)
	f.hold = make(chan struct{})
	ended := make(chan struct{})
	go func() {
		a.Operate(context.Background(), ask("SetW", telemetry.IntValue(5), "Ana", ""))
		close(ended)
	}()
	<-f.began
	free("while something is operated", "Tap", false)
	close(f.hold)
	a.Await(t.Context(), "bay-1", "Tap")
	<-ended
	free("afterwards", "Tap", true)
	free("within its interval", "SetW", false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a.Await(ctx, "bay-1", "SetW") // returns all the same
	now = now.Add(time.Second)
	free("after its interval", "SetW", true)
	a.Suspend()
	free("while the configuration changes", "SetW", false)
	free("what isn't there", "None", true)
	a.Resume()
	a.Close(t.Context())
	free("at the end", "SetW", true)
}

// What is refused while the gateway stops isn't written down, and who asked is told why.
func TestARefusalWhileTheGatewayStops(t *testing.T) {
	f, a := newField(t, nil)
	a.Close(t.Context())
	if got := a.Refuse(telemetry.ControlOperate, ask("Tap", telemetry.IntValue(1), "rule low, alarm 1", ""), Late, ""); got.Outcome != telemetry.ControlRefused || got.Cause != Stopping {
		t.Errorf("%+v", got)
	}
	if told := f.told(); len(told) != 0 {
		t.Errorf("%v", told)
	}
}

// It waits for room in the minute too: for one step, or for both of a point that has to
// be selected.
func TestAwaitWaitsForRoom(t *testing.T) {
	now := time.Now()
	f, a := newField(t, func(o *Options) { o.Now = func() time.Time { return now } })
	free := func(what string, pos, tap bool) {
		t.Helper()
		if a.free("bay-1", "Pos") != pos || a.free("bay-1", "Tap") != tap {
			t.Errorf("%s: Pos %v, Tap %v", what, !pos, !tap)
		}
	}
	use := func(times int) {
		for range times {
			f.expect(t, "it", a.Operate(t.Context(), ask("Tap", telemetry.IntValue(1), "Ana", "")), done, "")
		}
	}
	use(mostOperations - 2)
	free("room for two", true, true)
	use(1)
	free("room for one", false, true)
	use(1)
	free("no room", false, false)
	f.expect(t, "one more", a.Operate(t.Context(), ask("Tap", telemetry.IntValue(1), "Ana", "")), refused, TooMany)
	now = now.Add(time.Minute)
	free("the next minute", true, true)
}
