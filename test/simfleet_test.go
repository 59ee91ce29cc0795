package test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/scenario"
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
	tool("busbar-sim", "fleet", "keys", path, "--per-gateway", "64")
	tool("busbar-cloud", "gateway", "enrol", "--config", "cloud.yaml", "--keys", "fleet.keys")
	cloud := start(t, dir, "busbar-cloud", "run", "--config", "cloud.yaml", "--log-level", "error")
	await(t, "the cloud runs", time.Minute, func() bool { return reachable(console) && reachable(broker) })
	tool("busbar-sim", "fleet", "run", path, "--per-gateway", "64", "--kafka", broker, "--truth", "kafka:")

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
	cloud.stop()
	db := openStore(t, store.Config{Path: filepath.Join(dir, "cloud.db")})
	defer db.Close()
	list, err := db.Series(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	for _, x := range list {
		_, samples, err := db.Samples(context.Background(), x.ID, 0, 1<<62)
		if err != nil {
			t.Fatal(err)
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
}
