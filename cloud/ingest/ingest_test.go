package ingest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
	"github.com/twmb/franz-go/pkg/kgo"
)

func signals(n int) []telemetry.Signal {
	var list []telemetry.Signal
	for i := range n {
		list = append(list, signal(i))
	}
	return list
}

func TestStoresEachSampleOnce(t *testing.T) {
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(7)...))
	var again []*kgo.Record
	for first := uint64(0); first < 1000; first += 50 {
		w.send(blockRecord(t, "gw", 1, first, first+49, 7))
		again = append(again, blockRecord(t, "gw", 1, first, first+49, 7))
	}
	r, stop := w.start(w.config())
	await.True(w, "the first time", func() bool { return r.Stats().Samples == 1000 })
	w.send(again...)
	await.True(w, "the second time", func() bool { return r.Stats().Records == 40 })
	stop()
	w.send(again[0], blockRecord(t, "gw", 1, 1000, 1009, 7))
	r, _ = w.start(w.config())
	await.True(w, "the third time", func() bool { return r.Stats().Records == 2 })
	w.exactlyOnce("gw", 1010)
	got := w.completeness("gw")
	if got.Received != 1010 || got.Duplicates != 21 || got.Conflicts != 0 || got.Stream != record.Telemetry || got.Epoch != 1 {
		t.Errorf("%+v", got)
	}
	if st := r.Stats(); st.Duplicates != 1 || st.Samples != 10 || st.Lag != 0 || st.Flushes == 0 || len(st.Quarantined) != 0 {
		t.Errorf("%+v", st)
	}
}

func TestSetsAsideWhatIsWrongAndGoesOn(t *testing.T) {
	good := func(t *testing.T) *kgo.Record { return blockRecord(t, "gw", 1, 10, 19, 7) }
	header := func(r *kgo.Record, key, value string) *kgo.Record {
		for i := range r.Headers {
			if r.Headers[i].Key == key {
				r.Headers[i].Value = []byte(value)
			}
		}
		return r
	}
	cases := []struct {
		name   string
		record func(*testing.T) *kgo.Record
		reason store.Reason
	}{
		{"no headers", func(t *testing.T) *kgo.Record { r := good(t); r.Headers = nil; return r }, store.BadHeaders},
		{"an event", func(t *testing.T) *kgo.Record { return header(good(t), "stream", "events") }, store.BadHeaders},
		{"unknown format", func(t *testing.T) *kgo.Record { return header(good(t), "format", "block/9") }, store.BadHeaders},
		{"numbers beyond BIGINT", func(t *testing.T) *kgo.Record {
			return header(header(good(t), "seq_first", "18446744073709551606"), "seq_last", "18446744073709551615")
		}, store.BadHeaders},
		{"damaged", func(t *testing.T) *kgo.Record { r := good(t); r.Value[len(r.Value)/2] ^= 1; return r }, store.CorruptBlock},
		{"cut short", func(t *testing.T) *kgo.Record { r := good(t); r.Value = r.Value[:9]; return r }, store.CorruptBlock},
		{"empty", func(t *testing.T) *kgo.Record { r := good(t); r.Value = nil; return r }, store.CorruptBlock},
		{"too few samples", func(t *testing.T) *kgo.Record { return header(good(t), "seq_last", "20") }, store.WrongCount},
		{"other contents", func(t *testing.T) *kgo.Record { return blockRecord(t, "gw", 1, 0, 9, 6) }, store.IdentityConflict},
		{"part of what was received", func(t *testing.T) *kgo.Record { return blockRecord(t, "gw", 1, 0, 4, 7) }, store.IdentityConflict},
		{"beyond what was received", func(t *testing.T) *kgo.Record { return blockRecord(t, "gw", 1, 5, 14, 7) }, store.IdentityConflict},
		{"no birth", func(t *testing.T) *kgo.Record { return &kgo.Record{Topic: topics.Births(), Value: []byte("{")} }, store.CorruptBirth},
		{"birth without gateway", func(t *testing.T) *kgo.Record { return birthRecord(t, "", signal(1)) }, store.CorruptBirth},
		{"birth without name", func(t *testing.T) *kgo.Record { return birthRecord(t, "gw", telemetry.Signal{ID: 3, Device: "x"}) }, store.CorruptBirth},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.send(birthRecord(t, "gw", signals(7)...))
			w.send(blockRecord(t, "gw", 1, 0, 9, 7))
			r, _ := w.start(w.config())
			await.True(w, "the good record before", func() bool { return r.Stats().Samples == 10 })
			bad := c.record(t)
			w.send(identitytest.Sign(bad))
			w.send(good(t))
			await.True(w, "the good record after", func() bool { return r.Stats().Samples == 20 })
			w.exactlyOnce("gw", 20)
			await.True(w, "the quarantine", func() bool { return r.Stats().Quarantined[c.reason] == 1 })
			list, err := w.store.Quarantined(t.Context(), 10)
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			q := list[0]
			if q.Reason != c.reason || q.Topic != bad.Topic || q.Partition != bad.Partition || q.Offset != bad.Offset || q.Detail == "" || string(q.Payload) != string(bad.Value) {
				t.Errorf("%+v, want %s of %s/%d@%d", q, c.reason, bad.Topic, bad.Partition, bad.Offset)
			}
			var conflicts uint64
			if c.reason == store.IdentityConflict {
				conflicts = 1
			}
			if got := w.completeness("gw"); got.Conflicts != conflicts || got.Received != 20 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestParkedUntilBorn(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			w := newWorld(t)
			r, stop := w.start(w.config())
			const blocks = 40 // more than one step of unpark, and more than one transaction
			for i := range uint64(blocks) {
				w.send(blockRecord(t, "gw", 1, i*10, i*10+9, 7))
			}
			await.True(w, "parking", func() bool { return r.Stats().Parked == blocks })
			w.send(blockRecord(t, "gw", 1, 0, 9, 7))
			await.True(w, "a duplicate of a parked record", func() bool { return r.Stats().Duplicates == 1 })
			w.send(birthRecord(t, "gw", signals(7)[:4]...))
			await.True(w, "half of the table", func() bool { return r.Stats().Births == 1 })
			if restart {
				stop()
				r, _ = w.start(w.config())
			}
			if n := len(w.stored("gw")); n != 0 {
				t.Fatalf("%d samples are stored of a table half known", n)
			}
			w.send(birthRecord(t, "gw", signals(7)[4:]...))
			await.True(w, "the table", func() bool { return r.Stats().Unparked == blocks })
			w.exactlyOnce("gw", blocks*10)
			if rest, err := w.store.ParkedTables(t.Context()); len(rest) != 0 || err != nil {
				t.Errorf("still parked: %v, %v", rest, err)
			}
			if got := w.completeness("gw"); got.Received != blocks*10 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A process that died between the births' transaction and that of the records
// parked for them leaves records whose table is known.
func TestParkedByAProcessThatDied(t *testing.T) {
	w := newWorld(t)
	first := New(w.config())
	s := newSession(first, map[string]map[int32]int64{})
	b, birth := blockRecord(t, "gw", 1, 0, 9, 7), birthRecord(t, "gw", signals(7)...)
	w.send(b, birth)
	if err := s.take(t.Context(), []*kgo.Record{b}); err != nil {
		t.Fatal(err)
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.take(t.Context(), []*kgo.Record{birth}); err != nil {
		t.Fatal(err)
	}
	if len(s.batch.unparked) != 1 || len(w.stored("gw")) != 0 {
		t.Fatal("the parked record should be in the batch that was lost")
	}
	r, _ := w.start(w.config())
	await.True(w, "unparking", func() bool { return r.Stats().Unparked == 1 })
	w.exactlyOnce("gw", 10)
}

func TestOneOfTwoIngestersIsFenced(t *testing.T) {
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(7)...))
	births, _ := w.start(w.config())
	await.True(w, "births", func() bool { return births.Stats().Births == 1 })
	b := blockRecord(t, "gw", 1, 0, 9, 7)
	var sessions [2]*session
	for i := range sessions {
		sessions[i] = newSession(New(w.config()), map[string]map[int32]int64{})
		if err := sessions[i].take(t.Context(), []*kgo.Record{b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := sessions[0].flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sessions[1].flush(t.Context()); !errors.Is(err, store.ErrFenced) {
		t.Fatalf("the second commits too: %v", err)
	}
	if n := sessions[1].Stats().Samples; n != 0 {
		t.Errorf("the second counts %d samples", n)
	}
	w.exactlyOnce("gw", 10)
}

func TestTwoIngestersStoreOnce(t *testing.T) {
	w := newWorld(t)
	other, err := store.Open(t.Context(), w.database)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	a, stopA := w.start(w.config())
	cfg := w.config()
	cfg.Store = other
	b, stopB := w.start(cfg)
	for i := range uint64(60) {
		for g := range 3 {
			gateway := fmt.Sprintf("gw-%d", g)
			if i == 5 {
				w.send(birthRecord(t, gateway, signals(7)...))
			}
			w.send(blockRecord(t, gateway, 1, i*10, i*10+9, 7))
		}
	}
	await.True(w, "both", func() bool { return a.Stats().Samples+b.Stats().Samples > 600 })
	stopA()
	stopB()
	w.start(w.config()) // takes what one of them parked beside the other's births
	await.True(w, "the rest", w.caughtUp)
	for g := range 3 {
		w.exactlyOnce(fmt.Sprintf("gw-%d", g), 600)
	}
}

func TestLatestIsTheNewestOnce(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	var mu sync.Mutex
	got := map[telemetry.SignalID][]float64{}
	cfg.OnLatest = func(samples []telemetry.Sample) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range samples {
			v, _ := s.Value.Float()
			got[s.Signal] = append(got[s.Signal], v)
		}
	}
	w.send(birthRecord(t, "gw", signals(2)...))
	r, stop := w.start(cfg)
	await.True(w, "births", func() bool { return r.Stats().Births == 1 })
	for i, b := range [][2]uint64{{100, 109}, {0, 9}, {200, 200}} {
		w.send(blockRecord(t, "gw", 1, b[0], b[1], 2))
		await.True(w, "a block", func() bool { return r.Stats().Records == uint64(i+1) })
	}
	stop()
	place, err := w.store.SignalTable(t.Context(), "gw", table)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[telemetry.SignalID][]float64{place[0].Series: {108, 200}, place[1].Series: {109}}; !reflect.DeepEqual(got, want) {
		t.Errorf("announced %v, want %v", got, want)
	}
	// What is stored is what the next process begins from.
	w.send(blockRecord(t, "gw", 1, 20, 29, 2))
	r, _ = w.start(cfg)
	await.True(w, "an older block", func() bool { return r.Stats().Records == 1 })
	list, err := w.store.Series(t.Context())
	if err != nil || len(list) != 2 || list[0].Latest == nil || list[1].Latest == nil {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, want := range []float64{200, 109} {
		if v, _ := list[i].Latest.Value.Float(); v != want {
			t.Errorf("latest of %s is %v, want %v", list[i].Name, v, want)
		}
	}
}

func TestLatestFromTheFutureGivesWay(t *testing.T) {
	var n newestOfBundle
	const now = 1000
	for _, step := range []struct {
		at    telemetry.Micros
		taken bool
	}{{10, true}, {9, false}, {10, true}, {5000, true}, {900, true}, {899, false}} {
		if taken := n.update(telemetry.Sample{Time: step.at}, now); taken != step.taken {
			t.Errorf("%d taken: %v", step.at, taken)
		}
	}
}

func TestGoesOnWhereTheLogBegins(t *testing.T) {
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(7)...))
	for i := range uint64(4) {
		w.send(blockRecord(t, "gw", 1, i*10, i*10+9, 7))
	}
	r, stop := w.start(w.config())
	await.True(w, "four", func() bool { return r.Stats().Samples == 40 })
	stop()
	var last *kgo.Record
	for i := range uint64(3) {
		last = blockRecord(t, "gw", 1, 40+i*10, 49+i*10, 7)
		w.send(last)
	}
	if err := w.broker.DeleteRecords(last.Topic, last.Partition, last.Offset); err != nil {
		t.Fatal(err)
	}
	r, _ = w.start(w.config())
	await.True(w, "what is left", func() bool { return r.Stats().Samples == 10 })
	list, err := w.store.Quarantined(t.Context(), 10)
	if err != nil || len(list) != 1 || list[0].Reason != store.LogTruncated || list[0].Offset != last.Offset-2 {
		t.Errorf("%+v, %v", list, err)
	}
	if got := w.completeness("gw"); got.Received != 50 {
		t.Errorf("%+v", got)
	}
}

func TestWaitsForTheTopics(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.Topics = record.TopicsOf("late")
	r, _ := w.start(cfg)
	for _, topic := range []string{cfg.Topics.Births(), cfg.Topics.Telemetry(), cfg.Topics.Backfill()} {
		if err := w.broker.CreateTopic(topic, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, rec := range []*kgo.Record{birthRecord(t, "gw", signals(7)...), blockRecord(t, "gw", 1, 0, 9, 7)} {
		rec.Topic = "late" + rec.Topic[len("busbar"):]
		w.send(rec)
	}
	await.True(w, "samples", func() bool { return r.Stats().Samples == 10 })
}

func TestRunEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	New(w.config()).Run(ctx)
}
