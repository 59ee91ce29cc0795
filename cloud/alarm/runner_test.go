package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

var topics = record.TopicsOf("")

// world is a broker, a producer that plays gateways, and a database.
type world struct {
	testing.TB
	broker   *kfake.Cluster
	opts     []kgo.Opt
	producer *kgo.Client
	store    *store.Store
	next     map[string]uint64
	enrolled map[string]bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics.Events()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := &world{TB: t, broker: broker, opts: []kgo.Opt{kgo.SeedBrokers(broker.ListenAddrs()...)}, next: map[string]uint64{}, enrolled: map[string]bool{}}
	if w.producer, err = kgo.NewClient(append(w.opts, kgo.ProducerLinger(0))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.producer.Close)
	w.store = storetest.Open(t)
	return w
}

func (w *world) config() Config { return Config{Log: w.opts, Topics: topics, Store: w.store} }

func (w *world) start() (r *Runner, stop func()) {
	r = New(w.config())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	stop = func() { cancel(); <-done }
	w.Cleanup(stop)
	return r, stop
}

// send writes a gateway's next event and returns the record as it was sent.
func (w *world) send(gateway string, e telemetry.Event) *kgo.Record {
	w.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		w.Fatal(err)
	}
	seq := w.next[gateway]
	w.next[gateway]++
	r := logRecord(gateway, seq, payload)
	w.resend(r)
	return r
}

func logRecord(gateway string, seq uint64, payload []byte) *kgo.Record {
	rec := record.Record{Identity: record.Identity{Gateway: gateway, Epoch: 7, Stream: record.Events, First: seq, Last: seq}, Format: record.FormatEvent, Payload: payload}
	k := &kgo.Record{Topic: topics.Events(), Key: []byte(gateway), Value: payload}
	for _, h := range rec.Headers() {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	return identitytest.Sign(k)
}

// resend writes a record to the log and enrols whoever wrote it.
func (w *world) resend(r *kgo.Record) {
	w.Helper()
	if gateway := identitytest.GatewayOf(r); !w.enrolled[gateway] {
		identitytest.Enrol(w, w.store, gateway)
		w.enrolled[gateway] = true
	}
	w.sendAs(r)
}

// sendAs writes a record to the log.
func (w *world) sendAs(r *kgo.Record) {
	w.Helper()
	again := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
	if err := w.producer.ProduceSync(context.Background(), again).FirstErr(); err != nil {
		w.Fatal(err)
	}
}

func raised(id string, at telemetry.Micros) telemetry.Event {
	v := 0.2
	return telemetry.Event{Kind: telemetry.AlarmRaised, Time: at, Decided: at + 10, Alarm: &telemetry.AlarmChange{ID: id, Rule: "interruption", Asset: "feeder-2",
		Device: "feeder-2-head", Priority: telemetry.Critical, Summary: "Feeder 2 is dead", Inputs: []telemetry.Input{
			{Signal: 3, Name: "PhV.phsA", Device: "feeder-2-head", Unit: "V", Value: &v, Quality: "good", Time: at},
			{Signal: 4, Name: "ChLiv", Device: "feeder-2-head", Unit: "1", Quality: "bad (timeout)", Time: at - 1}}}}
}

func cleared(id string, at telemetry.Micros) telemetry.Event {
	e := raised(id, at)
	e.Kind = telemetry.AlarmCleared
	return e
}

func (w *world) list(open bool) (int64, []Alarm) {
	w.Helper()
	seq, alarms, err := List(context.Background(), w.store, open, store.Page[Place]{Limit: 100})
	if err != nil {
		w.Fatal(err)
	}
	return seq, alarms
}

func TestAlarmFromRaiseToAcknowledged(t *testing.T) {
	w := newWorld(t)
	r, stop := w.start()
	first := w.send("north-gw1", raised("a1", 1000))
	w.send("north-gw1", raised("a2", 2000))
	w.resend(first)
	w.send("north-gw1", cleared("a1", 3000))
	await.True(w, "four events", func() bool { return r.Stats().Events == 4 })
	seq, open := w.list(true)
	if len(open) != 2 || open[0].ID != "a2" || !open[0].Active || open[1].Active || *open[1].Cleared != 3000 {
		t.Fatalf("open: %+v", open)
	}
	if st := r.Stats(); st.Duplicates != 1 || len(st.Quarantined) != 0 {
		t.Errorf("%+v", st)
	}

	// Births name the series and the site afterwards.
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SaveBirth(record.Birth{Gateway: "north-gw1", Site: "north", Table: "000000000000000a",
			Signals: []telemetry.Signal{{ID: 9, Device: "feeder-2-head", Name: "PhV.phsA", Unit: "V"}}})
	}); err != nil {
		t.Fatal(err)
	}
	a, err := Acknowledge(t.Context(), w.store, "a1", "Ana", "crew called", 4000)
	if err != nil {
		t.Fatal(err)
	}
	if a.Site != "north" || !a.Acknowledged || *a.AcknowledgedAt != 4000 || a.AcknowledgedBy != "Ana" || a.Comment != "crew called" || a.Open() {
		t.Errorf("%+v", a)
	}
	if len(a.Inputs) != 2 || a.Inputs[0].Series == 0 || *a.Inputs[0].Value != 0.2 || a.Inputs[1].Series != 0 || a.Inputs[1].Value != nil || a.Inputs[1].Quality != "bad (timeout)" {
		t.Errorf("inputs %+v", a.Inputs)
	}
	if _, err := Acknowledge(t.Context(), w.store, "a1", "Ben", "", 5000); !errors.Is(err, ErrAlreadyAcknowledged) {
		t.Errorf("again: %v", err)
	}
	if _, err := Acknowledge(t.Context(), w.store, "none", "Ben", "", 5000); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if _, _, err := Get(t.Context(), w.store, "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	stop()

	after, open := w.list(true)
	if len(open) != 1 || open[0].ID != "a2" || after <= seq {
		t.Errorf("open after: %+v", open)
	}
	if _, all := w.list(false); len(all) != 2 {
		t.Errorf("all: %+v", all)
	}
	got, history, err := Get(t.Context(), w.store, "a1")
	if err != nil || !reflect.DeepEqual(got, a) || len(history) != 3 {
		t.Fatalf("%+v %+v, %v", got, history, err)
	}
	want := []Entry{{0, 1000, Raised, "gateway north-gw1", ""}, {0, 3000, Cleared, "gateway north-gw1", ""}, {0, 4000, Acknowledged, "Ana", "crew called"}}
	facts, err := w.store.Facts(t.Context(), 0, 10)
	if err != nil || len(facts) != 4 || facts[3].Seq != after {
		t.Fatalf("facts %+v, %v", facts, err)
	}
	for i, e := range history {
		want[i].Seq = e.Seq
		if e != want[i] {
			t.Errorf("entry %d: %+v, want %+v", i, e, want[i])
		}
		at := slices.IndexFunc(facts, func(f store.Fact) bool { return f.Seq == e.Seq })
		if at < 0 || facts[at].Kind != FactKind {
			t.Fatalf("entry %d has no fact", i)
		}
		var fact Alarm
		if err := json.Unmarshal(facts[at].Data, &fact); err != nil || fact.ID != "a1" || fact.Acknowledged != (i == 2) {
			t.Errorf("fact of entry %d: %+v, %v", i, fact, err)
		}
	}
}

func TestRestartTakesNothingTwice(t *testing.T) {
	w := newWorld(t)
	r, stop := w.start()
	first := w.send("gw", raised("a1", 1000))
	await.True(w, "the raise", func() bool { return r.Stats().Events == 1 })
	stop()
	w.send("gw", cleared("a1", 2000))
	w.resend(first)
	r, _ = w.start()
	await.True(w, "the clear", func() bool { return r.Stats().Events == 2 })
	if facts, err := w.store.Facts(t.Context(), 0, 10); len(facts) != 2 || err != nil {
		t.Errorf("%d facts, %v", len(facts), err)
	}
	if r.Stats().Duplicates != 1 {
		t.Errorf("%+v", r.Stats())
	}
}

func TestOneOfTwoRunnersIsFenced(t *testing.T) {
	w := newWorld(t)
	rec := w.send("gw", raised("a1", 1000))
	var errs [2]error
	for i := range errs {
		s := &session{Runner: New(w.config()), topic: topics.Events(), offsets: map[int32]int64{}, ledger: w.store.NewLedger(), keys: identity.NewKeys(w.store)}
		errs[i] = s.take(t.Context(), []*kgo.Record{rec})
	}
	if errs[0] != nil || !errors.Is(errs[1], store.ErrFenced) {
		t.Errorf("%v", errs)
	}
	if facts, _ := w.store.Facts(t.Context(), 0, 10); len(facts) != 1 {
		t.Errorf("%d facts", len(facts))
	}
}

func TestSetsAsideWhatIsNoEvent(t *testing.T) {
	type M = map[string]any
	alarm := M{"id": "a1"}
	cases := map[string]struct {
		payload any
		reason  store.Reason
	}{
		"no JSON":               {nil, store.CorruptEvent},
		"unknown kind":          {M{"kind": "party"}, store.CorruptEvent},
		"no alarm":              {M{"kind": "alarm-raised", "decided_us": 1}, store.CorruptEvent},
		"no id":                 {M{"kind": "alarm-raised", "decided_us": 1, "alarm": M{}}, store.CorruptEvent},
		"an id with a slash":    {M{"kind": "alarm-raised", "decided_us": 1, "alarm": M{"id": "a/b"}}, store.CorruptEvent},
		"an id with a zero":     {M{"kind": "alarm-raised", "decided_us": 1, "alarm": M{"id": "a\x00"}}, store.CorruptEvent},
		"an id with a newline":  {M{"kind": "alarm-raised", "decided_us": 1, "alarm": M{"id": "a\n"}}, store.CorruptEvent},
		"a long id":             {M{"kind": "alarm-cleared", "decided_us": 1, "alarm": M{"id": strings.Repeat("a", 65)}}, store.CorruptEvent},
		"not decided":           {M{"kind": "alarm-cleared", "alarm": alarm}, store.CorruptEvent},
		"no lifecycle":          {M{"kind": "gateway-started"}, store.CorruptEvent},
		"bad epoch":             {M{"kind": "gateway-started", "lifecycle": M{"committed": []M{{"epoch": "x", "stream": "events"}}}}, store.CorruptEvent},
		"bad stream":            {M{"kind": "gateway-started", "lifecycle": M{"committed": []M{{"epoch": "0000000000000001", "stream": "x"}}}}, store.CorruptEvent},
		"too many":              {M{"kind": "gateway-started", "lifecycle": M{"committed": []M{{"epoch": "0000000000000001", "stream": "events", "count": uint64(1 << 63)}}}}, store.CorruptEvent},
		"no loss":               {M{"kind": "samples-lost"}, store.CorruptEvent},
		"no step":               {M{"kind": "clock-changed"}, store.CorruptEvent},
		"backwards":             {M{"kind": "samples-lost", "loss": M{"epoch": "0000000000000001", "stream": "events", "seq_first": 2, "seq_last": 1}}, store.CorruptEvent},
		"a discarded range":     {M{"kind": "samples-lost", "loss": M{"epoch": "0000000000000001", "stream": "telemetry", "seq_last": 1, "reason": "discarded"}}, store.CorruptEvent},
		"no account":            {M{"kind": "samples-counted"}, store.CorruptEvent},
		"half a quarter-hour":   {M{"kind": "samples-counted", "account": M{"epoch": "0000000000000001", "from_us": 0, "to_us": telemetry.Quarter / 2}}, store.CorruptEvent},
		"no link":               {M{"kind": "link-changed", "time_us": 1}, store.CorruptEvent},
		"no time of a link":     {telemetry.Event{Kind: telemetry.LinkChanged, Link: &telemetry.Link{Stream: "events", State: "up", Was: "down"}}, store.CorruptEvent},
		"no state of a link":    {telemetry.Event{Kind: telemetry.LinkChanged, Time: 1, Link: &telemetry.Link{Stream: "events", State: "up"}}, store.CorruptEvent},
		"no damage":             {M{"kind": "buffer-damaged"}, store.CorruptEvent},
		"no file":               {M{"kind": "buffer-damaged", "damage": M{"cause": "x"}}, store.CorruptEvent},
		"a long cause":          {M{"kind": "buffer-damaged", "damage": M{"file": "x", "cause": strings.Repeat("x", longestText+1)}}, store.CorruptEvent},
		"no configuration":      {M{"kind": "configuration-applied", "time_us": 1, "decided_us": 1}, store.CorruptEvent},
		"no hash":               {M{"kind": "configuration-rolled-back", "time_us": 1, "decided_us": 1, "configuration": M{"before": "a", "after": "b"}}, store.CorruptEvent},
		"an id of the cloud's":  {M{"kind": "alarm-cleared", "decided_us": 1, "alarm": M{"id": "fleet-1"}}, store.CorruptEvent},
		"no heartbeat":          {M{"kind": "gateway-alive"}, store.CorruptEvent},
		"a heartbeat of never":  {M{"kind": "gateway-alive", "presence": M{"every_us": 0}}, store.CorruptEvent},
		"a long feeder":         {M{"kind": "gateway-alive", "presence": M{"every_us": 1, "feeder": strings.Repeat("f", 101)}}, store.CorruptEvent},
		"a gasp of no time":     {M{"kind": "last-gasp"}, store.CorruptEvent},
		"no capture":            {M{"kind": "alarm-captured", "decided_us": 1}, store.CorruptEvent},
		"a capture of no alarm": {M{"kind": "alarm-captured", "decided_us": 1, "capture": M{"alarm": "a/b", "from_us": 1, "to_us": 2}}, store.CorruptEvent},
		"a capture of a day":    {M{"kind": "alarm-captured", "decided_us": 1, "capture": M{"alarm": "a1", "from_us": 1, "to_us": 86_400_000_000}}, store.CorruptEvent},
		"the cloud's capture":   {captured("fleet-1", 5), store.CorruptEvent},
		"another's capture":     {captured("a0", 5), store.IdentityConflict},
		"of another gateway":    {telemetry.Event{Kind: telemetry.AlarmCleared, Decided: 1, Alarm: &telemetry.AlarmChange{ID: "a0"}}, store.IdentityConflict},
	}
	// All in one log, between what raises an alarm and what clears it.
	w := newWorld(t)
	w.send("gw", raised("a0", 1))
	names := slices.Sorted(maps.Keys(cases))
	for n, name := range names {
		payload := []byte("{")
		if of := cases[name].payload; of != nil {
			payload, _ = json.Marshal(of)
		}
		w.resend(logRecord("bad", uint64(n), payload))
	}
	w.send("gw", cleared("a0", 2))
	r, _ := w.start()
	await.True(w, "all events", func() bool { return r.Stats().Events == uint64(len(cases)+2) })
	list, err := w.store.Quarantined(t.Context(), len(cases)+1)
	if err != nil || len(list) != len(cases) {
		t.Errorf("%d were set aside, expected %d: %v", len(list), len(cases), err)
	}
	for _, q := range list {
		if name := names[q.Offset-1]; q.Reason != cases[name].reason {
			t.Errorf("%s: %s, %s", name, q.Reason, q.Detail)
		}
	}
	if _, alarms := w.list(false); len(alarms) != 1 || alarms[0].Active {
		t.Errorf("%+v", alarms)
	}
	t.Run("telemetry", func(t *testing.T) {
		w := newWorld(t)
		bad := logRecord("bad", 0, nil)
		bad.Headers[2].Value = []byte("telemetry")
		w.resend(identitytest.Sign(bad))
		headless := logRecord("bad", 1, nil) // whose it is says its key in the log alone
		headless.Headers = nil
		w.resend(headless)
		w.send("gw", raised("a0", 1))
		r, _ := w.start()
		await.True(w, "three events", func() bool { return r.Stats().Events == 3 })
		if r.Stats().Quarantined[store.BadHeaders] != 2 {
			t.Errorf("%+v", r.Stats())
		}
		if n, err := w.store.AskAside(t.Context(), store.SetAside{Gateway: "bad"}); n != 2 || err != nil {
			t.Errorf("%d are taken again, want 2 (%v)", n, err)
		}
	})
}

func TestGoesOnWhereTheLogBegins(t *testing.T) {
	w := newWorld(t)
	r, stop := w.start()
	w.send("gw", raised("a1", 1))
	await.True(w, "one", func() bool { return r.Stats().Events == 1 })
	stop()
	for i := range 3 {
		w.send("gw", raised(fmt.Sprint("b", i), 1))
	}
	if err := w.broker.DeleteRecords(topics.Events(), 0, 3); err != nil {
		t.Fatal(err)
	}
	r, _ = w.start()
	await.True(w, "the last", func() bool { return r.Stats().Events == 1 })
	if _, alarms := w.list(false); len(alarms) != 2 || r.Stats().Quarantined[store.LogTruncated] != 1 {
		t.Errorf("%+v, %+v", alarms, r.Stats())
	}
}

// What can't be kept of an alarm's rule or of a gateway's presence costs neither the
// alarm nor the start.
func TestWhatIsLeftOutOfAnEvent(t *testing.T) {
	long := strings.Repeat("x", longestName+1)
	full := telemetry.AlarmChange{ID: "a1", Version: "3f2a", Method: "sampled", Group: "trips", FirstUp: "a0", Confirmed: 5}
	for name, c := range map[string]struct {
		change, left func(a *telemetry.AlarmChange)
	}{
		"nothing":              {func(a *telemetry.AlarmChange) {}, func(a *telemetry.AlarmChange) {}},
		"a long version":       {func(a *telemetry.AlarmChange) { a.Version = long }, func(a *telemetry.AlarmChange) { a.Version = "" }},
		"a method with a zero": {func(a *telemetry.AlarmChange) { a.Method = "a\x00" }, func(a *telemetry.AlarmChange) { a.Method = "" }},
		"a long group":         {func(a *telemetry.AlarmChange) { a.Group = long }, func(a *telemetry.AlarmChange) { a.Group = "" }},
		"a first with a slash": {func(a *telemetry.AlarmChange) { a.FirstUp = "a/b" }, func(a *telemetry.AlarmChange) { a.FirstUp = "" }},
		"a time before 1970":   {func(a *telemetry.AlarmChange) { a.Confirmed = -1 }, func(a *telemetry.AlarmChange) { a.Confirmed = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			sent, want := full, full
			c.change(&sent)
			c.left(&want)
			got := parsed(t, telemetry.Event{Kind: telemetry.AlarmRaised, Decided: 1, Alarm: &sent})
			if !reflect.DeepEqual(*got.Alarm, want) {
				t.Errorf("%+v, want %+v", *got.Alarm, want)
			}
		})
	}
	start := parsed(t, telemetry.Event{Kind: telemetry.GatewayStarted, Lifecycle: &telemetry.Lifecycle{Version: "v1", Presence: &telemetry.Presence{Every: -1}}})
	if start.Lifecycle.Presence != nil || start.Lifecycle.Version != "v1" {
		t.Errorf("%+v", start.Lifecycle)
	}
}

func parsed(t *testing.T, e telemetry.Event) telemetry.Event {
	t.Helper()
	got, _, err := parse(record.Record{Identity: record.Identity{Gateway: "gw", Stream: record.Events}, Format: record.FormatEvent, Payload: payloadOf(t, e)})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func FuzzEvent(f *testing.F) {
	for _, e := range []telemetry.Event{raised("a", 1), cleared("a", 1), {Kind: telemetry.GatewayStarted, Lifecycle: &telemetry.Lifecycle{}},
		startedWith(1, []string{"a", ""}), captured("a", 5),
		{Kind: telemetry.GatewayAlive, Presence: &telemetry.Presence{Every: 1, Feeder: "f"}}, {Kind: telemetry.SupplyFailed, Time: 1, Decided: 1, LastGasp: &telemetry.LastGasp{Boot: "b"}},
		{Kind: telemetry.SamplesLost, Loss: &telemetry.Loss{Epoch: "0000000000000001", Stream: "telemetry", Reason: "full", Devices: []telemetry.DeviceLoss{{Device: "m", Count: 1}}}},
		{Kind: telemetry.SamplesCounted, Account: &telemetry.Account{Epoch: "0000000000000001", To: telemetry.Quarter, Devices: []telemetry.DeviceAccount{
			{Device: "m", Scheduled: 3, Read: 2, Bad: map[string]uint64{"timeout": 1}, Delivered: 3}}}},
		{Kind: telemetry.LinkChanged, Time: 1, Link: &telemetry.Link{Stream: "backfill", State: "throttled", Was: "up", Cause: "quota"}},
		{Kind: telemetry.ClockChanged, Step: &telemetry.ClockStep{State: telemetry.ClockSynchronised, Was: telemetry.ClockUnset}},
		{Kind: telemetry.BufferDamaged, Damage: &telemetry.Damage{File: "f", Cause: "c"}},
		{Kind: telemetry.UpdateRolledBack, Time: 1, Decided: 1, Update: &telemetry.Update{Version: "2.0", From: "1.0", Epoch: 5, Cause: "c"}},
		{Kind: telemetry.ConfigurationRolledBack, Time: 1, Decided: 1, Configuration: &telemetry.Reconfiguration{Before: strings.Repeat("0", 64), After: strings.Repeat("1", 64)}}} {
		payload, _ := json.Marshal(e)
		f.Add(payload)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		rec := record.Record{Identity: record.Identity{Gateway: "gw", Stream: record.Events}, Format: record.FormatEvent, Payload: payload}
		e, _, err := parse(rec)
		if err != nil {
			return
		}
		// What passes the check can be applied: anything else would stop the consumer.
		err = w.store.Write(t.Context(), func(tx *store.Tx) error {
			if err := tx.SaveBirth(record.Birth{Gateway: "gw"}); err != nil {
				return err
			}
			return apply(tx, event{e, rec, arrival{Record: &kgo.Record{}}})
		})
		if err != nil {
			t.Errorf("%s: %v", payload, err)
		}
	})
}

// From the log's acknowledgement to the commit, one event at a time.
func BenchmarkEventToCommit(b *testing.B) {
	w := newWorld(b)
	w.start()
	w.send("gw", raised("warm", 1))
	await.True(w, "the first", func() bool { _, alarms := w.list(false); return len(alarms) == 1 })
	var took []time.Duration
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		changed := w.store.FactsChanged()
		n++
		w.send("gw", raised(fmt.Sprint("a", n), 1))
		sent := time.Now()
		<-changed
		took = append(took, time.Since(sent))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
}

func TestInputsNameTheSeriesOfTheirUnit(t *testing.T) {
	w := newWorld(t)
	r, _ := w.start()
	w.send("gw", raised("a1", 1000))
	await.True(w, "the alarm", func() bool { return r.Stats().Events == 1 })
	for i, unit := range []string{"V", "kV"} {
		if err := w.store.Write(t.Context(), func(tx *store.Tx) error {
			return tx.SaveBirth(record.Birth{Gateway: "gw", Table: record.Epoch(i).String(),
				Signals: []telemetry.Signal{{ID: 9, Device: "feeder-2-head", Name: "PhV.phsA", Unit: unit}}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.store.Series(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, alarms := w.list(false); len(alarms[0].Inputs) != 2 || alarms[0].Inputs[0].Series != list[0].ID {
		t.Errorf("inputs %+v, want the first of series %d", alarms[0].Inputs, list[0].ID)
	}
}

func TestStartsAgainInATopicMadeAnew(t *testing.T) {
	w := newWorld(t)
	r, stop := w.start()
	w.send("gw", raised("a1", 1))
	w.send("gw", cleared("a1", 2))
	await.True(w, "two", func() bool { return r.Stats().Events == 2 })
	stop()
	admin := kadm.NewClient(w.producer)
	if _, err := admin.DeleteTopics(t.Context(), topics.Events()); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, topics.Events()); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.producer, err = kgo.NewClient(append(w.opts, kgo.ProducerLinger(0))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.producer.Close)
	for i := range 4 {
		w.send("gw", raised(fmt.Sprint("b", i), 3))
	}
	r, _ = w.start()
	await.True(w, "all four", func() bool { return r.Stats().Events == 4 })
	if list, err := w.store.Quarantined(t.Context(), 10); err != nil || len(list) != 1 || list[0].Reason != store.LogTruncated {
		t.Errorf("%+v, %v", list, err)
	}
}
