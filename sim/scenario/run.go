package scenario

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/truth"
	"github.com/busbar/busbar/sim/world"
)

// Sinks take what a run brings forth, each in the order of its times. Those that
// are nil aren't asked for.
type Sinks struct {
	Truth    func(truth.Record) error
	Evidence func(evidence.Event) error
	Readings func(Reading) error
}

// Result is what came of a run.
type Result struct {
	Sustained       int     // outages of three minutes or more
	Momentary       int     // shorter ones
	CustomerMinutes float64 // of interruptions of three minutes or more
	Faults          int
	Evidence        int
	Overloads       int
	// What was expected and isn't so.
	Failures []Failure
}

// Failure is an expectation that doesn't hold.
type Failure struct {
	Path    string // expect[2]
	Message string
}

// run is one while it goes on.
type run struct {
	*Scenario
	world    *world.World
	edge     *evidence.Edge
	outages  *outages
	loads    *loads
	sinks    Sinks
	err      error // of a sink
	result   Result
	happened map[occurrence]int
	told     map[evidence.Kind]int
}

// occurrence is what happened to what.
type occurrence struct{ what, of string }

// Run plays the scenario. The error is that of a sink, or ctx's. The same scenario
// and seed give each sink the same, however many processors there are.
func (s *Scenario) Run(ctx context.Context, sinks Sinks) (Result, error) {
	snapshot := s.model.At(int64(s.Start))
	r := &run{Scenario: s, sinks: sinks, happened: map[occurrence]int{}, told: map[evidence.Kind]int{}}
	r.world = world.New(snapshot, s.world())
	s.plan(r.world, func(string, error) {}) // what is wrong was found by Open
	r.edge = evidence.New(r.world, s.Edge, s.Seed)
	r.outages = newOutages(r.world, r.record)
	for _, step := range s.Steps {
		if step.CutOff != "" {
			r.edge.Cut(s.at(step.At), time.Duration(step.For).Microseconds(), s.cutOff(snapshot, step.CutOff))
		}
	}
	r.loads = newLoads(r)
	r.start()

	stops := r.stops()
	for next := int64(s.Start); r.err == nil; {
		if err := ctx.Err(); err != nil {
			return r.result, err
		}
		to := min(stops[0], next+hour) // so that what the edge tells is passed on, and ctx looked at
		if at, ok := r.world.Next(); ok && at <= to {
			next = at
		} else {
			next = to
		}
		r.advance(next)
		if next < stops[0] {
			continue
		}
		r.pause(next)
		if stops = stops[1:]; len(stops) == 0 {
			break
		}
	}
	r.stop()
	return r.result, r.err
}

// In µs.
const (
	quarter = int64(900e6) // of an hour
	hour    = 4 * quarter
)

// Known is the model as those have it who are to find out what happened, with
// its mistakes.
func (s *Scenario) Known() (*grid.Model, []evidence.Mistake) {
	return evidence.Mistaken(s.model, int64(s.Start), s.Edge.TopologyErrors, s.Seed)
}

// stops are the times at which something is looked at: expectations, cuts of
// connections, quarter-hours if there are loads, and the end.
func (r *run) stops() []int64 {
	at := map[int64]bool{r.end(): true}
	for _, e := range r.Expect {
		if e.moment() {
			at[r.at(e.At)] = true
		}
	}
	for _, s := range r.Steps {
		if s.CutOff != "" && r.at(s.At) <= r.end() {
			at[r.at(s.At)] = true
		}
	}
	if r.loads != nil {
		for t := (int64(r.Start) + quarter - 1) / quarter * quarter; t <= r.end(); t += quarter {
			at[t] = true
		}
	}
	return slices.Sorted(maps.Keys(at))
}

func (r *run) advance(to int64) {
	events := r.world.Advance(to)
	r.edge.Observe(events)
	r.outages.take(events)
	for _, e := range r.edge.Until(to) {
		r.told[e.Kind]++
		r.result.Evidence++
		if r.sinks.Evidence != nil && r.err == nil {
			r.err = r.sinks.Evidence(e)
		}
	}
}

// pause looks at the world at a stop.
func (r *run) pause(at int64) {
	for _, s := range r.Steps {
		if s.CutOff != "" && r.at(s.At) == at {
			record := truth.Record{At: at, What: truth.CutOff, Until: at + time.Duration(s.For).Microseconds()}
			record.Gateways = r.edge.Gateways(r.cutOff(r.world.Snapshot(), s.CutOff))
			r.record(record)
		}
	}
	r.loads.pause(r, at)
	for i, e := range r.Expect {
		if e.moment() && r.at(e.At) == at {
			e.look(r.world, func(format string, args ...any) { r.fail(i, format, args...) })
		}
	}
}

func (r *run) record(t truth.Record) {
	of := cmp.Or(t.Device, t.Asset, t.Point)
	if r.happened[occurrence{t.What, of}]++; of != "" {
		r.happened[occurrence{t.What, ""}]++
	}
	if r.sinks.Truth != nil && r.err == nil {
		r.err = r.sinks.Truth(t)
	}
}

// start is what is so from the beginning.
func (r *run) start() {
	snapshot := r.world.Snapshot()
	customers := map[string]int{}
	for p := range snapshot.Points() {
		if n := snapshot.Point(p).Customers; n != 1 {
			customers[snapshot.PointAsset(p).ID] = n
		}
	}
	at := int64(r.Start)
	r.record(truth.Record{At: at, What: truth.Start, Scenario: r.name, Seed: r.Seed, End: r.end(), Customers: customers})
	_, mistakes := r.Known()
	for _, m := range mistakes {
		r.record(truth.Record{At: at, What: truth.TopologyError, Point: m.Point, Node: m.Node, Given: m.Given})
	}
	for _, id := range r.edge.Stale() {
		r.record(truth.Record{At: at, What: truth.StalePosition, Device: id})
	}
	r.loads.start(r)
}

func (r *run) stop() {
	at := r.end()
	r.loads.stop(r, at)
	r.outages.stop(at)
	r.result.Sustained, r.result.CustomerMinutes = r.outages.sustained, r.outages.minutes
	r.result.Momentary = r.outages.number - r.outages.sustained
	r.result.Faults = r.happened[occurrence{world.FaultBegan.String(), ""}]
	r.result.Overloads = r.happened[occurrence{truth.Overload, ""}]
	r.record(truth.Record{At: at, What: truth.Stop, Sustained: r.outages.sustained, CustomerMinutes: r.outages.minutes})
	for i, e := range r.Expect {
		if !e.moment() {
			e.sum(r, func(format string, args ...any) { r.fail(i, format, args...) })
		}
	}
}

func (r *run) fail(i int, format string, args ...any) {
	r.result.Failures = append(r.result.Failures, Failure{configfile.Item("expect", i), fmt.Sprintf(format, args...)})
}
