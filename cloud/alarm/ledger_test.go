package alarm

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

func TestLifecycleAndLossReachTheLedger(t *testing.T) {
	w := newWorld(t)
	r, _ := w.start()
	epoch := record.Epoch(3).String()
	w.send("gw", telemetry.Event{Kind: telemetry.GatewayStopped, Lifecycle: &telemetry.Lifecycle{Committed: []telemetry.Committed{{Epoch: epoch, Stream: "telemetry", Count: 100}}}})
	w.send("gw", telemetry.Event{Kind: telemetry.GatewayStarted, Lifecycle: &telemetry.Lifecycle{Committed: []telemetry.Committed{{Epoch: epoch, Stream: "telemetry", Count: 120}, {Epoch: epoch, Stream: "events", Count: 0}}}})
	w.send("gw", telemetry.Event{Kind: telemetry.SamplesLost, Loss: &telemetry.Loss{Epoch: record.Epoch(4).String(), Stream: "telemetry", SeqFirst: 10, SeqLast: 19, Reason: "full"}})
	await.True(w, "three events", func() bool { return r.Stats().Events == 3 })
	list, err := w.store.Gateways(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	got := map[string]string{}
	for _, c := range list[0].Sequences {
		expected := "unknown"
		if c.Expected != nil {
			expected = fmt.Sprint(*c.Expected)
		}
		got[fmt.Sprint(uint64(c.Epoch), " ", c.Stream)] = fmt.Sprint(expected, " ", c.Received, " ", c.Lost)
	}
	want := map[string]string{"3 telemetry": "120 0 120", "3 events": "0 0 0", "4 telemetry": "unknown 0 10", "7 events": "unknown 3 0"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Accounts and counted losses are there once, however often they come.
func TestAccountsAndLinksAreKept(t *testing.T) {
	w := newWorld(t)
	epoch := record.Epoch(3).String()
	account := w.send("gw", telemetry.Event{Kind: telemetry.SamplesCounted, Account: &telemetry.Account{Epoch: epoch, From: telemetry.Quarter, To: 2 * telemetry.Quarter,
		Devices: []telemetry.DeviceAccount{{Device: "meter", Scheduled: 900, Read: 890, Bad: map[string]uint64{"timeout": 10}, Delivered: 900}}}})
	lost := telemetry.Event{Kind: telemetry.SamplesLost, Loss: &telemetry.Loss{Epoch: epoch, Stream: "telemetry", SeqLast: 9, Reason: telemetry.LostThinned,
		Devices: []telemetry.DeviceLoss{{Device: "meter", Quarter: telemetry.Quarter, Count: 10}}}}
	for start, at := range []telemetry.Micros{1: 3000, 2: 100} {
		w.send("gw", telemetry.Event{Kind: telemetry.GatewayStarted, Time: at, Lifecycle: &telemetry.Lifecycle{Start: uint64(start)}})
	}
	w.send("gw", telemetry.Event{Kind: telemetry.GatewayStarted, Time: 4000, Lifecycle: &telemetry.Lifecycle{Start: 1}}) // with a new buffer
	w.send("gw", lost)
	w.send("gw", lost) // declared again
	discarded := lost
	discarded.Loss = &telemetry.Loss{Epoch: epoch, Stream: "telemetry", Reason: telemetry.LostDiscarded, Devices: []telemetry.DeviceLoss{{Device: "meter", Quarter: telemetry.Quarter, Count: 4}}}
	again := w.send("gw", discarded)
	w.send("gw", telemetry.Event{Kind: telemetry.LinkChanged, Time: 5, Link: &telemetry.Link{Stream: "backfill", State: "throttled", Was: "up", Cause: "quota"}})
	w.send("gw", telemetry.Event{Kind: telemetry.ClockChanged, Time: 6, Step: &telemetry.ClockStep{State: telemetry.ClockFreeRunning, Was: telemetry.ClockUnset}})
	w.resend(account)
	w.resend(again) // its record came again
	r, _ := w.start()
	await.True(w, "twelve events", func() bool { return r.Stats().Events == 12 })
	if st := r.Stats(); st.Duplicates != 2 || len(st.Quarantined) != 0 {
		t.Errorf("%+v", st)
	}
	var got store.Quarter
	var scope store.Scope
	if err := w.store.Quarters(t.Context(), "", 1, 2, func(s store.Scope) { scope = s }, func(q store.Quarter) { got = q }); err != nil {
		t.Fatal(err)
	}
	want := store.Quarter{Number: 1, Accounts: []store.Account{{First: 1, Quarters: 1, Counts: telemetry.DeviceAccount{
		Scheduled: 900, Read: 890, Bad: map[string]uint64{"timeout": 10}, Delivered: 900}}},
		Losses: []store.DeviceLoss{{Reason: telemetry.LostDiscarded, Samples: 4}, {Reason: telemetry.LostThinned, Samples: 10}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if len(scope.Began) != 1 || scope.Began["gw"] != 3000 {
		t.Errorf("began %v", scope.Began)
	}
	outages, err := w.store.Outages(t.Context(), "gw", 0, 10, store.Page[store.OutagePlace]{Limit: 10})
	if err != nil || len(outages) != 1 || outages[0].State != "throttled" || outages[0].From != 5 || outages[0].Cause != "quota" {
		t.Errorf("%+v, %v", outages, err)
	}
	if _, alarms := w.list(false); len(alarms) != 0 {
		t.Errorf("a link or clock that changed raises an alarm: %+v", alarms)
	}
}

// Damage asks for someone's attention once for each file, and has no end of its own.
func TestDamageRaisesAnAlarm(t *testing.T) {
	w := newWorld(t)
	damage := func(gateway, file string) {
		w.send(gateway, telemetry.Event{Kind: telemetry.BufferDamaged, Time: 1000, Decided: 1000, Damage: &telemetry.Damage{File: file, Cause: "checksum"}})
	}
	damage("gw", "telemetry/7.db")
	damage("gw", "telemetry/7.db")
	damage("gw", "telemetry/8.db")
	damage("other", "telemetry/7.db")
	r, _ := w.start()
	await.True(w, "four events", func() bool { return r.Stats().Events == 4 })
	_, open := w.list(true)
	if len(open) != 3 || len(r.Stats().Quarantined) != 0 {
		t.Fatalf("%+v", open)
	}
	for _, a := range open {
		if a.Rule != "buffer-damaged" || a.Active || a.Acknowledged || a.Asset != a.Gateway || a.Priority != telemetry.High || !strings.Contains(a.Summary, "telemetry/") || !alarmID.MatchString(a.ID) {
			t.Errorf("%+v", a)
		}
	}
	// Another gateway that took the alarm's name doesn't stop the consumer.
	theft := telemetry.Event{Kind: telemetry.AlarmRaised, Decided: 1, Alarm: &telemetry.AlarmChange{ID: damageID("gw", "telemetry/9.db")}}
	w.send("thief", theft)
	damage("gw", "telemetry/9.db")
	await.True(w, "the refusal", func() bool { return r.Stats().Quarantined[store.IdentityConflict] == 1 })
}

// A change of a counter that can't be one is set aside, and what is one raises no alarm.
func TestCounterChangesAreChecked(t *testing.T) {
	w := newWorld(t)
	good := telemetry.CounterChange{Device: "m", Name: "DmdWh", Unit: "W.h", Before: 5, BeforeTime: 1, After: 1, AfterTime: 2}
	send := func(kind telemetry.EventKind, change func(c *telemetry.CounterChange)) {
		c := good
		change(&c)
		w.send("gw", telemetry.Event{Kind: kind, Time: c.AfterTime, Counter: &c})
	}
	send(telemetry.CounterReset, func(*telemetry.CounterChange) {})
	send(telemetry.CounterRolledOver, func(c *telemetry.CounterChange) { c.Modulus, c.AfterTime = 65536, 3 })
	w.send("gw", telemetry.Event{Kind: telemetry.CounterReset})
	send(telemetry.CounterReset, func(c *telemetry.CounterChange) { c.Modulus = 1 })
	send(telemetry.CounterRolledOver, func(*telemetry.CounterChange) {})
	send(telemetry.CounterReset, func(c *telemetry.CounterChange) { c.Name = "" })
	send(telemetry.CounterReset, func(c *telemetry.CounterChange) { c.AfterTime = 0 })
	send(telemetry.CounterReset, func(c *telemetry.CounterChange) { c.Unit = strings.Repeat("x", 1001) })
	send(telemetry.CounterReset, func(c *telemetry.CounterChange) { c.Before, c.After = 1e308, -1e308 })
	r, _ := w.start()
	await.True(w, "nine events", func() bool { return r.Stats().Events == 9 })
	if st := r.Stats(); st.Quarantined[store.CorruptEvent] != 7 {
		t.Errorf("%+v", st)
	}
	list, err := w.store.CounterChanges(t.Context(), 0, 0, 10, store.Page[store.CounterPlace]{Limit: 10})
	if err != nil || len(list) != 2 || list[0].Kind != telemetry.CounterRolledOver || list[1].Before != 5 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, alarms := w.list(false); len(alarms) != 0 {
		t.Errorf("%+v", alarms)
	}
}

// A version that was left asks for someone's attention, and counts against its roll-out
// once a gateway; one that was confirmed counts for it.
func TestAVersionThatWasLeftRaisesAnAlarm(t *testing.T) {
	w := newWorld(t)
	tell := func(gateway string, kind telemetry.EventKind, at telemetry.Micros) {
		w.send(gateway, telemetry.Event{Kind: kind, Time: at, Decided: at, Update: &telemetry.Update{Version: "2.0", From: "1.0", Epoch: 5, Cause: "why"}})
	}
	tell("gw", telemetry.UpdateRolledBack, 3000)
	tell("gw", telemetry.UpdateRolledBack, 3000)
	tell("gw", telemetry.UpdateRolledBack, 4000)
	tell("gw2", telemetry.UpdateConfirmed, 4000)
	r, _ := w.start()
	await.True(w, "four events", func() bool { return r.Stats().Events == 4 })
	_, open := w.list(true)
	if len(open) != 2 {
		t.Fatalf("%+v, %+v", open, r.Stats())
	}
	if a := open[0]; a.Rule != UpdateRule || a.Active || !a.Firing() || a.Asset != "gw" || !strings.Contains(a.Summary, "tried version 2.0 and went back to 1.0: why") || !alarmID.MatchString(a.ID) {
		t.Errorf("%+v", a)
	}
	if got, err := w.store.Rollout(t.Context(), "2.0"); err != nil || got != (store.Rollout{Tried: 2, Confirmed: 1, RolledBack: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A configuration that was taken back asks for someone's attention; one that has held
// is only taken in.
func TestAConfigurationThatWasTakenBackRaisesAnAlarm(t *testing.T) {
	w := newWorld(t)
	tell := func(kind telemetry.EventKind, decided telemetry.Micros) {
		w.send("gw", telemetry.Event{Kind: kind, Time: 1000, Decided: decided, Configuration: &telemetry.Reconfiguration{
			Before: strings.Repeat("a", 64), After: strings.Repeat("b", 64), By: "Ana", Cause: "device m2 doesn't answer"}})
	}
	tell(telemetry.ConfigurationApplied, 2000)
	tell(telemetry.ConfigurationRolledBack, 3000)
	tell(telemetry.ConfigurationRolledBack, 3000)
	tell(telemetry.ConfigurationRolledBack, 4000)
	r, _ := w.start()
	await.True(w, "four events", func() bool { return r.Stats().Events == 4 })
	_, open := w.list(true)
	if len(open) != 2 || len(r.Stats().Quarantined) != 0 {
		t.Fatalf("%+v, %+v", open, r.Stats())
	}
	if a := open[0]; a.Rule != RolledBackRule || a.Active || a.Acknowledged || a.Asset != "gw" || a.Priority != telemetry.Medium ||
		!strings.Contains(a.Summary, "for Ana and went back: device m2 doesn't answer") || !alarmID.MatchString(a.ID) {
		t.Errorf("%+v", a)
	}
}

// Events that a control centre was never told ask for someone's attention, once for each
// time that it was told of them.
func TestWhatAMasterMissedRaisesAnAlarm(t *testing.T) {
	w := newWorld(t)
	for _, decided := range []telemetry.Micros{2000, 2000, 3000} {
		w.send("gw", telemetry.Event{Kind: telemetry.MasterMissed, Time: decided, Decided: decided, Missed: &telemetry.Missed{Master: "centre", Count: 7}})
	}
	w.send("gw", telemetry.Event{Kind: telemetry.MasterMissed, Time: 1, Decided: 1, Missed: &telemetry.Missed{Master: "centre"}})
	r, _ := w.start()
	await.True(w, "four events", func() bool { return r.Stats().Events == 4 })
	_, open := w.list(true)
	if len(open) != 2 || r.Stats().Quarantined[store.CorruptEvent] != 1 {
		t.Fatalf("%+v, %+v", open, r.Stats())
	}
	if a := open[0]; a.Rule != MissedRule || a.Active || a.Summary != "gw hasn't told centre 7 events, as too many waited" || !alarmID.MatchString(a.ID) {
		t.Errorf("%+v", a)
	}
}
