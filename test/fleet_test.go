package test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/gateway/forward"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// fleet writes to a log what so many gateways write: signed blocks by the options of
// their lane of telemetry, and the signal tables before. Each has meters of 50 voltages.
type fleet struct {
	testing.TB
	client   *kgo.Client
	topics   record.Topics
	gateways int
	signals  int // of each gateway
}

const (
	fleetTable = 0xf1ee7
	fleetEpoch = 1
)

func newFleet(t testing.TB, brokers []string, prefix string, gateways, signals int) *fleet {
	t.Helper()
	link := forward.NewLink(forward.Telemetry, func(telemetry.Link, time.Time) error { return nil }, slog.New(slog.DiscardHandler))
	client, err := kgo.NewClient(append(forward.ClientOptions(link), kgo.SeedBrokers(brokers...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &fleet{t, client, record.TopicsOf(prefix), gateways, signals}
}

func (f *fleet) name(g int) string { return fmt.Sprintf("fleet-%03d", g) }

// enrol lets all of them write.
func (f *fleet) enrol(database store.Config) {
	f.Helper()
	s := openStore(f, database)
	defer s.Close()
	for g := range f.gateways {
		identitytest.Enrol(f, s, f.name(g))
	}
}

func openStore(t testing.TB, database store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), database)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bear sends the signal tables.
func (f *fleet) bear() {
	f.Helper()
	signals := make([]telemetry.Signal, f.signals)
	for i := range signals {
		signals[i] = telemetry.Signal{ID: telemetry.SignalID(i), Device: fmt.Sprintf("meter-%03d", i/benchValues), Name: benchName(i % benchValues), Unit: "V", Kind: telemetry.Gauge}
	}
	var births []*kgo.Record
	for g := range f.gateways {
		birth := record.Birth{Gateway: f.name(g), Site: "bench", Zone: "bench", Table: fmt.Sprintf("%016x", fleetTable), Version: 1, Signals: signals}
		for _, b := range record.SplitBirth(birth) {
			value, err := json.Marshal(b)
			if err != nil {
				f.Fatal(err)
			}
			births = append(births, identitytest.Sign(&kgo.Record{Topic: f.topics.Births(), Key: []byte(b.Key()), Value: value}))
		}
	}
	if err := f.client.ProduceSync(context.Background(), births...).FirstErr(); err != nil {
		f.Fatal(err)
	}
}

// block is the record of a gateway's next samples, the first of which has a sequence number.
func (f *fleet) block(encoder *telemetry.Encoder, topic string, g int, first uint64, samples []telemetry.Sample) *kgo.Record {
	payload, err := encoder.AppendBlock(nil, telemetry.TableRef{Table: fleetTable, Version: 1}, samples)
	if err != nil {
		f.Fatal(err)
	}
	rec := record.Record{Identity: record.Identity{Gateway: f.name(g), Epoch: fleetEpoch, Stream: record.Telemetry, First: first, Last: first + uint64(len(samples)) - 1},
		Format: record.FormatBlock, Payload: payload}
	rec.Sign(identitytest.Key(rec.Gateway))
	message := rec.Message()
	k := &kgo.Record{Topic: topic, Key: message.Key, Value: message.Value, Headers: make([]kgo.RecordHeader, len(message.Headers))}
	for i, h := range message.Headers {
		k.Headers[i] = kgo.RecordHeader(h)
	}
	return k
}

// fill has every gateway's meters read once a second from an instant on, with some ms of
// jitter and a noise of 0.2 V in steps of 0.1 V, and sends blocks of so many seconds. It
// returns how many samples that are.
func (f *fleet) fill(from time.Time, seconds, perBlock int) int {
	f.Helper()
	var filling sync.WaitGroup
	var failed sync.Once
	work := make(chan int)
	for range 2 {
		filling.Go(func() {
			var encoder telemetry.Encoder
			samples := make([]telemetry.Sample, 0, perBlock*f.signals)
			for job := range work {
				second, g := job/f.gateways*perBlock, job%f.gateways
				noise := rand.New(rand.NewPCG(uint64(g), uint64(second)))
				samples = samples[:0]
				var at telemetry.Micros
				for s := second; s < second+perBlock; s++ {
					for i := range f.signals {
						if i%benchValues == 0 {
							at = telemetry.MicrosOf(from) + telemetry.Micros(s)*1_000_000 + telemetry.Micros(noise.IntN(5000))
						}
						v := math.Round(2300+2*noise.NormFloat64()) / 10
						samples = append(samples, telemetry.Sample{Signal: telemetry.SignalID(i), Time: at, Value: telemetry.FloatValue(v)})
					}
				}
				f.client.Produce(context.Background(), f.block(&encoder, f.topics.Telemetry(), g, uint64(second*f.signals), samples), func(_ *kgo.Record, err error) {
					if err != nil {
						failed.Do(func() { f.Error(err) })
					}
				})
			}
		})
	}
	for job := range seconds / perBlock * f.gateways {
		work <- job
	}
	close(work)
	filling.Wait()
	if err := f.client.Flush(context.Background()); err != nil || f.Failed() {
		f.Fatal(err)
	}
	return seconds / perBlock * perBlock * f.signals * f.gateways
}
