package scenario_test

import (
	"bytes"
	"context"
	"os"
	"slices"
	"testing"

	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/truth"
	"github.com/busbar/busbar/sim/world"
)

// run is what comes of the town.
func run(t *testing.T, text string) (failures []string, log []truth.Record) {
	t.Helper()
	s, err := scenario.Parse("x.yaml", []byte("description: x\nlasts: 48h\ngrid: {file: library/grids/town.yaml}\n"+text), os.ReadFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Run(context.Background(), scenario.Sinks{Truth: func(r truth.Record) error { log = append(log, r); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		failures = append(failures, f.Path+": "+f.Message)
	}
	return failures, log
}

func TestTheftIsOfAServicePoint(t *testing.T) {
	failures, _ := run(t, `loads: {effects: [{point: mill-1, kind: h1, day: 1}]}
expect:
  - {happened: theft, of: mill-1, times: 1}
  - {happened: theft, of: mill-2, times: 0}
  - {happened: theft, times: 1}
`)
	if len(failures) > 0 {
		t.Errorf("%q", failures)
	}
}

// What isn't said of a device is as with others of its type.
func TestADeviceDiffersInWhatIsSaidOfIt(t *testing.T) {
	failures, _ := run(t, `protection:
  breaker: {dead: [1s, 2s]}
  devices: {north-breaker: {slow: 400ms}, north-recloser: {dead: []}}
faults:
  - {id: crane, at: 10m, asset: north-1}
  - {id: pole, at: 30m, asset: north-3}
steps:
  - {at: 20m, repair: crane}
  - {at: 21m, close: north-breaker}
expect:
  - {happened: trip, of: north-breaker, times: 3}
  - {happened: trip, of: north-recloser, times: 1}
`)
	if len(failures) > 0 {
		t.Errorf("%q", failures)
	}
}

func TestCrewsGoSomewhere(t *testing.T) {
	_, log := run(t, `crews: {count: 1}
faults: [{id: crane, at: 10m, asset: north-1}, {id: conductor, at: 12h, asset: north-3, phases: A, broken: true}]
`)
	var got []string
	for _, r := range log {
		if r.What == world.Dispatched.String() {
			got = append(got, r.Device+"/"+r.Asset)
		}
	}
	if want := []string{"north-breaker/", "/north-3"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// The source is next to the breakers, one of which is jammed: its own protection
// acts, which is no device.
func TestASourceActsForAJammedDevice(t *testing.T) {
	grid := `sources: [{id: source, node: bus}]
switches: [{id: breaker, from: bus, to: n1, type: breaker, signal: Pos, device: rtu, gateway: gw}]
lines: [{id: l1, from: n1, to: n2}]
service_points: [{id: house, node: n2}]
`
	s, err := scenario.Parse("x.yaml", []byte(`description: x
lasts: 1h
grid: {file: grid.yaml}
steps: [{at: 1m, jam: breaker}, {at: 20m, repair: crane}, {at: 21m, close: breaker}]
faults: [{id: crane, at: 10m, asset: l1}]
expect:
  - {at: 15m, out: [house]}
  - {at: 30m, out: []}
  - {happened: trip, times: 0}
  - {happened: lockout, of: breaker, times: 0}
  - {told: position, times: 0}
`), func(string) ([]byte, error) { return []byte(grid), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Run(context.Background(), scenario.Sinks{})
	if err != nil || len(r.Failures) > 0 {
		t.Errorf("%v, %v", r.Failures, err)
	}
}

// While more is asked for than the grid can carry, nothing is known of transformers:
// the overload before it isn't over.
func TestAnOverloadLastsWhileThereIsNoLoadFlow(t *testing.T) {
	town, err := os.ReadFile("library/grids/town.yaml")
	if err != nil {
		t.Fatal(err)
	}
	town = bytes.Replace(town, []byte("{id: harbour-4, "), []byte("{id: harbour-4, customers: 300, "), 1)
	s, err := scenario.Parse("x.yaml", []byte("description: x\nlasts: 24h\ngrid: {file: x.yaml}\nloads: {business: 0, farm: 0, pv: 0}\n"),
		func(string) ([]byte, error) { return town, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	unknown, ended, overloads := map[int64]bool{}, map[int64]bool{}, 0
	if _, err := s.Run(context.Background(), scenario.Sinks{
		Readings: func(r scenario.Reading) error {
			unknown[r.At] = unknown[r.At] || r.Meter == "harbour" && r.Import != r.Import
			return nil
		},
		Truth: func(r truth.Record) error {
			if r.What == truth.OverloadEnd {
				ended[r.At] = true
			} else if r.What == truth.Overload {
				overloads++
			}
			return nil
		},
	}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for at, is := range unknown {
		if is {
			if n++; ended[at] {
				t.Errorf("an overload ends at %d, of which nothing is known", at)
			}
		}
	}
	t.Logf("%d quarter-hours without a solution, %d overloads", n, overloads)
	if n == 0 || n == len(unknown) || overloads == 0 {
		t.Errorf("%d of %d quarter-hours without a solution, %d overloads", n, len(unknown), overloads)
	}
}
