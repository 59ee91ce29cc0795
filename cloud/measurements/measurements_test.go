package measurements

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

var topics = record.TopicsOf("")

// plant is a store with the signals a and b of one meter, and a broker.
type plant struct {
	*testing.T
	store  *store.Store
	broker []kgo.Opt
	places map[telemetry.SignalID]store.Place
	log    logged
	logger *slog.Logger
	next   int64 // value
}

// logged is text that several write at once.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func newPlant(t *testing.T) *plant {
	s := storetest.Open(t)
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics.Measurements()), kfake.SeedTopics(1, topics.MeasurementsCursor()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	p := &plant{T: t, store: s, broker: []kgo.Opt{kgo.SeedBrokers(broker.ListenAddrs()...)}}
	p.logger = slog.New(slog.NewTextHandler(&p.log, nil))
	birth := record.Birth{Gateway: "gw", Site: "north", Zone: "z", Table: "000000000000000a", Version: 1, Parts: 1, Signals: []telemetry.Signal{
		{ID: 1, Device: "meter", Name: "a", Unit: "V", Asset: "feeder-1", Kind: telemetry.Gauge}, {ID: 2, Device: "meter", Name: "b", Unit: "1", Kind: telemetry.State},
	}}
	p.write(func(tx *store.Tx) error { return tx.SaveBirth(birth) })
	if p.places, err = s.SignalTable(t.Context(), "gw", 0xa); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plant) write(do func(*store.Tx) error) {
	p.Helper()
	if err := p.store.Write(p.Context(), do); err != nil {
		p.Error(err)
	}
}

var noon = telemetry.MicrosOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))

// keep stores a chunk of so many samples of a signal, each with the next value.
func (p *plant) keep(signal telemetry.SignalID, samples int) {
	p.Helper()
	var enc telemetry.Encoder
	list := make([]telemetry.Sample, samples)
	for i := range list {
		p.next++
		list[i] = telemetry.Sample{Signal: p.places[signal].Series, Time: noon + telemetry.Micros(i), Value: telemetry.IntValue(p.next)}
	}
	block, err := enc.AppendBlock(nil, telemetry.TableRef{}, list)
	if err != nil {
		p.Error(err)
	}
	p.write(func(tx *store.Tx) error {
		return tx.AddChunk(store.Chunk{Bundle: p.places[signal].Bundle, Minute: store.MinuteOf(noon), First: noon, Last: list[samples-1].Time, Samples: samples, Block: block})
	})
}

// run starts a Runner.
func (p *plant) run(signals ...store.Choice) (r *Runner, stop func()) {
	ctx, cancel := context.WithCancel(p.Context())
	r, err := New(p.Context(), Config{Log: p.broker, Topics: topics, Store: p.store, Logger: p.logger, Signals: signals})
	if err != nil {
		p.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	return r, func() { cancel(); running.Wait() }
}

// current waits until a Runner has written all that is stored.
func (p *plant) current(r *Runner) {
	p.Helper()
	for now, deadline := time.Now(), time.Now().Add(time.Minute); !r.Stats().Through.After(now); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.Fatalf("it doesn't get there: %+v\n%s", r.Stats(), p.log.String())
		}
	}
}

type measurement struct {
	Time, Gateway, Site, Zone, Device, Asset, Signal, Unit, Kind string
	Value                                                        *float64
	Quality                                                      string
}

// read is what consumers get, once there are so many.
func (p *plant) read(n int) (list []measurement) {
	p.Helper()
	client, err := kgo.NewClient(append(p.broker, kgo.ConsumeTopics(topics.Measurements()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		p.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(p.Context(), time.Minute)
	defer cancel()
	for quiet := 0; len(list) < n || quiet < 3; quiet++ { // and a little longer: there may be too many
		polling, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		fetches := client.PollFetches(polling)
		stop()
		for r := range fetches.RecordsAll() {
			var m measurement
			if err := json.Unmarshal(r.Value, &m); err != nil {
				p.Fatalf("%s: %v", r.Value, err)
			}
			list = append(list, m)
			quiet = 0
		}
		if ctx.Err() != nil {
			p.Fatalf("%d of %d measurements", len(list), n)
		}
	}
	return list
}

func TestWhatIsStoredIsWritten(t *testing.T) {
	p := newPlant(t)
	p.keep(1, 1) // before
	p.next = 0
	r, stop := p.run()
	defer stop()
	p.keep(1, 2)
	p.keep(2, 1)
	p.current(r)
	list := p.read(3)
	var texts []string
	for _, m := range list {
		texts = append(texts, fmt.Sprint(m.Time, m.Gateway, m.Site, m.Zone, m.Device, m.Asset, m.Signal, m.Unit, m.Kind, *m.Value, m.Quality))
	}
	text := strings.Join(texts, "\n")
	for _, want := range []string{
		"2026-03-01T12:00:00.000000Zgwnorthzmeterfeeder-1aVgauge1good",
		"2026-03-01T12:00:00.000001Zgwnorthzmeterfeeder-1aVgauge2good",
		"2026-03-01T12:00:00.000000Zgwnorthzmeterb1state3good",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s isn't in\n%s", want, text)
		}
	}
	if s := r.Stats(); len(list) != 3 || s.Records != 3 || s.Transactions == 0 {
		t.Errorf("%d measurements, %+v", len(list), s)
	}
}

func TestOnlyWhatIsSelectedIsWritten(t *testing.T) {
	p := newPlant(t)
	r, stop := p.run(store.Choice{Gateway: []string{"x*"}}, store.Choice{Gateway: []string{"g*"}, Name: []string{"b"}})
	defer stop()
	p.current(r)
	p.keep(1, 5)
	p.keep(2, 1)
	p.keep(1, 5)
	p.current(r)
	if list := p.read(1); len(list) != 1 || list[0].Signal != "b" {
		t.Errorf("%+v", list)
	}
}

// Processes come and go at any moment, some beside others: each sample is read once.
func TestExactlyOnce(t *testing.T) {
	p := newPlant(t)
	r, stop := p.run()
	p.current(r)
	stop()
	random := rand.New(rand.NewPCG(7, 0))
	var storing sync.WaitGroup
	storing.Go(func() {
		for range 80 {
			p.keep(1, 1+random.IntN(300))
			time.Sleep(time.Millisecond)
		}
	})
	pauses := rand.New(rand.NewPCG(8, 0))
	for range 8 {
		_, first := p.run()
		time.Sleep(time.Duration(pauses.IntN(120)) * time.Millisecond)
		if pauses.IntN(2) == 0 {
			_, second := p.run()
			time.Sleep(time.Duration(pauses.IntN(60)) * time.Millisecond)
			second()
		}
		first()
	}
	storing.Wait()
	r, stop = p.run()
	defer stop()
	p.current(r)
	read := map[float64]int{}
	for _, m := range p.read(int(p.next)) {
		read[*m.Value]++
	}
	for v := range p.next {
		if n := read[float64(v+1)]; n != 1 {
			t.Errorf("%d was read %d times", v+1, n)
		}
	}
}

// A cursor of another database, or of a later state of this one, means nothing.
func TestAnotherDatabase(t *testing.T) {
	p := newPlant(t)
	r, stop := p.run()
	p.keep(1, 1)
	p.current(r)
	stop()
	for i, change := range []string{
		`DELETE FROM consumer_offset WHERE consumer = 'measurements'`, // as restoring a backup does
		`DELETE FROM chunk`,
	} {
		p.keep(1, 1) // while nobody writes
		p.write(func(tx *store.Tx) error {
			_, err := tx.Exec(change)
			return err
		})
		p.log.Reset()
		r, stop = p.run()
		p.current(r)
		p.keep(2, 1)
		p.current(r)
		stop()
		if !strings.Contains(p.log.String(), "isn't the one") {
			t.Errorf("%d: %s", i, p.log.String())
		}
	}
	var signals []string
	for _, m := range p.read(3) {
		signals = append(signals, m.Signal)
	}
	slices.Sort(signals)
	if !slices.Equal(signals, []string{"a", "b", "b"}) {
		t.Errorf("%v", signals)
	}
}

func TestForget(t *testing.T) {
	p := newPlant(t)
	for range 2 {
		if _, err := p.store.Follow(t.Context(), store.Chunks, follower); err != nil {
			t.Fatal(err)
		}
		if err := Forget(t.Context(), p.store); err != nil {
			t.Fatal(err)
		}
	}
	if offsets, err := p.store.Offsets(t.Context(), follower); err != nil || len(offsets) > 0 {
		t.Error(offsets, err)
	}
}

func TestJSON(t *testing.T) {
	of := sourceOf(store.Sourced{Site: "n\"orth", Zone: "z", Series: store.Series{Gateway: "gw", Device: "d/1", Name: "PhV.phsA", Unit: "V", Asset: "f", Kind: telemetry.Gauge, States: telemetry.States{2: "running", 3: strings.Repeat("x", 257)}}})
	const about = `{"time":"1970-01-01T00:00:01.000000Z","gateway":"gw","site":"n\"orth","zone":"z","device":"d/1","asset":"f","signal":"PhV.phsA","unit":"V","kind":"gauge",`
	for _, c := range []struct {
		value   telemetry.Value
		quality telemetry.Quality
		want    string
	}{
		{telemetry.FloatValue(229.9), 0, `"value":229.9,"quality":"good"}`},
		{telemetry.FloatValue(1e300), 0, `"value":1e+300,"quality":"good"}`},
		{telemetry.IntValue(-1 << 63), 0, `"value":-9223372036854775808,"quality":"good"}`},
		{telemetry.UintValue(1<<64 - 1), 0, `"value":18446744073709551615,"quality":"good"}`},
		{telemetry.BoolValue(true), 0, `"value":1,"quality":"good"}`},
		{telemetry.IntValue(2), 0, `"value":2,"state":"running","quality":"good"}`},
		{telemetry.IntValue(3), 0, `"value":3,"quality":"good"}`},
		{telemetry.TextValue("<\n"), 0, `"value":null,"text":"\u003c\n","quality":"good"}`},
		{telemetry.Value{}, telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout), `"value":null,"quality":"bad","reason":"timeout"}`},
	} {
		got := string(of.append(nil, telemetry.Sample{Time: 1e6, Value: c.value, Quality: c.quality}))
		if got != about+c.want || !json.Valid([]byte(got)) {
			t.Errorf("%s, expected %s", got, about+c.want)
		}
	}
}

func TestTimesAreOnesThatCanBeWritten(t *testing.T) {
	of := sourceOf(store.Sourced{})
	for at, want := range map[telemetry.Micros]string{
		math.MinInt64: "1970-01-01T00:00:00.000000Z",
		-1:            "1970-01-01T00:00:00.000000Z",
		math.MaxInt64: "9999-12-31T23:59:59.999999Z",
	} {
		if got := string(of.append(nil, telemetry.Sample{Time: at})); !strings.HasPrefix(got, `{"time":"`+want+`"`) {
			t.Errorf("%d: %s", at, got)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	of := sourceOf(store.Sourced{Series: store.Series{Gateway: "north-gw1", Device: "meter-17", Name: "PhV.phsA", Unit: "V", Asset: "feeder-1", Kind: telemetry.Gauge}})
	var text []byte
	b.ReportAllocs()
	for i := range b.N {
		text = of.append(text[:0], telemetry.Sample{Time: noon + telemetry.Micros(i), Value: telemetry.FloatValue(229.9)})
	}
	b.SetBytes(int64(len(text)))
}
