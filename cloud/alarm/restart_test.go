package alarm

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

func startedWith(at telemetry.Micros, active []string) telemetry.Event {
	return telemetry.Event{Kind: telemetry.GatewayStarted, Time: at, Decided: at, Lifecycle: &telemetry.Lifecycle{Start: 2, ActiveAlarms: active}}
}

// A gateway that was killed between sending and committing doesn't know what it has
// sent. Its start ends what it will never clear, and takes up what it will clear again.
func TestStartEndsForgottenAlarms(t *testing.T) {
	w := newWorld(t)
	r, _ := w.start()
	events := []telemetry.Event{
		raised("kept", 1000), raised("forgotten", 2000), raised("later", 9000), raised("cleared", 3000), cleared("cleared", 3500),
		raised("resumed", 4000), cleared("resumed", 5000), cleared("unknown", 5500),
		startedWith(6000, []string{"kept", "resumed", "unknown", "never-seen", "foreign"}),
	}
	w.send("other", raised("foreign", 1000))
	w.send("other", raised("of-another", 1000))
	w.send("other", cleared("foreign", 2000))
	for _, e := range events {
		w.send("gw", e)
	}
	await.True(w, "all events", func() bool { return r.Stats().Events == uint64(len(events)+3) })
	var active []string
	_, all := w.list(false)
	for _, a := range all {
		if a.Active {
			active = append(active, a.ID)
		}
	}
	slices.Sort(active)
	if want := []string{"kept", "of-another", "resumed"}; !slices.Equal(active, want) {
		t.Errorf("active %v, want %v", active, want)
	}
	history := func(id string) (actions []Action, last Entry) {
		t.Helper()
		_, entries, err := Get(t.Context(), w.store, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			actions = append(actions, e.Action)
		}
		return actions, entries[len(entries)-1]
	}
	if actions, last := history("forgotten"); !slices.Equal(actions, []Action{Raised, Cleared}) || last.At != 6000 || last.By != "cloud" || last.Comment != forgottenRaise {
		t.Errorf("%v, %+v", actions, last)
	}
	if _, last := history("later"); last.Action != Cleared || last.At != 9000 {
		t.Errorf("cleared before it was raised: %+v", last)
	}
	if actions, last := history("resumed"); !slices.Equal(actions, []Action{Raised, Cleared, Raised}) || last.At != 6000 || last.By != "cloud" || last.Comment != forgottenClear {
		t.Errorf("%v, %+v", actions, last)
	}
	if actions, _ := history("kept"); len(actions) != 1 {
		t.Errorf("%v", actions)
	}

	// What still holds is raised again, under its id if that is the same occurrence.
	again := raised("forgotten", 2000)
	again.Decided = 7000
	w.send("gw", again)
	w.send("gw", cleared("resumed", 7000))
	w.send("gw", startedWith(8000, nil)) // of an older program: nothing is known
	n := r.Stats().Events
	await.True(w, "three more", func() bool { return r.Stats().Events >= uint64(len(events)+6) && r.Stats().Events >= n })
	if a, _, err := Get(t.Context(), w.store, "forgotten"); err != nil || !a.Active || a.Cleared != nil || a.Raised != 2000 || a.Decided != 7000 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, _, err := Get(t.Context(), w.store, "resumed"); err != nil || a.Active || *a.Cleared != 7000 {
		t.Errorf("%+v, %v", a, err)
	}
	w.send("gw", startedWith(9500, []string{}))
	await.True(w, "the last start", func() bool { return r.Stats().Events == uint64(len(events)+7) })
	if _, open := w.list(true); slices.ContainsFunc(open, func(a Alarm) bool { return a.Active && a.Gateway == "gw" }) {
		t.Errorf("%+v", open)
	}
	if st := r.Stats(); len(st.Quarantined) != 0 {
		t.Errorf("%+v", st)
	}
}

// What a killed process sent and hadn't committed may come late, behind the start of
// the next one, which doesn't know of it.
func TestLateEventsOfAKilledProcess(t *testing.T) {
	w := newWorld(t)
	late := func(seq uint64, e telemetry.Event) {
		t.Helper()
		payload, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		rec := record.Record{Identity: record.Identity{Gateway: "gw", Epoch: 6, Stream: record.Events, First: seq, Last: seq}, Format: record.FormatEvent, Payload: payload}
		k := &kgo.Record{Topic: topics.Events(), Key: []byte("gw"), Value: payload}
		for _, h := range rec.Headers() {
			k.Headers = append(k.Headers, kgo.RecordHeader(h))
		}
		w.resend(identitytest.Sign(k))
	}
	late(0, raised("a1", 1000))
	start := startedWith(5000, []string{"a1", "a2"})
	start.Lifecycle.Committed = []telemetry.Committed{{Epoch: record.Epoch(6).String(), Stream: "events", Count: 2}}
	w.send("gw", start)
	late(2, cleared("a1", 2000)) // not committed
	late(3, raised("a3", 3000))  // nor this
	late(1, raised("a2", 1000))  // committed
	r, _ := w.start()
	await.True(w, "five events", func() bool { return r.Stats().Events == 5 })
	_, all := w.list(false)
	if len(all) != 2 || !all[0].Active || !all[1].Active {
		t.Errorf("%+v", all)
	}
	list, err := w.store.Gateways(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, c := range list[0].Sequences {
		if c.Epoch == 6 && (*c.Expected != 4 || c.Received != 4 || c.Lost != 0) {
			t.Errorf("%d expected, %+v", *c.Expected, c)
		}
	}
}

// An alarm that the cloud raised about a gateway isn't the gateway's to know.
func TestStartLeavesTheCloudsAlarms(t *testing.T) {
	w := newWorld(t)
	w.send("gw", raised("a1", 1000))
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		return tx.CountRefused(store.Refused{Gateway: "gw", Reason: store.BadSignature, Records: 1, Last: telemetry.MicrosOf(time.Now())})
	}); err != nil {
		t.Fatal(err)
	}
	r, _ := w.start()
	refused := func() (a Alarm) {
		_, open := w.list(true)
		for _, a = range open {
			if a.Rule == RefusedRule {
				return a
			}
		}
		return Alarm{}
	}
	await.True(w, "the cloud's alarm", func() bool { return refused().ID != "" })
	before := refused()
	w.send("gw", startedWith(6000, []string{before.ID}))
	w.send("gw", startedWith(6000, []string{}))
	await.True(w, "three events", func() bool { return r.Stats().Events == 3 })
	if after := refused(); after.Active != before.Active {
		t.Errorf("%+v, then %+v", before, after)
	}
}
