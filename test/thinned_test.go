package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/completeness"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/ingest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

type uncounted struct{}

func (uncounted) Count([]telemetry.Sample, []account.Slot)   {}
func (uncounted) Discard([]telemetry.Sample, []account.Slot) {}
func (uncounted) State(bool) []byte                          { return nil }
func (uncounted) Committed()                                 {}

func (uncounted) AppendPolls(dst []byte, _ []account.Slot) []byte { return dst }

// edge is a gateway's buffer, what was committed to it, and what it declared lost.
type edge struct {
	*testing.T
	*buffer.Buffer
	dir     string
	at      telemetry.Micros
	random  *rand.Rand
	encoder telemetry.Encoder
	decoder telemetry.Decoder

	committed map[telemetry.Sample]bool
	losses    []telemetry.Loss
}

const edgeSignals = 20 // of two devices

func (e *edge) open(dir string) {
	e.Helper()
	key := identitytest.Key("gw")
	b, err := buffer.Open(buffer.Options{Dir: dir, Gateway: "gw", MaxSize: 16 << 20, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Sign: func(r *record.Record) error { r.Sign(key); return nil }})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { b.Close() })
	var definitions []buffer.Definition
	for n := range edgeSignals {
		definitions = append(definitions, buffer.Definition{Signal: telemetry.Signal{Device: string(rune('a' + n%2)), Name: string(rune('A' + n)), Unit: "V", Kind: telemetry.Gauge}})
	}
	if _, err := b.Table().Define(definitions); err != nil {
		e.Fatal(err)
	}
	e.Buffer, e.dir = b, dir
}

// commit commits a record of noise: a hundred samples of each signal.
func (e *edge) commit() {
	e.Helper()
	var samples []telemetry.Sample
	signals := e.Table().Signals()
	for n := range edgeSignals {
		for i := range telemetry.Micros(100) {
			s := telemetry.Sample{Signal: signals[n].ID, Time: e.at + i*100_000, Value: telemetry.FloatValue(math.Float64frombits(e.random.Uint64()>>12 | 1023<<52))}
			samples = append(samples, s)
			s.Signal = telemetry.SignalID(n)
			e.committed[s] = true
		}
	}
	e.at += 100 * 100_000
	block, err := e.encoder.AppendBlock(nil, e.Table().Ref(), samples)
	if err == nil {
		err = e.Telemetry.Commit([]buffer.Item{{Format: record.FormatBlock, Payload: block, Count: uint64(len(samples))}}, nil)
	}
	if err != nil {
		e.Fatal(err)
	}
}

// A gateway sends a part of its backlog and is killed before it has saved what the log
// has acknowledged. It starts again while the log is away, thins what was sent, and
// sends that: nothing that came is lost or stored twice, and the numbers say so.
func TestKilledBeforeItsMarksAreSavedAndThinned(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "busbar.telemetry", "busbar.backfill", "busbar.births"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	log := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}
	producer, err := kgo.NewClient(log...)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	e := &edge{T: t, at: 1_771_027_200_000_000, random: rand.New(rand.NewPCG(1, 2)), committed: map[telemetry.Sample]bool{}}
	e.open(filepath.Join(t.TempDir(), "buffer"))
	begin := e.at
	arrived := map[telemetry.Sample]bool{}
	names := map[telemetry.SignalID]telemetry.SignalID{}
	for n, s := range e.Table().Signals() {
		names[s.ID] = telemetry.SignalID(n)
	}
	thinned := 0
	send := func(topic string, records ...record.Record) {
		t.Helper()
		for _, r := range records {
			k := &kgo.Record{Topic: topic, Key: []byte("gw"), Value: r.Payload}
			for _, h := range r.Headers() {
				k.Headers = append(k.Headers, kgo.RecordHeader(h))
			}
			if err := producer.ProduceSync(t.Context(), k).FirstErr(); err != nil {
				t.Fatal(err)
			}
			_, samples, err := e.decoder.Block(r.Payload, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range samples {
				s.Signal = names[s.Signal]
				arrived[s] = true
			}
			if r.Format == record.FormatThinned {
				thinned++
			}
		}
	}
	birth := record.Birth{Gateway: "gw", Table: fmt.Sprintf("%016x", e.Table().Ref().Table), Version: e.Table().Ref().Version, Parts: 1, Signals: e.Table().Signals()}
	value, err := json.Marshal(birth)
	if err != nil {
		t.Fatal(err)
	}
	k := identitytest.Sign(&kgo.Record{Topic: "busbar.births", Key: []byte(birth.Key()), Value: value})
	if err := producer.ProduceSync(t.Context(), k).FirstErr(); err != nil {
		t.Fatal(err)
	}

	for e.Telemetry.Stats().Segments < 5 {
		e.commit()
	}
	// Two parts of the first file are sent and acknowledged.
	reader := e.Telemetry.Reader()
	entries, err := reader.Read(0, buffer.Newest, 300<<10)
	if err != nil || len(entries) < 12 {
		t.Fatal(len(entries), err)
	}
	for i, one := range entries {
		if third := len(entries) / 3; i >= third && i < 2*third {
			continue
		}
		send("busbar.telemetry", one.Record)
		if err := e.Telemetry.Acknowledge(one.Position, one.Position); err != nil {
			t.Fatal(err)
		}
	}
	// The kill: what is on disk is what another process finds.
	after := filepath.Join(t.TempDir(), "buffer")
	if err := os.CopyFS(after, os.DirFS(e.dir)); err != nil {
		t.Fatal(err)
	}
	reader.Close()
	e.open(after)
	ctx, stop := context.WithCancel(t.Context())
	writer := e.NewWriter(time.Second, func(losses []telemetry.Loss) error {
		e.losses = append(e.losses, losses...)
		return nil
	}, uncounted{})
	done := make(chan struct{})
	go func() { writer.Run(ctx); close(done) }()
	await(t, "the oldest files are thinned", time.Minute, func() bool {
		if e.Telemetry.Stats().Thinned >= 3 {
			return true
		}
		e.commit()
		return false
	})
	stop()
	<-done
	reader = e.Telemetry.Reader()
	defer reader.Close()
	for after, end := buffer.Position(0), e.Telemetry.End(); after < end; {
		entries, err := reader.Read(after, end, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, one := range entries {
			send("busbar.backfill", one.Record)
			after = one.Position
		}
	}
	if thinned == 0 || len(e.losses) == 0 {
		t.Fatal("nothing was thinned")
	}

	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "cloud.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	identitytest.Enrol(t, db, "gw")
	runner := ingest.New(ingest.Config{Log: log, Topics: record.TopicsOf(""), Store: db})
	ctx, stop = context.WithCancel(t.Context())
	defer stop()
	go runner.Run(ctx)
	series := func() []store.Series {
		list, err := db.Series(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	await(t, "everything is taken", time.Minute, func() bool { return runner.Stats().Samples >= uint64(len(arrived)) })
	await(t, "the log is read", time.Minute, func() bool { s := runner.Stats(); return s.Lag == 0 && s.Backlog == 0 })
	stored, estimates := map[telemetry.Sample]int{}, 0
	for _, one := range series() {
		_, samples, err := db.Samples(t.Context(), one.ID, 0, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range samples {
			s.Signal = telemetry.SignalID(one.Name[0] - 'A')
			stored[s]++
			if s.Quality.Has(telemetry.Estimated) {
				estimates++
			}
		}
	}
	for s, n := range stored {
		if n != 1 || !arrived[s] {
			t.Fatalf("%v is stored %d times, arrived %v", s, n, arrived[s])
		}
	}
	for s := range arrived {
		if stored[s] == 0 {
			t.Fatalf("%v has arrived and isn't stored", s)
		}
	}
	st := runner.Stats()
	if st.Merged == 0 || len(st.Quarantined) > 0 {
		t.Errorf("%+v", st)
	}

	// What the gateway says it has committed and given up, and what is stored, agree.
	quarters := int((e.at - begin) / telemetry.Quarter)
	delivered := map[string]map[telemetry.Micros]uint64{"a": {}, "b": {}}
	for s := range e.committed {
		delivered[string(rune('a'+s.Signal%2))][telemetry.QuarterOf(s.Time)]++
	}
	err = db.Write(t.Context(), func(tx *store.Tx) error {
		for device, counts := range delivered {
			for from, n := range counts {
				if err := tx.SaveAccount("gw", telemetry.Account{Epoch: "0000000000000001", From: from, To: from + telemetry.Quarter,
					Devices: []telemetry.DeviceAccount{{Device: device, Scheduled: n, Read: n, Delivered: n}}}); err != nil {
					return err
				}
			}
		}
		for _, loss := range e.losses {
			if err := tx.DeclareLoss("gw", loss, 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	report, err := completeness.Read(t.Context(), db, completeness.Query{From: begin, To: telemetry.QuarterOf(e.at) + telemetry.Quarter}, e.at+24*3600*1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	total := report.Total
	measured := uint64(len(stored) - estimates)
	if total.Expected != uint64(len(e.committed)) || total.OnTheWay != 0 || total.States[completeness.Inconsistent] > 0 ||
		total.Received < measured || total.Received > uint64(len(stored)) || total.Lost != total.Expected-total.Received {
		t.Errorf("%+v, stored are %d measured and %d estimated samples of %d", total, measured, estimates, len(e.committed))
	}
	t.Logf("%d committed, %d stored, of these %d estimated; %d records were merged, %d samples of them were there; %d quarter-hours: received %d, lost %d",
		len(e.committed), len(stored), estimates, st.Merged, st.LeftOut, quarters, total.Received, total.Lost)
}
