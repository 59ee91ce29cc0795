package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// A scenario with a fault and a gateway without connection: what the cloud has stored of
// the fleet's meters is what they had, also what came late, and nothing of those
// without supply.
const fleetScenario = `description: A fault, and a gateway that is cut off.
lasts: 3h
start: 2026-03-01T00:00:00Z
grid: {service_points: 200, seed: 4}
faults: [{id: tree, at: 50m, asset: f1-1-line}]
steps: [{at: 20m, cut_off: f2, for: 65m}, {at: 100m, repair: tree}, {at: 101m, close: f1-breaker}]
`

func TestASimulatedFleetIsStoredAsItIs(t *testing.T) {
	dir, console, broker := t.TempDir(), freeAddress(t), freeAddress(t)
	write(t, dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog: {embedded: {listen: %q, path: log}}\nstore: {path: cloud.db}\n", console, broker))
	path := write(t, dir, "faults.yaml", fleetScenario)
	tool := func(name string, args ...string) {
		t.Helper()
		if out, errs, code := call(t, dir, name, args...); code != 0 {
			t.Fatalf("%s %v: exit code %d: %s%s", name, args, code, out, errs)
		}
	}
	tool("busbar-sim", "fleet", "keys", path, "--per-gateway", "0")
	tool("busbar-cloud", "gateway", "enrol", "--config", "cloud.yaml", "--keys", "fleet.keys")
	cloud := start(t, dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
	await(t, "the cloud runs", time.Minute, func() bool { return reachable(console) && reachable(broker) })
	tool("busbar-sim", "fleet", "run", path, "--per-gateway", "0", "--kafka", broker, "--truth", "kafka:")

	// The same grid, in this process.
	s, err := scenario.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	grid, err := live.New(s, scenario.Sinks{})
	if err != nil {
		t.Fatal(err)
	}
	grid.Quarters()
	type reading struct {
		device, signal string
		at             int64
	}
	want := map[reading]float64{}
	dead, cut := 0, 0
	for i := 1; i <= 12; i++ {
		at := grid.Start() + int64(i)*900e6
		if err := grid.Advance(at); err != nil {
			t.Fatal(err)
		}
		grid.Readings(func(p int, has *live.Point, reads, arrives bool) {
			if !arrives {
				cut++
			}
			if !reads {
				dead++
				return
			}
			id := grid.Snapshot().PointAsset(p).ID
			want[reading{id, "DmdWh", at}] = math.Floor(has.Import)
			want[reading{id, "SupWh", at}] = math.Floor(has.Export)
			for i, u := range has.Voltage {
				if grid.Snapshot().Point(p).Phases&(1<<i) != 0 {
					want[reading{id, "PhV.phs" + string(rune('A'+i)), at}] = math.Round(u*10) / 10
				}
			}
		})
	}
	if dead == 0 || cut == 0 {
		t.Fatalf("%d readings are missing and %d late, expected some", dead, cut)
	}
	await(t, "everything is stored", time.Minute, func() bool {
		return metrics(t, console)["busbar_cloud_ingest_samples_total"] >= float64(len(want))
	})
	events := fleetEvents(t, broker)
	await(t, "the events are read", time.Minute, func() bool {
		return metrics(t, console)["busbar_cloud_alarm_events_total"] >= float64(len(events))
	})
	cloud.stop()
	db := openStore(t, store.Config{Path: filepath.Join(dir, "cloud.db")})
	defer db.Close()
	list, err := db.Series(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	stored, places := 0, map[string][]telemetry.Sample{}
	for _, x := range list {
		_, samples, err := db.Samples(context.Background(), x.ID, 0, 1<<62)
		if err != nil {
			t.Fatal(err)
		}
		if x.Name == "Pos" { // of what tells of switches
			places[x.Device] = append(places[x.Device], samples...)
			continue
		}
		for _, sample := range samples {
			stored++
			got, _ := sample.Value.Float()
			if value, has := want[reading{x.Device, x.Name, int64(sample.Time)}]; !has || value != got {
				t.Fatalf("%s %s at %d: stored %v, want %v (%v)", x.Device, x.Name, sample.Time, got, value, has)
			}
		}
	}
	if stored != len(want) {
		t.Errorf("%d samples are stored, %d were read", stored, len(want))
	}
	if aside, err := db.Quarantined(context.Background(), 10); err != nil || len(aside) != 0 {
		t.Errorf("in the quarantine: %v, %v", aside, err)
	}
	var positions []float64
	for _, sample := range places["f1-relay"] {
		v, _ := sample.Value.Float()
		positions = append(positions, v)
	}
	if !slices.Equal(positions, []float64{2, 1, 2, 1, 2}) { // closed, tripped, closed again, locked out, closed by hand
		t.Errorf("positions of the breaker: %v", positions)
	}
	checkFleetEvents(t, grid, events)
	gateways, err := db.Presences(context.Background())
	if err != nil || len(gateways) == 0 {
		t.Fatal(gateways, err)
	}
	for _, g := range gateways {
		if !g.Stopped || g.LastGasp != 0 || g.Every != int64(telemetry.Quarter) {
			t.Errorf("%+v", g)
		}
	}
}

// fleetEvent is an event of a gateway.
type fleetEvent struct {
	record.Identity
	telemetry.Event
}

// fleetEvents are those in the log.
func fleetEvents(t *testing.T, broker string) (list []fleetEvent) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("busbar.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	stopped := map[string]bool{}
	started := map[string]bool{}
	await(t, "every gateway says that it stops", time.Minute, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		client.PollFetches(ctx).EachRecord(func(k *kgo.Record) {
			var headers []record.Header
			for _, h := range k.Headers {
				headers = append(headers, record.Header(h))
			}
			r, err := record.ParseHeaders(headers, k.Value)
			e := fleetEvent{Identity: r.Identity}
			if err = errors.Join(err, json.Unmarshal(r.Payload, &e.Event)); err != nil {
				t.Fatal(err)
			}
			started[r.Gateway] = true
			stopped[r.Gateway] = e.Kind == telemetry.GatewayStopped
			list = append(list, e)
		})
		for g := range started {
			if !stopped[g] {
				return false
			}
		}
		return len(started) > 0
	})
	return list
}

// checkFleetEvents compares what gateways told with what the grid was like.
func checkFleetEvents(t *testing.T, grid *live.Live, events []fleetEvent) {
	t.Helper()
	next := map[string]uint64{} // by gateway and epoch
	alarms := map[string]int{}  // those that are active
	raised := map[string]int{}
	kinds := map[telemetry.EventKind]int{}
	gasped := map[string]bool{}
	for _, e := range events {
		of := e.Gateway + "/" + e.Epoch.String()
		if e.First != next[of] || e.Last != e.First {
			t.Fatalf("%v after %d", e.Identity, next[of])
		}
		next[of]++
		kinds[e.Kind]++
		switch e.Kind {
		case telemetry.AlarmRaised:
			alarms[e.Alarm.ID]++
			raised[e.Alarm.Rule+" "+e.Alarm.Asset]++
		case telemetry.AlarmCleared:
			alarms[e.Alarm.ID]--
		case telemetry.SupplyFailed:
			gasped[e.Gateway] = true
		case telemetry.GatewayStarted:
			if e.Lifecycle.Start > 1 && (!gasped[e.Gateway] || len(e.Lifecycle.Committed) != 2) {
				t.Errorf("%s starts again: %+v", e.Gateway, e.Lifecycle)
			}
		}
	}
	for id, n := range alarms {
		if n != 0 {
			t.Errorf("alarm %s is %d times active at last", id, n)
		}
	}
	if raised["breaker-lockout f1-breaker"] != 1 || raised["breaker-open f1-breaker"] != 2 {
		t.Errorf("raised: %v", raised)
	}
	// A gateway is without supply if all of its meters are.
	s, dead := grid.Snapshot(), map[string]bool{}
	for p := range s.Points() {
		if s.Normal().Feeder(s.Point(p).Node) == s.FeederOf("f1") {
			id, _, _ := grid.Reader(p)
			dead[id] = true
		}
	}
	if len(dead) == 0 || !maps.Equal(dead, gasped) {
		t.Errorf("without supply were %v, and gasped %v", dead, gasped)
	}
	if kinds[telemetry.GatewayStarted] <= kinds[telemetry.GatewayStopped] || kinds[telemetry.SupplyRestored] == 0 || kinds[telemetry.GatewayAlive] == 0 {
		t.Errorf("kinds: %v", kinds)
	}
}
