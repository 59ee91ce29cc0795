package ingest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

// aside counts what stands in the quarantine, by reason and state.
func (w *world) aside() map[string]int {
	w.Helper()
	list, err := w.store.Quarantined(w.Context(), 100_000)
	if err != nil {
		w.Fatal(err)
	}
	counts := map[string]int{}
	for _, q := range list {
		counts[string(q.Reason)+" "+string(q.State)]++
	}
	return counts
}

// strangers sends a gateway's birth and n blocks of ten samples without enrolling it,
// among those of another one.
func (w *world) strangers(gateway string, n uint64) {
	w.Helper()
	w.sendAs(birthRecord(w, gateway, signals(7)...))
	w.send(birthRecord(w, "gw", signals(7)...))
	for i := range n {
		as := func(r *kgo.Record) *kgo.Record { return r }
		if i%3 == 0 {
			as = backfilled
		}
		w.sendAs(as(blockRecord(w, gateway, 1, i*10, i*10+9, 7)))
		w.send(blockRecord(w, "gw", 1, i*10, i*10+9, 7))
	}
}

// A gateway that has sent for a while is enrolled: everything is stored, once, also its
// signal table, and those of another one stay as they are.
func TestWhatWasRefusedIsTakenOnceTheKeyIsEnrolled(t *testing.T) {
	for _, running := range []bool{true, false} {
		w := newWorld(t)
		const blocks = 50
		w.strangers("late", blocks)
		r, stop := w.start(w.config())
		await.True(w, "the refusals", func() bool { return r.Stats().Quarantined[store.UnknownKey] == blocks+1 })
		await.True(w, "the other's samples", func() bool { return r.Stats().Samples == blocks*10 })
		if !running {
			stop()
		}
		before := w.refused()
		w.enrol("late")
		if !running {
			r, _ = w.start(w.config())
		}
		await.True(w, "the retake", func() bool { return r.Stats().Retaken == blocks+1 })
		w.exactlyOnce("late", blocks*10)
		w.exactlyOnce("gw", blocks*10)
		if got := w.aside(); len(got) != 1 || got["unknown-key taken"] != blocks+1 {
			t.Errorf("quarantine: %v", got)
		}
		if after := w.refused(); after["late unknown-key"] != before["late unknown-key"] {
			t.Errorf("refused: %v, then %v", before, after)
		}
		if st := r.Stats(); st.Quarantined[store.UnknownKey] > blocks+1 || st.Gone != 0 {
			t.Errorf("%+v", st)
		}
		w.send(blockRecord(t, "late", 1, blocks*10, blocks*10+9, 7))
		await.True(w, "what comes next", func() bool { return len(w.stored("late")) == blocks*10+10 })
	}
}

// What is refused between an enrolment and the moment at which the consumer hears of
// it is taken all the same.
func TestWhatIsRefusedByOldKnowledgeIsTaken(t *testing.T) {
	w := newWorld(t)
	w.enrol("late")
	w.send(birthRecord(t, "late", signals(7)...))
	block := blockRecord(t, "late", 1, 0, 9, 7)
	w.send(block)
	r, stop := w.start(w.config())
	await.True(w, "the block", func() bool { return r.Stats().Samples == 10 })
	stop()
	missed := blockRecord(t, "late", 1, 10, 19, 7)
	w.send(missed)
	offsets, err := w.store.Offsets(t.Context(), Consumer)
	if err != nil {
		t.Fatal(err)
	}
	err = w.store.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.Advance(Consumer, store.Partition{Topic: missed.Topic, Number: missed.Partition, TopicID: idOf(t, w, missed.Topic)},
			offsets[missed.Topic][missed.Partition], missed.Offset+1); err != nil {
			return err
		}
		return tx.Quarantine(store.Quarantined{Consumer: Consumer, Topic: missed.Topic, Partition: missed.Partition, Offset: missed.Offset,
			Gateway: "late", KeyID: record.KeyIDOf(identitytest.Public(identitytest.Key("late"))), Reason: store.UnknownKey, At: telemetry.MicrosOf(time.Now())})
	})
	if err != nil {
		t.Fatal(err)
	}
	r, _ = w.start(w.config())
	await.True(w, "the retake", func() bool { return r.Stats().Retaken == 1 })
	w.exactlyOnce("late", 20)
}

func idOf(t *testing.T, w *world, topic string) string {
	ids, err := w.store.TopicIDs(t.Context(), Consumer)
	if err != nil {
		t.Fatal(err)
	}
	return ids[topic]
}

// A revocation that was a mistake is taken back, and nothing is missing.
func TestWhatARevokedKeySignedIsTakenOnceItIsReadmitted(t *testing.T) {
	w := newWorld(t)
	w.revoke("gw", "gw")
	w.send(birthRecord(t, "gw", signals(7)...), blockRecord(t, "gw", 1, 0, 9, 7))
	r, _ := w.start(w.config())
	await.True(w, "the refusals", func() bool { return r.Stats().Quarantined[store.RevokedKey] == 2 })
	id := record.KeyIDOf(identitytest.Public(identitytest.Key("gw")))
	if err := w.store.ReadmitKey(t.Context(), "gw", id, "Ana", "the wrong one", telemetry.MicrosOf(time.Now())); err != nil {
		t.Fatal(err)
	}
	await.True(w, "the retake", func() bool { return r.Stats().Retaken == 2 })
	w.exactlyOnce("gw", 10)
	w.send(blockRecord(t, "gw", 1, 10, 19, 7))
	await.True(w, "what comes next", func() bool { return r.Stats().Samples == 20 })
}

// Whatever a record was set aside for, it is taken again when somebody asks: what is
// wrong with it still is told anew, and neither alarmed nor counted twice.
func TestWhatIsAskedForIsJudgedAnew(t *testing.T) {
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(7)...))
	w.sendAs(without(blockRecord(t, "gw", 1, 0, 9, 7), "key_id", "signature"))
	corrupt := blockRecord(t, "gw", 1, 10, 19, 7)
	corrupt.Value = bytes.Repeat([]byte{7}, 100)
	w.sendAs(identitytest.Sign(corrupt))
	// Of these the key in the log alone says whose they are.
	headless := blockRecord(t, "gw", 1, 20, 29, 7)
	headless.Headers = nil
	birth := birthRecord(t, "gw", signals(7)...)
	birth.Value = []byte("{")
	w.sendAs(headless, identitytest.Sign(birth))
	r, _ := w.start(w.config())
	await.True(w, "the refusals", func() bool {
		st := r.Stats()
		return st.Quarantined[store.Unsigned] == 1 && st.Quarantined[store.CorruptBlock] == 1 && st.Quarantined[store.BadHeaders] == 1 && st.Quarantined[store.CorruptBirth] == 1
	})
	w.send(blockRecord(t, "gw", 1, 0, 9, 7)) // the same, signed
	await.True(w, "the signed one", func() bool { return r.Stats().Samples == 10 })
	before := w.refused()
	if n, err := w.store.AskAside(t.Context(), store.SetAside{Gateway: "gw"}); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	await.True(w, "the answer", func() bool {
		got := w.aside()
		return len(got) == 4 && got["unsigned kept"] == 1 && got["corrupt-block kept"] == 1 && got["bad-headers kept"] == 1 && got["corrupt-birth kept"] == 1
	})
	if after := w.refused(); after["gw unsigned"] != before["gw unsigned"] {
		t.Errorf("refused: %v, then %v", before, after)
	}
	if st := r.Stats(); st.Quarantined[store.Unsigned] != 1 || st.Retaken != 0 {
		t.Errorf("%+v", st)
	}
	w.exactlyOnce("gw", 10)
}

// What a cloud set aside that didn't understand it yet, or judged it wrongly, is taken by
// one that does, whatever the reason was, once somebody asks.
func TestWhateverTheReasonItIsTakenOnceItIsMended(t *testing.T) {
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(7)...))
	r, stop := w.start(w.config())
	await.True(w, "the birth", func() bool { return r.Stats().Births == 1 })
	stop()
	var reasons []store.Reason
	for _, reason := range store.Reasons {
		// Of these the log has no record that could be read again.
		if reason != store.LogTruncated && reason != store.OversizedBatch {
			reasons = append(reasons, reason)
		}
	}
	for i, reason := range reasons {
		first := uint64(i) * 10
		missed := blockRecord(t, "gw", 1, first, first+9, 7)
		w.send(missed)
		from := missed.Offset
		if from == 0 {
			from = store.NoOffset
		}
		err := w.store.Write(t.Context(), func(tx *store.Tx) error {
			if err := tx.Advance(Consumer, store.Partition{Topic: missed.Topic, Number: missed.Partition}, from, missed.Offset+1); err != nil {
				return err
			}
			return tx.Quarantine(store.Quarantined{Consumer: Consumer, Topic: missed.Topic, Partition: missed.Partition, Offset: missed.Offset,
				Gateway: "gw", Reason: reason, At: telemetry.MicrosOf(time.Now())})
		})
		if err != nil {
			t.Fatal(reason, err)
		}
	}
	r, _ = w.start(w.config())
	if n, err := w.store.AskAside(t.Context(), store.SetAside{Gateway: "gw"}); int(n) != len(reasons) || err != nil {
		t.Fatalf("%d are asked for, want %d (%v)", n, len(reasons), err)
	}
	await.True(w, "the retake", func() bool { return int(r.Stats().Retaken) == len(reasons) })
	for at, n := range w.aside() {
		if !strings.HasSuffix(at, " taken") || n != 1 {
			t.Errorf("%d %s", n, at)
		}
	}
	w.exactlyOnce("gw", uint64(len(reasons))*10)
}

// What the log has forgotten is said to be gone, and the rest is taken.
func TestWhatTheLogForgotIsSaid(t *testing.T) {
	w := newWorld(t)
	const blocks = 20
	w.strangers("late", blocks)
	r, _ := w.start(w.config())
	await.True(w, "the refusals", func() bool { return r.Stats().Quarantined[store.UnknownKey] == blocks+1 })
	list, err := w.store.Quarantined(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	// The older half of current telemetry is deleted.
	cut := map[int32]int64{}
	var current []store.Quarantined
	for _, q := range list {
		if q.Topic == topics.Telemetry() {
			current = append(current, q)
		}
	}
	gone := 0
	for _, q := range current[len(current)/2:] { // newest first
		cut[q.Partition] = max(cut[q.Partition], q.Offset+1)
	}
	for _, q := range current {
		if q.Offset < cut[q.Partition] {
			gone++
		}
	}
	offsets := kadm.Offsets{}
	for p, at := range cut {
		offsets.AddOffset(topics.Telemetry(), p, at, -1)
	}
	if _, err := kadm.NewClient(w.producer).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	w.enrol("late")
	await.True(w, "the retake", func() bool { st := r.Stats(); return int(st.Gone) == gone && int(st.Retaken) == blocks+1-gone })
	if got := w.aside(); got["unknown-key gone"] != gone || got["unknown-key taken"] != blocks+1-gone {
		t.Errorf("%v, want %d gone", got, gone)
	}
	if stored := w.stored("late"); len(stored) != (blocks-gone)*10 {
		t.Errorf("%d samples are stored", len(stored))
	}
}

// A cloud that is killed in the middle, or runs twice, takes nothing twice.
func TestTwoCloudsTakeAgainOnce(t *testing.T) {
	w := newWorld(t)
	const blocks = 300
	w.strangers("late", blocks)
	a, stopA := w.start(w.config())
	await.True(w, "the refusals", func() bool { return a.Stats().Quarantined[store.UnknownKey] == blocks+1 })
	stopA()
	w.enrol("late")
	for range 3 {
		b, stopB := w.start(w.config())
		await.True(w, "a part", func() bool { return b.Stats().Retaken > 0 || w.aside()["unknown-key taken"] == blocks+1 })
		stopB()
	}
	w.start(w.config())
	w.start(w.config())
	await.True(w, "all", func() bool { return w.aside()["unknown-key taken"] == blocks+1 })
	await.True(w, "its samples", func() bool { return len(w.stored("late")) == blocks*10 })
	w.exactlyOnce("late", blocks*10)
}
