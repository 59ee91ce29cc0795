package rekey

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

var topics = record.TopicsOf("")

// Two substations. Feeder f1 leads to a local station, ls.
const towns = `
substations: [{id: north}, {id: south}, {id: ls}]
sources: [{id: in1, node: bar1}, {id: in2, node: bar2}]
nodes: [{id: bar1, type: busbar, substation: north}, {id: bar2, type: busbar, substation: south}, {id: hall, substation: ls}]
switches:
  - {id: b1, from: bar1, to: a1, type: breaker, substation: north}
  - {id: b2, from: bar2, to: a2, type: breaker, substation: south}
  - {id: tie, from: a1, to: a2, type: load-switch, normally_open: true}
feeders: [{id: f1, head: b1, substation: north}, {id: f2, head: b2}]
lines: [{id: l1, from: a1, to: hall}]
transformers: [{id: t1, from: hall, to: low, high_voltage: 20 kV, low_voltage: 400 V, rated_power: 400 kVA, substation: ls}]
service_points: [{id: p1, node: low, customers: 10}, {id: p2, node: a2, customers: 10}]
`

type office struct {
	*testing.T
	store  *store.Store
	broker []kgo.Opt
}

func newOffice(t *testing.T) *office {
	o := &office{T: t, store: storetest.Open(t)}
	o.adopt(towns)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics.Evidence()), kfake.SeedTopics(1, topics.EvidenceCursor()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	o.broker = []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}
	return o
}

func (o *office) adopt(model string) {
	o.Helper()
	m, findings := gridfile.ReadYAML("towns.yaml", []byte(model))
	if _, err := (network.Import{Model: m, Read: findings, By: "ana", Now: time.Now()}).Save(o.Context(), o.store); err != nil {
		o.Fatal(err, findings, m.Check(0))
	}
}

func (o *office) write(do func(*store.Tx) error) {
	o.Helper()
	if err := o.store.Write(o.Context(), do); err != nil {
		o.Error(err)
	}
}

const taken = 1_780_000_000_000_000 // 2026-05-28

// note keeps evidence; take has the engine have taken what there is.
func (o *office) note(list ...evidence.Observation) {
	o.Helper()
	o.write(func(t *store.Tx) error {
		for _, v := range list {
			if v.Arrival == 0 {
				v.Arrival = taken - 1
			}
			if err := evidence.Note(t, v); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o *office) take() {
	o.Helper()
	o.write(func(t *store.Tx) error { return evidence.MarkTaken(t, 0, 1<<60, taken) })
}

func (o *office) run() (r *Runner, stop func()) {
	o.Helper()
	ctx, cancel := context.WithCancel(o.Context())
	r, err := New(o.Context(), Config{Log: o.broker, Topics: topics, Store: o.store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		o.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	return r, func() { cancel(); running.Wait() }
}

// current waits until all that was taken is written.
func (o *office) current(r *Runner) {
	o.Helper()
	now := time.Now()
	await.True(o.T, "all is written", func() bool { return r.Stats().Through.After(now) })
}

type written struct {
	message
	key       string
	partition int32
	value     string
}

// read is what others get that read what is committed.
func (o *office) read() (list []written) {
	o.Helper()
	client, err := kgo.NewClient(append(o.broker, kgo.ConsumeTopics(topics.Evidence()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond))...)
	if err != nil {
		o.Fatal(err)
	}
	defer client.Close()
	for quiet := 0; quiet < 3; quiet++ {
		polling, stop := context.WithTimeout(o.Context(), 200*time.Millisecond)
		fetches := client.PollFetches(polling)
		stop()
		for r := range fetches.RecordsAll() {
			quiet = 0
			w := written{key: string(r.Key), partition: r.Partition, value: string(r.Value)}
			if err := json.Unmarshal(r.Value, &w.message); err != nil {
				o.Fatalf("%s: %v", r.Value, err)
			}
			list = append(list, w)
		}
	}
	return list
}

func of(kind outage.Kind, asset string) evidence.Observation {
	return evidence.Observation{Evidence: outage.Evidence{Kind: kind, Asset: asset, Gateway: "gw"}}
}

func TestEvidenceIsKeyedBySubstation(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.note(of(outage.LastGasp, "p1")) // before
	o.take()
	r, stop := o.run()
	defer stop()
	o.current(r)
	o.write(func(tx *store.Tx) error {
		return tx.SavePresence("gw2", telemetry.Presence{Every: 60_000_000, Site: "south"})
	})
	open := true
	position := of(outage.Position, "")
	position.Switch, position.Open, position.By, position.Comment = "tie", &open, "maria", "key at the gate"
	mains := of(outage.MainsFail, "")
	mains.Gateway = "gw2"
	call := of(outage.Call, "p2")
	call.By, call.Comment = "telemetry", ""
	denied := of(outage.Deny, "")
	denied.Incident, denied.By, denied.Gateway = "o-1", "maria", ""
	volts := of(outage.Voltage, "t1")
	volts.Levels, volts.Alarm, volts.Rule, volts.Device, volts.Source = &outage.Levels{100, 0, 99}, "a-1", "phase-loss", "m-1", taken-2_000_000
	o.note(of(outage.LastGasp, "p1"), volts, of(outage.Timeout, "l1"), position, call, mains, of(outage.Gateway, "f2"), of(outage.Timeout, "elsewhere"), of(outage.GatewayGone, ""), denied, of(outage.Gateway, "ls"))
	o.write(func(tx *store.Tx) error { return evidence.NotePlan(tx, outage.Plan{ID: "p"}, "maria", taken) })
	o.write(func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, found, over, told, data) VALUES ('o-1', 'probable', '', 'f2', 'b2', '', 1, 0, 0, '{}')`)
		return err
	})
	o.current(r)
	if n := r.Stats().Records; n > 0 {
		t.Fatalf("%d are written before they are taken", n)
	}
	o.take()
	o.current(r)
	var texts []string
	partitions := map[string]int32{}
	last := int64(0)
	list := o.read()
	slices.SortFunc(list, func(a, b written) int { return int(a.Number - b.Number) })
	for _, w := range list {
		texts = append(texts, fmt.Sprintf("%s of %q in %q by %q", w.Kind, w.Asset, w.Feeder, w.key))
		if p, has := partitions[w.key]; has && p != w.partition {
			t.Errorf("%q is in two partitions", w.key)
		}
		partitions[w.key] = w.partition
		if w.Number <= last || w.Version != 1 || w.Network != 1 || w.key != w.Substation {
			t.Errorf("%s after %d", w.value, last)
		}
		last = w.Number
		if strings.Contains(w.value, "maria") || strings.Contains(w.value, "gate\"") {
			t.Errorf("it says who has said what: %s", w.value)
		}
	}
	want := []string{
		`last-gasp of "p1" in "f1" by "north"`, `voltage of "t1" in "f1" by "north"`, `timeout of "l1" in "f1" by "north"`, `position of "tie" in "f1" by "north"`,
		`call of "p2" in "f2" by "south"`, `mains-fail of "" in "" by "south"`, `gateway of "f2" in "f2" by "south"`, `timeout of "elsewhere" in "" by ""`,
		`gateway-gone of "" in "" by ""`, `deny of "" in "f2" by "south"`, `gateway of "ls" in "f1" by "north"`,
	}
	if !slices.Equal(texts, want) {
		t.Errorf("%s\nexpected\n%s", strings.Join(texts, "\n"), strings.Join(want, "\n"))
	}
	const first = `"kind":"voltage","substation":"north","feeder":"f1","network":1,"asset":"t1","gateway":"gw","device":"m-1","alarm":"a-1","rule":"phase-loss",` +
		`"time":"2026-05-28T20:26:38.000000Z","arrived":"2026-05-28T20:26:39.999999Z","taken":"2026-05-28T20:26:40.000000Z","levels":[100,0,99]}`
	if !strings.HasSuffix(list[1].value, first) || !list[3].Person || list[4].Person {
		t.Errorf("%s, expected %s", list[1].value, first)
	}
}

// The key is that of the network as it stands: what comes after another version is keyed by it.
func TestANetworkThatChanges(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	r, stop := o.run()
	defer stop()
	o.note(of(outage.LastGasp, "p2"))
	o.take()
	o.current(r)
	o.adopt(strings.Replace(towns, "p2, node: a2", "p2, node: low", 1))
	o.note(of(outage.LastGasp, "p2"))
	o.take()
	o.current(r)
	keys := map[int64]string{}
	for _, w := range o.read() {
		keys[w.Network] = w.key
	}
	if keys[1] != "south" || keys[2] != "north" {
		t.Errorf("%v", keys)
	}
}

// Processes come and go at any moment, some beside others: each piece is read once.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	r, stop := o.run()
	o.current(r)
	stop()
	const pieces = 400
	var noting sync.WaitGroup
	noting.Go(func() {
		for n := range pieces {
			v := of(outage.Timeout, []string{"p1", "p2", "nowhere"}[n%3])
			v.Device = fmt.Sprint(n)
			o.note(v)
			if n%7 == 0 {
				o.take()
			}
		}
		o.take()
	})
	random := rand.New(rand.NewPCG(5, 0))
	for range 8 {
		_, first := o.run()
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		if random.IntN(2) == 0 {
			_, second := o.run()
			time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
			second()
		}
		first()
	}
	noting.Wait()
	r, stop = o.run()
	defer stop()
	o.current(r)
	read := map[string]int{}
	last := map[string]int64{}
	for _, w := range o.read() {
		read[w.Device]++
		if w.Number <= last[w.key] {
			t.Errorf("%d of %q comes after %d", w.Number, w.key, last[w.key])
		}
		last[w.key] = w.Number
	}
	for n := range pieces {
		if times := read[fmt.Sprint(n)]; times != 1 {
			t.Errorf("%d is read %d times", n, times)
		}
	}
}

// What isn't written yet is kept, however old it is.
func TestWhatWaitsIsKept(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if _, err := New(t.Context(), Config{Log: o.broker, Topics: topics, Store: o.store}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		o.note(of(outage.LastGasp, "p1"))
	}
	o.take()
	rows := func() (n int) {
		o.write(func(tx *store.Tx) error {
			if err := evidence.Forget(tx, taken+72*3600e6); err != nil {
				return err
			}
			return tx.QueryRow(`SELECT COUNT(*) FROM outage_evidence WHERE kind = 'last-gasp'`, nil, &n)
		})
		return n
	}
	if n := rows(); n != 2 {
		t.Errorf("%d of 2 pieces are kept", n)
	}
	for range 2 {
		if err := Forget(t.Context(), o.store); err != nil {
			t.Fatal(err)
		}
	}
	if n := rows(); n != 1 {
		t.Errorf("%d pieces are kept, though nobody waits for them", n)
	}
}
