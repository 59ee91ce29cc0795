package alarm

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

func payloadOf(t *testing.T, e telemetry.Event) []byte {
	t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// An event that isn't signed by its gateway moves no alarm, and raises one.
func TestForgedEventsRaiseOneAlarm(t *testing.T) {
	w := newWorld(t)
	r, _ := w.start()
	w.send("gw", raised("a1", 1000))
	identitytest.Enrol(t, w.store, "other")
	const forged = 20
	for i := range uint64(forged) {
		w.sendAs(identitytest.SignWith(identitytest.Key("other"), logRecord("gw", 100+i, payloadOf(t, cleared("a1", 2000)))))
	}
	await.True(w, "the forged events", func() bool { return r.Stats().Quarantined[store.ForeignKey] == forged })
	var list []Alarm
	await.True(w, "the alarm", func() bool { _, list = w.list(true); return len(list) == 2 })
	if counts, err := w.store.Refused(t.Context()); err != nil || len(counts) != 1 || counts[0].Records != forged {
		t.Errorf("counted: %+v, %v", counts, err)
	}
	for _, a := range list {
		if a.ID == "a1" {
			if !a.Active {
				t.Error("a forged event cleared an alarm")
			}
			continue
		}
		if a.Rule != RefusedRule || a.Gateway != "other" || a.Asset != "other" || a.Priority != telemetry.High || !a.Active || a.Acknowledged ||
			!strings.Contains(a.Summary, string(store.ForeignKey)) || !strings.Contains(a.Summary, `"gw"`) {
			t.Errorf("%+v", a)
		}
		if _, history, err := Get(t.Context(), w.store, a.ID); err != nil || len(history) != 1 || history[0].By != "cloud" {
			t.Errorf("history %+v, %v", history, err)
		}
	}
}

func (w *world) refuse(gateway string, n int64, at time.Time) {
	w.Helper()
	if err := w.store.Write(w.Context(), func(t *store.Tx) error {
		return t.CountRefused(store.Refused{Gateway: gateway, Reason: store.Unsigned, Records: n, Last: telemetry.MicrosOf(at), Detail: "there is no signature"})
	}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) tell(now time.Time) {
	w.Helper()
	if err := tellRefused(w.Context(), w.store, now); err != nil {
		w.Fatal(err)
	}
}

// However many records are refused, few facts tell of them; the alarm clears when
// there were none for a while, and the next one is another alarm.
func TestRefusedRecordsAreToldWithoutAFlood(t *testing.T) {
	w := newWorld(t)
	now := time.Unix(1_700_000_000, 0)
	for range 1000 {
		now = now.Add(time.Second)
		w.refuse("gw", 1, now)
		w.tell(now)
	}
	facts, err := w.store.Facts(t.Context(), 0, 100)
	if err != nil || len(facts) != 10 {
		t.Errorf("%d facts tell of 1000 records, want one for each doubling, %v", len(facts), err)
	}
	_, list := w.list(true)
	if len(list) != 1 || !strings.Contains(list[0].Summary, "512 so far") {
		t.Fatalf("%+v", list)
	}
	w.tell(now.Add(refusedQuiet - time.Second))
	if _, list := w.list(true); !list[0].Active {
		t.Error("it cleared too soon")
	}
	w.tell(now.Add(refusedQuiet))
	_, list = w.list(true)
	if len(list) != 1 || list[0].Active || list[0].Cleared == nil || !strings.Contains(list[0].Summary, "1000 so far") {
		t.Errorf("%+v", list)
	}
	if _, err := Acknowledge(t.Context(), w.store, list[0].ID, "Ana", "", telemetry.MicrosOf(now)); err != nil {
		t.Error(err)
	}
	w.tell(now.Add(2 * refusedQuiet))
	now = now.Add(time.Hour)
	w.refuse("gw", 1, now)
	w.tell(now)
	if _, open := w.list(true); len(open) != 1 || open[0].ID == list[0].ID || !open[0].Active || !strings.Contains(open[0].Summary, "1 so far") {
		t.Errorf("%+v", open)
	}
	if _, all := w.list(false); len(all) != 2 {
		t.Errorf("%d alarms", len(all))
	}
}

func TestANewKeyMayRaiseAlarms(t *testing.T) {
	w := newWorld(t)
	w.send("gw", raised("a1", 1))
	e := logRecord("gw", 1, payloadOf(t, cleared("a1", 2)))
	introduction := record.Introduce(identitytest.Key("gw"), "gw", identitytest.Public(identitytest.Key("new")))
	w.resend(identitytest.SignWith(identitytest.Key("new"), e, introduction))
	r, _ := w.start()
	await.True(w, "two events", func() bool { return r.Stats().Events == 2 })
	_, list := w.list(false)
	if len(list) != 1 || list[0].Active {
		t.Errorf("%+v", list)
	}
	keys, err := w.store.GatewayKeys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Errorf("%+v, %v", keys, err)
	}
}
