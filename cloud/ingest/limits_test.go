package ingest

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sessionOf is a session whose gateway gw has told its signals.
func sessionOf(t *testing.T, w *world, cfg Config) *session {
	t.Helper()
	s := newSession(New(cfg), map[string]map[int32]int64{})
	if err := s.take(t.Context(), []*kgo.Record{birthRecord(t, "gw", signals(3)...)}); err != nil {
		t.Fatal(err)
	}
	return s
}

// What a poll decodes to is committed on the way, not gathered.
func TestCommitsBetweenTheRecordsOfAPoll(t *testing.T) {
	w := newWorld(t)
	s := sessionOf(t, w, w.config())
	var poll []*kgo.Record
	for i := range uint64(10) {
		r := blockRecord(t, "gw", 1, i*50, i*50+49, 3)
		r.Offset = int64(i)
		poll = append(poll, r)
	}
	commits, before := 0, s.Stats().Samples
	s.committed = func() {
		if n := s.Stats().Samples; n != before+100 {
			t.Errorf("a transaction of %d samples, want 100", n-before)
		}
		before = s.Stats().Samples
		commits++
	}
	if err := s.take(t.Context(), poll); err != nil {
		t.Fatal(err)
	}
	if commits != 5 || s.batch.stats.Samples != 0 {
		t.Errorf("%d transactions, and %d samples are left", commits, s.batch.stats.Samples)
	}
	w.exactlyOnce("gw", 500)
}

// payloadRecord is the record at offset i, with the n numbers from i·n.
func payloadRecord(i, n uint64, payload []byte) *kgo.Record {
	r := logRecord(record.Record{Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry, First: i * n, Last: i*n + n - 1},
		Format: record.FormatBlock, Payload: payload})
	r.Offset = int64(i)
	return r
}

func TestHoldsFewQuarantinedPayloads(t *testing.T) {
	w := newWorld(t)
	s := sessionOf(t, w, w.config())
	garbage := make([]byte, 900<<10)
	const n = mostHeld/store.MaxQuarantinedBytes + 10
	for i := range uint64(n) {
		if err := s.take(t.Context(), []*kgo.Record{payloadRecord(i, 10, garbage)}); err != nil {
			t.Fatal(err)
		}
		if i == 0 && cap(s.batch.quarantined[0].Payload) > store.MaxQuarantinedBytes {
			t.Errorf("%d bytes are held of a record", cap(s.batch.quarantined[0].Payload))
		}
	}
	if got := s.Stats().Quarantined[store.CorruptBlock]; got == 0 || got >= n {
		t.Errorf("%d of %d are committed", got, n)
	}
}

func TestHoldsFewParkedPayloads(t *testing.T) {
	w := newWorld(t)
	s := sessionOf(t, w, w.config())
	samples := make([]telemetry.Sample, 4000)
	random := rand.NewChaCha8([32]byte{})
	for i := range samples {
		text := make([]byte, telemetry.MaxTextBytes/2)
		random.Read(text)
		samples[i] = telemetry.Sample{Signal: 99, Time: telemetry.Micros(i), Value: telemetry.TextValue(hex.EncodeToString(text))}
	}
	payload := block(t, samples)
	n := uint64(mostHeld/len(payload) + 2)
	for i := range n {
		r := payloadRecord(i, uint64(len(samples)), payload)
		if err := s.take(t.Context(), []*kgo.Record{r}); err != nil {
			t.Fatal(err)
		}
		if i == 0 && &s.batch.parked[0].Record.Payload[0] == &r.Value[0] {
			t.Error("a parked record holds on to what it was fetched with")
		}
	}
	if got := s.Stats().Parked; got == 0 || got >= n {
		t.Errorf("%d of %d are committed", got, n)
	}
}

func TestKeepsLittleMemoryBetweenTransactions(t *testing.T) {
	b := newBatch()
	for i := range int64(10) {
		*b.chunk(chunkKey{i, 0}) = make([]telemetry.Sample, mostSpare/4)
	}
	b.reset()
	room := 0
	for _, spare := range b.spare {
		room += cap(*spare)
	}
	if room != mostSpare || room != b.spareCap {
		t.Errorf("room for %d samples is kept, %d are counted", room, b.spareCap)
	}
	b.chunk(chunkKey{})
	if b.spareCap != mostSpare*3/4 {
		t.Errorf("%d are counted after one was used", b.spareCap)
	}
}

func TestABlockOverTooManyMinutesIsCorrupt(t *testing.T) {
	w := newWorld(t)
	s := sessionOf(t, w, w.config())
	for _, minutes := range []int{record.MaxMinutes + 1, record.MaxMinutes} {
		var samples []telemetry.Sample
		for i := range minutes {
			samples = append(samples, telemetry.Sample{Signal: 0, Time: telemetry.Micros(i) * 60_000_000, Value: telemetry.FloatValue(1)})
		}
		r := payloadRecord(0, uint64(minutes), block(t, samples))
		r.Offset = int64(minutes)
		if err := s.take(t.Context(), []*kgo.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	if st.Samples != record.MaxMinutes || st.Quarantined[store.CorruptBlock] != 1 {
		t.Errorf("%+v", st)
	}
	list, err := w.store.Quarantined(t.Context(), 1)
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Detail, "minutes") {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestWhatIsNotStoredShows(t *testing.T) {
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(3)...))
	bad := blockRecord(t, "gw", 1, 100, 199, 3)
	bad.Value[20] ^= 1
	identitytest.Sign(bad)
	w.send(blockRecord(t, "gw", 1, 0, 99, 3), bad, blockRecord(t, "gw", 1, 200, 299, 3))
	w.send(blockRecord(t, "other", 1, 0, 49, 3))
	r, _ := w.start(w.config())
	await.True(w, "four", func() bool { return r.Stats().Records == 4 })
	if c := w.completeness("gw"); c.Received != 200 || c.Missing != 100 || c.Parked != 0 || c.Lost != 0 {
		t.Errorf("with a record in quarantine: %+v", c)
	}
	if c := w.completeness("other"); c.Received != 0 || c.Missing != 0 || c.Parked != 50 || c.Lost != 0 {
		t.Errorf("without births: %+v", c)
	}
}

func TestStartsAgainInATopicMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.send(birthRecord(t, "gw", signals(3)...))
	for i := range uint64(5) {
		w.send(blockRecord(t, "gw", 1, i*10, i*10+9, 3))
	}
	r, stop := w.start(w.config())
	await.True(w, "five", func() bool { return r.Stats().Records == 5 })
	stop()
	admin := kadm.NewClient(w.producer)
	if _, err := admin.DeleteTopics(t.Context(), topics.Telemetry()); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), partitions, 1, nil, topics.Telemetry()); err != nil {
		t.Fatal(err)
	}
	producer, err := kgo.NewClient(w.opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	w.producer = producer
	for i := range uint64(10) {
		w.send(blockRecord(t, "gw", 2, i*10, i*10+9, 3))
	}
	r, _ = w.start(w.config())
	await.True(w, "all ten", func() bool { return r.Stats().Records == 10 })
	list, err := w.store.Quarantined(t.Context(), 10)
	if err != nil || len(list) != 1 || list[0].Reason != store.LogTruncated || list[0].Topic != topics.Telemetry() || r.Stats().Quarantined[store.LogTruncated] != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}
