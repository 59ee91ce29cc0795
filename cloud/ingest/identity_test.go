package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

func without(r *kgo.Record, headers ...string) *kgo.Record {
	var kept []kgo.RecordHeader
	for _, h := range r.Headers {
		drop := false
		for _, key := range headers {
			drop = drop || h.Key == key
		}
		if !drop {
			kept = append(kept, h)
		}
	}
	r.Headers = kept
	return r
}

func (w *world) revoke(gateway, key string) {
	w.Helper()
	id := record.KeyIDOf(identitytest.Public(identitytest.Key(key)))
	if err := w.store.RevokeKey(w.Context(), gateway, id, "Ana", "stolen", telemetry.MicrosOf(time.Now())); err != nil {
		w.Fatal(err)
	}
}

// refused is how many records are counted as refused, by gateway and reason.
func (w *world) refused() map[string]int64 {
	w.Helper()
	list, err := w.store.Refused(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	counts := map[string]int64{}
	for _, r := range list {
		counts[r.Gateway+" "+string(r.Reason)] = r.Records
	}
	return counts
}

// What isn't signed by a valid key of the gateway that it names is neither
// stored nor received, and is counted for the alarm.
func TestOnlySignedRecordsAreStored(t *testing.T) {
	block := func(t *testing.T) *kgo.Record { return blockRecord(t, "gw", 1, 10, 19, 7) }
	birth := func(t *testing.T) *kgo.Record { return birthRecord(t, "gw", signal(99)) }
	revoked := func(r *kgo.Record) *kgo.Record { return identitytest.SignWith(identitytest.Key("revoked"), r) }
	foreign := func(r *kgo.Record) *kgo.Record { return identitytest.SignWith(identitytest.Key("other"), r) }
	unknown := func(r *kgo.Record) *kgo.Record { return identitytest.SignWith(identitytest.Key("nobody's"), r) }
	for _, c := range []struct {
		name   string
		record func(*testing.T) *kgo.Record
		reason store.Reason
		about  string
	}{
		{"an unsigned block", func(t *testing.T) *kgo.Record { return without(block(t), "key_id", "signature") }, store.Unsigned, "gw"},
		{"half a signature", func(t *testing.T) *kgo.Record { return without(block(t), "key_id") }, store.BadSignature, "gw"},
		{"an unknown key", func(t *testing.T) *kgo.Record { return unknown(block(t)) }, store.UnknownKey, "gw"},
		{"a revoked key", func(t *testing.T) *kgo.Record { return revoked(block(t)) }, store.RevokedKey, "gw"},
		{"another gateway's key", func(t *testing.T) *kgo.Record { return foreign(block(t)) }, store.ForeignKey, "other"},
		{"a changed block", func(t *testing.T) *kgo.Record {
			r := block(t)
			r.Value = blockRecord(t, "gw", 1, 20, 29, 7).Value
			return r
		}, store.BadSignature, "gw"},
		{"changed numbers", func(t *testing.T) *kgo.Record {
			r := blockRecord(t, "gw", 1, 20, 29, 7)
			r.Headers = append(without(r, "seq_first", "seq_last").Headers, kgo.RecordHeader{Key: "seq_first", Value: []byte("10")},
				kgo.RecordHeader{Key: "seq_last", Value: []byte("19")})
			return r
		}, store.BadSignature, "gw"},
		{"another gateway's block renamed", func(t *testing.T) *kgo.Record {
			r := blockRecord(t, "other", 1, 10, 19, 7)
			r.Headers = append(without(r, "gateway").Headers, kgo.RecordHeader{Key: "gateway", Value: []byte("gw")})
			return r
		}, store.BadSignature, "gw"},
		{"an unsigned birth", func(t *testing.T) *kgo.Record { return without(birth(t), "key_id", "signature") }, store.Unsigned, "gw"},
		{"an unknown key's birth", func(t *testing.T) *kgo.Record { return unknown(birth(t)) }, store.UnknownKey, "gw"},
		{"a revoked key's birth", func(t *testing.T) *kgo.Record { return revoked(birth(t)) }, store.RevokedKey, "gw"},
		{"a birth in another's name", func(t *testing.T) *kgo.Record { return foreign(birth(t)) }, store.ForeignKey, "other"},
		{"a changed birth", func(t *testing.T) *kgo.Record {
			r := birth(t)
			r.Value = append(r.Value, ' ')
			return r
		}, store.BadSignature, "gw"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.enrol("other")
			if _, err := w.store.EnrolKey(t.Context(), store.GatewayKey{Gateway: "gw", PublicKey: identitytest.Public(identitytest.Key("revoked"))}); err != nil {
				t.Fatal(err)
			}
			w.revoke("gw", "revoked")
			w.send(birthRecord(t, "gw", signals(7)...))
			w.send(blockRecord(t, "gw", 1, 0, 9, 7))
			bad := c.record(t)
			w.sendAs(bad)
			r, _ := w.start(w.config())
			await.True(w, "everything", w.caughtUp)
			await.True(w, "the quarantine", func() bool { return r.Stats().Quarantined[c.reason] == 1 })
			w.exactlyOnce("gw", 10)
			if got := w.completeness("gw"); got.Received != 10 || got.Missing != 0 || got.Conflicts != 0 {
				t.Errorf("%+v", got)
			}
			if series, err := w.store.Series(t.Context()); err != nil || len(series) != 7 {
				t.Errorf("%d series, %v", len(series), err)
			}
			list, err := w.store.Quarantined(t.Context(), 10)
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			if q := list[0]; q.Reason != c.reason || q.Topic != bad.Topic || q.Offset != bad.Offset || q.Detail == "" {
				t.Errorf("%+v", q)
			}
			if counts := w.refused(); len(counts) != 1 || counts[c.about+" "+string(c.reason)] != 1 {
				t.Errorf("counted: %v", counts)
			}
			// The same numbers, rightly signed, are still new.
			w.send(block(t))
			await.True(w, "the good block", func() bool { return r.Stats().Samples == 20 })
		})
	}
}

// A refused record doesn't cost the database more than its place and a little of it.
func TestLittleIsKeptOfRefusedRecords(t *testing.T) {
	w := newWorld(t)
	s := sessionOf(t, w, w.config())
	r := without(payloadRecord(0, 10, make([]byte, 900<<10)), "key_id", "signature")
	if err := s.take(t.Context(), []*kgo.Record{r}); err != nil {
		t.Fatal(err)
	}
	if q := s.batch.quarantined; len(q) != 1 || cap(q[0].Payload) > 2*store.MaxRefusedBytes {
		t.Errorf("%d records are held", len(q))
	}
}

func TestRevocationTakesEffectWhileRunning(t *testing.T) {
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(7)...))
	r, _ := w.start(w.config())
	next := uint64(0)
	send := func() {
		w.send(blockRecord(t, "gw", 1, next, next+9, 7))
		next += 10
		await.True(w, "the block", func() bool {
			st := r.Stats()
			return st.Samples+10*st.Quarantined[store.RevokedKey] == next
		})
	}
	send()
	w.revoke("gw", "gw")
	await.True(w, "the revocation to take effect", func() bool { send(); return r.Stats().Quarantined[store.RevokedKey] > 0 })
	stored := r.Stats().Samples
	send()
	if r.Stats().Samples != stored {
		t.Error("a revoked key's block is stored after another was refused")
	}
	w.exactlyOnce("gw", stored)
}

// A backlog that the old key signed is followed by records of the new one, which
// nobody has enrolled. Then the old key is revoked.
func TestANewKeyIsIntroducedByTheOldOne(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			w := newWorld(t)
			w.send(birthRecord(t, "gw", signals(7)...))
			r, stop := w.start(w.config())
			introduction := record.Introduce(identitytest.Key("gw"), "gw", identitytest.Public(identitytest.Key("new")))
			blockOf := func(first uint64) *kgo.Record { return blockRecord(t, "gw", 1, first, first+9, 7) }
			w.send(blockOf(0))
			w.send(identitytest.SignWith(identitytest.Key("new"), blockOf(10), introduction))
			w.send(blockOf(20))
			await.True(w, "both keys' blocks", func() bool { return r.Stats().Samples == 30 })
			if restart {
				stop()
				r, _ = w.start(w.config())
			}
			w.revoke("gw", "gw")
			w.send(identitytest.SignWith(identitytest.Key("new"), blockOf(30)))
			await.True(w, "a block of the new key alone", func() bool { return len(w.stored("gw")) == 40 })
			w.exactlyOnce("gw", 40)
			keys, err := w.store.GatewayKeys(t.Context())
			if err != nil || len(keys) != 2 || keys[1].IntroducedBy != keys[0].ID() || keys[1].AddedBy != "gateway gw" {
				t.Errorf("%+v, %v", keys, err)
			}
			if counts := w.refused(); len(counts) != 0 {
				t.Errorf("refused: %v", counts)
			}
		})
	}
}

// A birth may be the first that a new key has signed.
func TestABirthIntroducesTheNewKey(t *testing.T) {
	w := newWorld(t)
	introduction := record.Introduce(identitytest.Key("gw"), "gw", identitytest.Public(identitytest.Key("new")))
	w.send(identitytest.SignWith(identitytest.Key("new"), birthRecord(t, "gw", signals(7)...), introduction))
	w.send(identitytest.SignWith(identitytest.Key("new"), blockRecord(t, "gw", 1, 0, 9, 7), introduction))
	r, _ := w.start(w.config())
	await.True(w, "the block", func() bool { return r.Stats().Samples == 10 })
	w.exactlyOnce("gw", 10)
}

// A birth that stands under another's key would replace that one when the log is
// compacted.
func TestABirthStandsUnderItsOwnKey(t *testing.T) {
	w := newWorld(t)
	b := birthRecord(t, "gw", signals(7)...)
	b.Key = []byte("gw/000000000000abcd/9/0")
	w.send(identitytest.Sign(b))
	r, _ := w.start(w.config())
	await.True(w, "the quarantine", func() bool { return r.Stats().Quarantined[store.CorruptBirth] == 1 })
}
