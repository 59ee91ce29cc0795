package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
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
	database store.Config
	store    *store.Store
	enrolled map[string]bool
}

const partitions = 3

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldIn(t, storetest.New(t))
}

func newWorldIn(t testing.TB, database store.Config) *world {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics.Telemetry(), topics.Backfill()), kfake.SeedTopics(1, topics.Births()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := &world{TB: t, broker: broker, opts: []kgo.Opt{kgo.SeedBrokers(broker.ListenAddrs()...)}, database: database, enrolled: map[string]bool{}}
	if w.producer, err = kgo.NewClient(w.opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.producer.Close)
	if w.store, err = store.Open(context.Background(), database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	w.enrol("gw")
	return w
}

func (w *world) config() Config {
	return Config{Log: w.opts, Topics: topics, Store: w.store, FlushEvery: 10 * time.Millisecond, MaxSamples: 100}
}

// start runs an ingest until stop is called or the test ends.
func (w *world) start(cfg Config) (r *Runner, stop func()) {
	r = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	stop = func() { cancel(); <-done }
	w.Cleanup(stop)
	return r, stop
}

func (w *world) enrol(gateway string) {
	w.Helper()
	if gateway != "" && !w.enrolled[gateway] {
		identitytest.Enrol(w, w.store, gateway)
		w.enrolled[gateway] = true
	}
}

// send writes records to the log and enrols whoever wrote them.
func (w *world) send(records ...*kgo.Record) {
	w.Helper()
	for _, r := range records {
		w.enrol(identitytest.GatewayOf(r))
	}
	w.sendAs(records...)
}

// sendAs writes records to the log.
func (w *world) sendAs(records ...*kgo.Record) {
	w.Helper()
	if err := w.producer.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.Fatal(err)
	}
}

const table = 0xabcd

func signal(n int) telemetry.Signal {
	return telemetry.Signal{ID: telemetry.SignalID(n), Device: fmt.Sprintf("meter-%d", n/3), Name: fmt.Sprintf("PhV.phs%c", 'A'+n%3), Unit: "V", Kind: telemetry.Gauge}
}

func birthRecord(t testing.TB, gateway string, signals ...telemetry.Signal) *kgo.Record {
	b := record.Birth{Gateway: gateway, Site: "north", Zone: "z", Table: fmt.Sprintf("%016x", uint64(table)), Version: 1, Parts: 1, Signals: signals}
	value, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return identitytest.Sign(&kgo.Record{Topic: topics.Births(), Key: []byte(b.Key()), Value: value})
}

// sampleOf is the sample with a sequence number, which is its value. Every
// signal in turn gets one.
func sampleOf(seq uint64, signals int) telemetry.Sample {
	return telemetry.Sample{Signal: telemetry.SignalID(seq % uint64(signals)), Time: 1_700_000_000_000_000 + telemetry.Micros(seq)*400_000,
		Value: telemetry.FloatValue(float64(seq))}
}

func block(t testing.TB, samples []telemetry.Sample) []byte {
	var enc telemetry.Encoder
	payload, err := enc.AppendBlock(nil, telemetry.TableRef{Table: table, Version: 1}, samples)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// blockRecord is the record of the samples with the sequence numbers first to last.
func blockRecord(t testing.TB, gateway string, epoch record.Epoch, first, last uint64, signals int) *kgo.Record {
	var samples []telemetry.Sample
	for seq := first; seq <= last; seq++ {
		samples = append(samples, sampleOf(seq, signals))
	}
	return logRecord(record.Record{Identity: record.Identity{Gateway: gateway, Epoch: epoch, Stream: record.Telemetry, First: first, Last: last},
		Format: record.FormatBlock, Payload: block(t, samples)})
}

func logRecord(r record.Record) *kgo.Record {
	k := &kgo.Record{Topic: topics.Telemetry(), Key: []byte(r.Gateway), Value: r.Payload}
	for _, h := range r.Headers() {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	return identitytest.Sign(k)
}

// backfilled is the record as a gateway sends it that was kept from sending it at once.
func backfilled(r *kgo.Record) *kgo.Record {
	r.Topic = topics.Backfill()
	return r
}

// caughtUp reports whether everything in the log has been taken and nothing is
// parked that could be stored.
func (w *world) caughtUp() bool {
	offsets, err := w.store.Offsets(context.Background(), Consumer)
	if err != nil {
		w.Fatal(err)
	}
	for _, topic := range []string{topics.Telemetry(), topics.Backfill(), topics.Births()} {
		for _, p := range w.broker.PartitionInfos(topic) {
			if offsets[topic][p.Partition] != p.HighWatermark {
				return false
			}
		}
	}
	tables, err := w.store.ParkedTables(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	return len(tables) == 0
}

// stored is how often each value of a gateway is in the store.
func (w *world) stored(gateway string) map[uint64]int {
	w.Helper()
	list, err := w.store.Series(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	count := map[uint64]int{}
	for _, s := range list {
		if s.Gateway != gateway {
			continue
		}
		_, samples, err := w.store.Samples(context.Background(), s.ID, 0, 1<<62)
		if err != nil {
			w.Fatal(err)
		}
		for _, sample := range samples {
			v, _ := sample.Value.Float()
			count[uint64(v)]++
		}
	}
	return count
}

// exactlyOnce fails unless each sequence number from 0 to n−1 is stored once
// and nothing else is.
func (w *world) exactlyOnce(gateway string, n uint64) {
	w.Helper()
	stored := w.stored(gateway)
	for seq := range n {
		if stored[seq] != 1 {
			w.Fatalf("%s: sequence number %d is stored %d times", gateway, seq, stored[seq])
		}
	}
	if len(stored) != int(n) {
		w.Fatalf("%s: %d sequence numbers are stored, %d were sent", gateway, len(stored), n)
	}
}

func (w *world) completeness(gateway string) store.Completeness {
	w.Helper()
	list, err := w.store.Gateways(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	for _, g := range list {
		if g.ID == gateway && len(g.Sequences) == 1 {
			return g.Sequences[0]
		}
	}
	w.Fatalf("gateway %s isn't there with one sequence: %+v", gateway, list)
	return store.Completeness{}
}
