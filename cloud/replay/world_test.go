package replay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/ingest"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridtest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/kafka"
)

func TestMain(m *testing.M) {
	code := storetest.Main(m)
	kafka.StopShared()
	os.Exit(code)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// world is the embedded log, gateways that write to it, and the cloud's store.
type world struct {
	testing.TB
	opts     []kgo.Opt
	topics   record.Topics
	producer *kgo.Client
	live     *store.Store
	next     map[string]map[record.Stream]uint64
	sent     map[string]int64 // records, by topic
	waiting  []writing
	records  []*kgo.Record
}

// writing is what a gateway writes at some time.
type writing struct {
	after time.Duration
	do    func()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	embedded, err := log.StartEmbedded(t.Context(), log.EmbeddedOptions{Listen: l.Addr().String(), Dir: t.TempDir(), Topics: log.Topics(record.TopicsOf(""), 2, 1, 0), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Close)
	return newWorldAt(t, []kgo.Opt{kgo.SeedBrokers(embedded.Addr())}, record.TopicsOf(""))
}

// newWorldOnKafka has a cluster of three brokers in place of the embedded log.
func newWorldOnKafka(t testing.TB) *world {
	t.Helper()
	cluster, prefix := kafka.Shared(t)
	return newWorldAt(t, []kgo.Opt{kgo.SeedBrokers(cluster.Brokers()...)}, record.TopicsOf(prefix))
}

func newWorldAt(t testing.TB, opts []kgo.Opt, topics record.Topics) *world {
	t.Helper()
	w := &world{TB: t, opts: opts, topics: topics, next: map[string]map[record.Stream]uint64{}, sent: map[string]int64{}}
	var err error
	if w.producer, err = kgo.NewClient(append(w.opts[:len(w.opts):len(w.opts)], kgo.ProducerLinger(0))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.producer.Close)
	w.live = storetest.Open(t)
	for _, gateway := range []string{"gw-a", "gw-b"} {
		identitytest.Enrol(t, w.live, gateway)
		w.next[gateway] = map[record.Stream]uint64{}
	}
	if _, err := (network.Import{Model: *gridtest.Radial(10, 1), Now: base}).Save(t.Context(), w.live); err != nil {
		t.Fatal(err)
	}
	return w
}

// base is when the records begin to be written: a whole hour, not so long ago that a
// broker would delete them.
var base = time.Now().UTC().Truncate(24 * time.Hour).Add(-18 * time.Hour)

func at(after time.Duration) telemetry.Micros { return telemetry.MicrosOf(base.Add(after)) }

// write writes a record as if it was written then.
func (w *world) write(r *kgo.Record, after time.Duration) {
	w.Helper()
	r.Timestamp = base.Add(after)
	w.records = append(w.records, identitytest.Sign(r))
	w.sent[r.Topic]++
}

// later has something written in the order of the times.
func (w *world) later(after time.Duration, do func()) {
	w.waiting = append(w.waiting, writing{after, do})
}

func (w *world) writeAll() {
	w.Helper()
	slices.SortStableFunc(w.waiting, func(a, b writing) int { return cmp.Compare(a.after, b.after) })
	for _, each := range w.waiting {
		each.do()
	}
	if err := w.producer.ProduceSync(context.Background(), w.records...).FirstErr(); err != nil {
		w.Fatal(err)
	}
	w.waiting, w.records = nil, nil
}

func (w *world) record(topic, gateway string, stream record.Stream, format string, n uint64, payload []byte) *kgo.Record {
	first := w.next[gateway][stream]
	w.next[gateway][stream] += n
	r := record.Record{Identity: record.Identity{Gateway: gateway, Epoch: 7, Stream: stream, First: first, Last: first + n - 1}, Format: format, Payload: payload}
	k := &kgo.Record{Topic: topic, Key: []byte(gateway), Value: payload}
	for _, h := range r.Headers() {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	return k
}

func (w *world) event(gateway string, after time.Duration, e telemetry.Event) {
	w.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		w.Fatal(err)
	}
	w.later(after, func() {
		w.write(w.record(w.topics.Events(), gateway, record.Events, record.FormatEvent, 1, payload), after)
	})
}

func (w *world) alarm(gateway, id string, kind telemetry.EventKind, after time.Duration) {
	w.Helper()
	v := 0.2
	w.event(gateway, after, telemetry.Event{Kind: kind, Time: at(after) - 10, Decided: at(after), Alarm: &telemetry.AlarmChange{ID: id, Rule: "interruption",
		Asset: "feeder-2", Device: "meter-0", Priority: telemetry.Critical, Summary: "Feeder 2 is dead", Inputs: []telemetry.Input{
			{Signal: 3, Name: "PhV.phsA", Device: "meter-0", Unit: "V", Value: &v, Quality: "good", Time: at(after) - 10}}}})
}

func (w *world) account(gateway string, quarter, after time.Duration, revision uint32) {
	w.Helper()
	w.event(gateway, after, telemetry.Event{Kind: telemetry.SamplesCounted, Time: at(after), Decided: at(after), Account: &telemetry.Account{
		Epoch: record.Epoch(7).String(), From: at(quarter), To: at(quarter + 15*time.Minute), Revision: revision,
		Devices: []telemetry.DeviceAccount{{Device: "meter-0", Scheduled: 900, Read: 900, Delivered: 900}}}})
}

func (w *world) birth(gateway string, after time.Duration) {
	w.Helper()
	b := record.Birth{Gateway: gateway, Site: "north", Table: "000000000000abcd", Version: 1, Parts: 1}
	for n := range 4 {
		b.Signals = append(b.Signals, telemetry.Signal{ID: telemetry.SignalID(n), Device: fmt.Sprintf("meter-%d", n/2), Name: fmt.Sprintf("PhV.phs%c", 'A'+n%2), Unit: "V", Kind: telemetry.Gauge})
	}
	value, err := json.Marshal(b)
	if err != nil {
		w.Fatal(err)
	}
	w.later(after, func() { w.write(&kgo.Record{Topic: w.topics.Births(), Key: []byte(b.Key()), Value: value}, after) })
}

// block writes a minute of samples of every signal that begins at of, each second.
func (w *world) block(topic, gateway string, of, after time.Duration) {
	w.Helper()
	var samples []telemetry.Sample
	for signal := range 4 {
		for second := range 60 {
			t := at(of) + telemetry.Micros(second)*1_000_000
			samples = append(samples, telemetry.Sample{Signal: telemetry.SignalID(signal), Time: t, Value: telemetry.FloatValue(float64(t/1_000_000%1000) + float64(signal)/10)})
		}
	}
	var enc telemetry.Encoder
	payload, err := enc.AppendBlock(nil, telemetry.TableRef{Table: 0xabcd, Version: 1}, samples)
	if err != nil {
		w.Fatal(err)
	}
	w.later(after, func() {
		w.write(w.record(topic, gateway, record.Telemetry, record.FormatBlock, uint64(len(samples)), payload), after)
	})
}

// takeIn has the cloud take what was written.
func (w *world) takeIn() {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 2)
	go func() {
		ingest.New(ingest.Config{Log: w.opts, Topics: w.topics, Store: w.live, Logger: quiet, FlushEvery: 10 * time.Millisecond}).Run(ctx)
		ended <- struct{}{}
	}()
	go func() {
		alarm.New(alarm.Config{Log: w.opts, Topics: w.topics, Store: w.live, Logger: quiet}).Run(ctx)
		ended <- struct{}{}
	}()
	defer func() { cancel(); <-ended; <-ended }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		got := map[string]int64{}
		for _, consumer := range []string{ingest.Consumer, alarm.Consumer} {
			offsets, err := w.live.Offsets(ctx, consumer)
			if err != nil {
				w.Fatal(err)
			}
			for topic, partitions := range offsets {
				for _, next := range partitions {
					got[topic] += next
				}
			}
		}
		done := true
		for topic, n := range w.sent {
			done = done && got[topic] == n
		}
		if done {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("taken is %v of %v", got, w.sent)
		}
	}
}

// pack sums up what the cloud has.
func (w *world) pack() {
	w.Helper()
	if err := (&replay{Config: Config{Shadow: w.live, Logger: quiet, Progress: func(Progress) {}}}).sumUp(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) change(query string, args ...any) {
	w.Helper()
	err := w.live.Write(w.Context(), func(t *store.Tx) error {
		res, err := t.Exec(query, args...)
		if err == nil {
			if n, _ := res.RowsAffected(); n == 0 {
				w.Errorf("%s: changes nothing", query)
			}
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

// replay replays what was written between two instants; zero stands for no bound.
func (w *world) replay(from, to time.Duration, only Analytics) *Report {
	w.Helper()
	shadow, err := store.Open(w.Context(), store.Config{Path: filepath.Join(w.TempDir(), "shadow.db")})
	if err != nil {
		w.Fatal(err)
	}
	defer shadow.Close()
	cfg := Config{Log: w.opts, Topics: w.topics, Live: w.live, Shadow: shadow, Only: only, Logger: quiet}
	if from != 0 {
		cfg.From = base.Add(from)
	}
	if to != 0 {
		cfg.To = base.Add(to)
	}
	report, err := Run(w.Context(), cfg)
	if err != nil {
		w.Fatal(err)
	}
	if state, err := shadow.GridState(w.Context()); err != nil || state.AsOf != telemetry.MicrosOf(base) {
		w.Errorf("the network isn't there: %+v %v", state, err)
	}
	return report
}

func textOf(r *Report) string {
	var b bytes.Buffer
	r.WriteText(&b)
	return b.String()
}
