package scenario_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/truth"
)

func TestEveryScenarioOfTheLibraryComesOutAsItSays(t *testing.T) {
	for _, name := range scenario.Library() {
		t.Run(name, func(t *testing.T) {
			s, err := scenario.Open(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Expect) == 0 {
				t.Error("nothing is expected")
			}
			result, err := s.Run(context.Background(), scenario.Sinks{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range result.Failures {
				t.Errorf("%s: %s", f.Path, f.Message)
			}
			t.Logf("%+v", result)
		})
	}
}

// played is the bytes that a run writes.
func played(t *testing.T, name string, seed *uint64) (out [3]bytes.Buffer) {
	t.Helper()
	s, err := scenario.Open(name, seed)
	if err != nil {
		t.Fatal(err)
	}
	write := func(i int, v any) error { return json.NewEncoder(&out[i]).Encode(v) }
	if _, err = s.Run(context.Background(), scenario.Sinks{
		Truth:    func(r truth.Record) error { return write(0, r) },
		Evidence: func(e evidence.Event) error { return write(1, e) },
		Readings: func(r scenario.Reading) error { _, err := fmt.Fprintf(&out[2], "%+v\n", r); return err },
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	for _, name := range []string{"storm", "transformer-overload", "readings-late"} {
		want := played(t, name, nil)
		one := runtime.GOMAXPROCS(1)
		again := played(t, name, nil)
		runtime.GOMAXPROCS(one)
		seed := uint64(77)
		other := played(t, name, &seed)
		for i, what := range []string{"truth", "evidence", "readings"} {
			if !bytes.Equal(want[i].Bytes(), again[i].Bytes()) {
				t.Errorf("%s: other %s the second time", name, what)
			}
			differs := what != "evidence" || name == "storm" // of the other only which meters there are
			if differs && want[i].Len() > 0 && bytes.Equal(want[i].Bytes(), other[i].Bytes()) {
				t.Errorf("%s: the same %s with another seed", name, what)
			}
		}
	}
}

// The truth is whole by itself: every outage ends with all of its points, and what
// it adds up to is what the run says.
func TestTruthAddsUp(t *testing.T) {
	for _, name := range []string{"storm", "nested", "partial-restoration", "recloser-lockout"} {
		customers, out, since := map[string]int{}, map[string]int{}, map[string]int64{}
		minutes, last := 0.0, int64(0)
		var stop truth.Record
		log := played(t, name, nil)
		count := func(id string, to int64) {
			if to-since[id] >= truth.Sustained {
				n, ok := customers[id]
				if !ok {
					n = 1
				}
				minutes += float64(n) * float64(to-since[id]) / 60e6
			}
			delete(out, id)
		}
		if err := truth.Read(&log[0], func(r truth.Record) error {
			if r.At < last {
				return fmt.Errorf("%s is before what stands before it", r.What)
			}
			last = r.At
			switch r.What {
			case truth.Start:
				customers = r.Customers
			case truth.Outage:
				if r.Device == "" {
					return fmt.Errorf("outage %d has no device", r.Outage)
				}
				for _, id := range r.Points {
					if out[id] != 0 {
						return fmt.Errorf("%s is out in two outages", id)
					}
					out[id], since[id] = r.Outage, r.At
				}
			case truth.Restored:
				for _, id := range r.Points {
					if out[id] != r.Outage {
						return fmt.Errorf("%s is restored in outage %d and was in %d", id, r.Outage, out[id])
					}
					count(id, r.At)
				}
			case truth.OutageEnd:
				for id, n := range out {
					if n == r.Outage {
						return fmt.Errorf("%s is out after the end", id)
					}
				}
			case truth.Stop:
				stop = r
				for id := range out {
					count(id, r.At)
				}
			}
			return nil
		}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if math.Abs(stop.CustomerMinutes-minutes) > 1e-6*minutes || minutes == 0 {
			t.Errorf("%s: the records add up to %v customer-minutes, it says %v", name, minutes, stop.CustomerMinutes)
		}
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"lasts: 0s\n", "x.yaml:4:8: lasts: 0s is not above 0"},
		{"lasts: 1h\nlast: 2h\n", `x.yaml:5:1: last: unknown key "last", did you mean "lasts"?`},
		{"lasts: 1h\nfaults:\n  - {id: a, at: 1m, asset: nowhere}\n", `x.yaml:6:5: faults[0]: the grid has no line, switch, transformer, node or service point "nowhere"`},
		{"lasts: 1h\nfaults:\n  - {id: a, at: 1m, asset: north-1}\n  - {id: a, at: 1m, asset: north-1}\n", "x.yaml:7:5: faults[1]: a fault needs an id of its own"},
		{"lasts: 1h\nsteps:\n  - {at: 1m, open: tie, close: tie}\n", "x.yaml:6:5: steps[0]"},
		{"lasts: 1h\nsteps:\n  - {at: 1m, repair: x}\n", `x.yaml:6:5: steps[0]: there is no fault "x"`},
		{"lasts: 1h\nsteps:\n  - {at: 1m, cut_off: x, for: 1m}\n", `x.yaml:6:23: steps[0].cut_off: there is no gateway, and no feeder with one, "x"`},
		{"lasts: 1h\nedge: {metered: 2}\n", "x.yaml:5:17: edge.metered: 2 is no share from 0 to 1"},
		{"lasts: 1h\nprotection: {devices: {tie: {slow: 1s}}}\n", `protection.devices.tie: the grid has no breaker or recloser "tie"`},
		{"lasts: 1h\nprotection: {recloser: {dead: []}}\n", ""},
		{"lasts: 1h\nprotection: {recloser: {fast_trips: 5}}\n", "protection.recloser.fast_trips: 5, expected 0 to the 4 trips"},
		{"lasts: 1h\nexpect:\n  - {at: 1m, out: [nobody]}\n", `x.yaml:6:20: expect[0].out[0]: the grid has no service point "nobody"`},
		{"lasts: 1h\nexpect:\n  - {happened: trip}\n", "x.yaml:6:5: expect[0]"},
		{"lasts: 1h\nexpect:\n  - {happened: tripp, times: 1}\n", `x.yaml:6:16: expect[0].happened: "tripp" is nothing that is recorded`},
		{"lasts: 1h\nexpect:\n  - {counted: h1, times: 1}\n", `nobody has the effect "h1"`},
		{"lasts: 1h\nloads: {effects: [{point: mill-9, kind: h1}]}\n", `loads.effects[0].point: the grid has no service point "mill-9"`},
		{"lasts: 1h\nloads: {effects: [{some: 31, kind: h1}]}\n", "31 are more than there are"},
		{"lasts: 1h\nloads: {effects: [{point: mill-1, kind: h1}, {some: 30, kind: h2}]}\n", "loads.effects[1].some: 30 are more than there are"},
		{"lasts: 1h\nloads: {effects: [{some: 30, kind: h2}, {point: mill-1, kind: h1}]}\n", "loads.effects[0].some: 30 are more than there are"},
		{"lasts: 1h\nloads: {effects: [{point: mill-1, kind: h1}, {point: mill-1, kind: h2}]}\n", `loads.effects[1].point: "mill-1" has an effect already`},
		{"lasts: 1h\nloads: {effects: [{point: mill-1, kind: h1, day: 1}]}\n", "loads.effects[0].day: 1 is after the end"},
		{"lasts: 1h\nloads: {effects: [{point: mill-1, kind: h1, day: 9223372036854775807}]}\n", "loads.effects[0].day: 9223372036854775807 is after the end"},
		{"lasts: 1h\nfaults:\n  - {id: a, at: 2h, asset: north-1}\n", "x.yaml:6:17: faults[0].at: 2h is after the end"},
		{"lasts: 1h\nsteps:\n  - {at: 61m, open: tie}\n", "steps[0].at: 1h1m is after the end"},
		{"lasts: 1h\nsteps:\n  - {at: 1m, cut_off: gw-tie, for: 1m}\n", `steps[0].cut_off: there is no gateway, and no feeder with one, "gw-tie"`},
		{"lasts: 1h\nsteps:\n  - {at: 1m, cut_off: gw-mill, for: 1m}\n", ""},
		{"lasts: 1h\nstorm: {at: 30m, lasts: 1h, faults: 1}\n", "storm.lasts: from 30m for 1h is after the end"},
		{"lasts: 1h\nprotection: {fuse_melts: 200ms}\n", "protection.recloser.slow: 200ms is not above the 200ms"},
		{"lasts: 1h\ncrews: {count: 1, travel: 721h}\n", "crews.travel: 721h is more than 30 days"},
		{"lasts: 1h\nexpect:\n  - {happened: trip, of: nort-breaker, times: 0}\n", `expect[0].of: the grid has nothing that is called "nort-breaker"`},
		{"lasts: 1h\nstorm: {lasts: 1h, faults: 0}\n", "storm.faults: 0 for 100 km"},
		{"lasts: 1h\ncrews: {count: 0}\n", "crews.count: 0, expected 1 to"},
	} {
		src := "description: x\ngrid: {file: library/grids/town.yaml}\n\n" + c.text
		_, err := scenario.Parse("x.yaml", []byte(src), os.ReadFile, nil)
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
	for grid, want := range map[string]string{
		"{}":                           "grid: has file \"\" and 0 service_points, expected one of them",
		"{file: none.yaml}":            "grid.file: open none.yaml: no such file",
		"{service_points: -1}":         "grid.service_points: -1, expected 1 to 1000000",
		"{service_points: 1, file: x}": "expected one of them",
		"{file: library/service.yaml}": "grid.file: the grid is wrong in",
	} {
		_, err := scenario.Parse("x.yaml", []byte("description: x\nlasts: 1h\ngrid: "+grid+"\n"), os.ReadFile, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("grid %s: %v, want %s", grid, err, want)
		}
	}
	if _, err := scenario.Open("strom", nil); err == nil || !strings.Contains(err.Error(), `did you mean "storm"?`) {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range scenario.Library() {
		src, err := os.ReadFile("library/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte("description: x\nlasts: 1h\ngrid: {file: x}\nloads: {effects: [{point: mill-1, kind: h1}, {some: 29, kind: h2}]}\n"))
	f.Add([]byte("description: x\nlasts: 1h\ngrid: {file: x}\nsteps: [{at: 0s, jam: north-breaker}]\nfaults: [{id: a, at: 0s, asset: north-1}]\ncrews: {count: 1}\n"))
	read := func(string) ([]byte, error) { return os.ReadFile("library/grids/town.yaml") }
	f.Fuzz(func(t *testing.T, src []byte) {
		if bytes.Contains(src, []byte("service_points")) {
			return // a large grid takes long
		}
		s, err := scenario.Parse("x.yaml", src, read, nil)
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond) // of those that last long the beginning
		defer cancel()
		_, _ = s.Run(ctx, scenario.Sinks{Readings: func(scenario.Reading) error { return nil }})
	})
}

func TestExpectationsFailWhereTheyDontHold(t *testing.T) {
	src := `description: x
lasts: 1h
grid: {file: library/grids/town.yaml}
faults: [{id: pole, at: 10m, asset: north-3}]
expect:
  - {at: 20m, out: []}
  - {at: 20m, out_behind: north-breaker}
  - {at: 20m, point: mill-1, levels: [100, 0, 0]}
  - {happened: trip, times: 3}
  - {happened: trip, least: 5}
  - {told: last-gasp, most: 1}
  - {sustained: true, times: 0}
  - {customer_minutes: true, most: 1}
  - {at: 20m, out_behind: north-recloser}
`
	s, err := scenario.Parse("x.yaml", []byte(src), os.ReadFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Run(context.Background(), scenario.Sinks{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Failures {
		got = append(got, f.Path+": "+f.Message)
	}
	slices.Sort(got)
	want := []string{
		"expect[0]: at 20m mill-1, mill-2, mill-3, mill-4 and 10 more are out, unexpectedly",
		"expect[1]: at 20m church-1, church-2, church-3, church-4 are not out, unexpectedly",
		"expect[2]: at 20m mill-1 has the levels [0 0 0], want [100 0 0]",
		"expect[3]: trip: 4, want 3", "expect[4]: trip: 4, want at least 5", "expect[5]: told last-gasp: 26, want at most 1",
		"expect[6]: sustained outages: 1, want 0", "expect[7]: customer-minutes: 695.065, want at most 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// What transformers count is what their customers do and what is lost on the way,
// and what is stolen shows in it.
func TestTransformersCountWhatCustomersReallyTake(t *testing.T) {
	src := `description: x
lasts: 48h
grid: {service_points: 200}
steps:
  - {at: 20h7m, open: f1-breaker}
  - {at: 22h7m, close: f1-breaker}
loads: {pv: 0, effects: [%s]}
`
	missing := func(effects string) (share float64) {
		s, err := scenario.Parse("x.yaml", fmt.Appendf(nil, src, effects), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		snapshot := s.Model().At(0)
		of := map[string]string{} // by point: its transformer
		for p := range snapshot.Points() {
			n := snapshot.Point(p).Node
			for snapshot.Edge(snapshot.Normal().Supply(n)).Kind != grid.KindTransformer {
				n = snapshot.Normal().Upstream(n)
			}
			of[snapshot.PointAsset(p).ID] = snapshot.EdgeAsset(snapshot.Normal().Supply(n)).ID
		}
		type quarter struct {
			at          int64
			transformer string
		}
		head, customers := map[quarter]float64{}, map[quarter]float64{}
		if _, err := s.Run(context.Background(), scenario.Sinks{Readings: func(r scenario.Reading) error {
			if transformer, ok := of[r.Meter]; ok {
				customers[quarter{r.At, transformer}] += float64(r.Import)
			} else {
				head[quarter{r.At, r.Meter}] = float64(r.Import)
			}
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		if n := len(customers) / (48 * 4); n < 5 || len(customers)%(48*4) != 0 {
			t.Fatalf("%d quarter-hours of transformers", len(customers))
		}
		var all, lost float64
		for q, counted := range customers {
			if since := (q.at - int64(s.Start)) / 60e6; since >= 20*60 && since < 22*60+15 && strings.HasPrefix(q.transformer, "f1-") {
				if since >= 20*60+15 && since < 22*60 && (head[q] != 0 || counted != 0) {
					t.Fatalf("%s at %d: %g and %g Wh without supply", q.transformer, q.at, head[q], counted)
				}
				continue // in part without supply
			}
			if effects == "" && (head[q] < counted*0.9999 || head[q] > counted*1.08) {
				t.Fatalf("%s at %d: %g Wh for customers who counted %g", q.transformer, q.at, head[q], counted)
			}
			all, lost = all+head[q], lost+head[q]-counted
		}
		return lost / all
	}
	honest, stolen := missing(""), missing("{some: 40, kind: h1}")
	if honest <= 0 || honest > 0.018 { // 1.2 % in the lines; transformers lose as much again
		t.Errorf("%.2f %% is lost in low voltage", 100*honest)
	}
	if stolen < honest+0.05 || stolen > honest+0.2 { // a fifth of the customers, 0.55 of their energy
		t.Errorf("%.2f %% is missing with thieves, %.2f %% without", 100*stolen, 100*honest)
	}
}

func TestOutagesOfOneInstantHaveTheirOwnDevices(t *testing.T) {
	src := `description: x
lasts: 1h
grid: {file: library/grids/town.yaml}
steps: [{at: 1m, open: lateral-fuse}, {at: 1m, open: south-switch}, {at: 1m, open: school-2}, {at: 1m, open: harbour-fuse}]
`
	s, err := scenario.Parse("x.yaml", []byte(src), os.ReadFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	if _, err := s.Run(context.Background(), scenario.Sinks{Truth: func(r truth.Record) error {
		if r.What == truth.Outage {
			got[r.Device] = len(r.Points)
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"lateral-fuse": 9, "south-switch": 4, "school-2": 1, "harbour-fuse": 8}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAStormIsNotInTheGround(t *testing.T) {
	s, err := scenario.Open("storm", nil)
	if err != nil {
		t.Fatal(err)
	}
	cables := map[string]bool{}
	for _, l := range s.Model().Lines {
		cables[l.ID] = l.Type == grid.Cable
	}
	n := 0
	if _, err := s.Run(context.Background(), scenario.Sinks{Truth: func(r truth.Record) error {
		if r.What == "fault-begin" {
			if n++; cables[r.Asset] {
				t.Errorf("a fault of the cable %s", r.Asset)
			}
			if since := r.At - int64(s.Start); since < 3600e6 || since > 7*3600e6 {
				t.Errorf("a fault %d s after the start", since/1e6)
			}
		}
		return nil
	}}); err != nil || n == 0 {
		t.Fatalf("%d faults, %v", n, err)
	}
}

// A fault of the truth on the disk stops the run.
func TestAFailingSinkStopsTheRun(t *testing.T) {
	s, err := scenario.Open("storm", nil)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	if _, err := s.Run(context.Background(), scenario.Sinks{Evidence: func(evidence.Event) error { return full }}); err != full {
		t.Errorf("%v, want %v", err, full)
	}
}

func TestTheDocumentationsScenarioComesOutAsItSays(t *testing.T) {
	text, err := os.ReadFile("../../docs/simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	s, err := scenario.Parse("library/docs.yaml", []byte(example), os.ReadFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Run(context.Background(), scenario.Sinks{}); err != nil || len(r.Failures) > 0 || len(s.Expect) < 3 {
		t.Errorf("%v, %v", r.Failures, err)
	}
}
