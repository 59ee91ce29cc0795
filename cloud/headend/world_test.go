package headend

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

var quiet = slog.New(slog.DiscardHandler)

// world is a broker, a producer that plays a head-end, and a database.
type world struct {
	testing.TB
	opts     []kgo.Opt
	producer *kgo.Client
	store    *store.Store
}

func newWorld(t testing.TB) *world {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, record.TopicsOf("").Import()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := &world{TB: t, opts: []kgo.Opt{kgo.SeedBrokers(broker.ListenAddrs()...)}, store: storetest.Open(t)}
	if w.producer, err = kgo.NewClient(w.opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.producer.Close)
	return w
}

var mdm = HeadEnd{ID: "mdm", Zone: "north", Fresh: 15 * time.Minute, Expects: 24 * time.Hour}

// start takes until stop is called or the test ends.
func (w *world) start(headends ...HeadEnd) (r *Runner, stop func()) {
	if len(headends) == 0 {
		headends = []HeadEnd{mdm}
	}
	r = New(Config{Log: w.opts, Topics: record.TopicsOf(""), Store: w.store, HeadEnds: headends, Logger: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	stop = func() { cancel(); <-done }
	w.Cleanup(stop)
	return r, stop
}

// produce writes a text into the topic, as somebody does who knows nothing of imports.
func (w *world) produce(text string) {
	w.Helper()
	if err := w.producer.ProduceSync(w.Context(), &kgo.Record{Topic: record.TopicsOf("").Import(), Key: []byte("mdm"), Value: []byte(text)}).FirstErr(); err != nil {
		w.Fatal(err)
	}
}

// send imports a text as a file, and waits until it is taken.
func (w *world) send(text string, headend HeadEnd) (Sent, store.ImportRun, []string) {
	w.Helper()
	var refused []string
	i := w.importOf(text, headend)
	i.Refused = func(r *Refusal) { refused = append(refused, r.Error()) }
	sent, err := i.Send(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	run, err := i.Wait(w.Context(), sent)
	if err != nil {
		w.Fatal(err)
	}
	return sent, run, refused
}

func (w *world) importOf(text string, headend HeadEnd) Import {
	return Import{Log: w.opts, Topics: record.TopicsOf(""), Store: w.store, HeadEnd: headend, File: "reads.csv", From: bytes.NewReader([]byte(text)),
		By: "test", Refused: func(*Refusal) {}, Progress: func(string, int) {}}
}

// series is the one of a name of a meter.
func (w *world) series(meter, name string) store.Series {
	w.Helper()
	list, err := w.store.SeriesOf(w.Context(), "mdm", meter, store.Page[store.SeriesPlace]{Limit: 100})
	if err != nil {
		w.Fatal(err)
	}
	for _, s := range list {
		if s.Name == name {
			return s
		}
	}
	w.Fatalf("no %s of meter %s among %v", name, meter, list)
	return store.Series{}
}

// samples are all of a series.
func (w *world) samples(meter, name string) []telemetry.Sample {
	w.Helper()
	_, list, err := w.store.Samples(w.Context(), w.series(meter, name).ID, 0, now+ahead)
	if err != nil {
		w.Fatal(err)
	}
	return list
}

// taken waits until so many rows were dealt with.
func (w *world) taken(r *Runner, rows int64) {
	w.Helper()
	await.Within(w, time.Minute, "rows to be taken", func() bool {
		s := r.Stats()
		return s.Fresh+s.Same+s.Corrected+s.Older+s.Aside >= rows
	})
}

func recordOf(key, value string) *kgo.Record {
	return &kgo.Record{Topic: record.TopicsOf("").Import(), Key: []byte(key), Value: []byte(value)}
}

func enrol(t testing.TB, s *store.Store, gateway string) { identitytest.Enrol(t, s, gateway) }

// importGrid makes a feeder with four service points the network in use.
func importGrid(t testing.TB, s *store.Store) {
	t.Helper()
	m, findings := gridfile.ReadYAML("town.yaml", []byte(`sources: [{id: source, node: bar}]
substations: [{id: station}]
nodes: [{id: bar, type: busbar, substation: station}]
switches: [{id: breaker, from: bar, to: head, type: breaker, substation: station}]
feeders: [{id: feeder, head: breaker}]
lines: [{id: line, from: head, to: end}]
service_points:
  - {id: point-1, node: end, customers: 1}
  - {id: point-2, node: end, customers: 1}
  - {id: point-3, node: end, customers: 1}
  - {id: point-4, node: end, customers: 1}
`))
	if _, err := (network.Import{Model: m, Read: findings, By: "test", Now: time.Now()}).Save(context.Background(), s); err != nil {
		t.Fatal(err)
	}
}
