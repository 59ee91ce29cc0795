package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/load"
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

// Play is a scenario while it is being played. It isn't safe for concurrent use.
type Play struct {
	Scenario
	world    *world.World
	edge     *evidence.Edge
	outages  *outages
	loads    *loads
	sinks    Sinks
	stops    []int64 // at which something is looked at, the end last
	err      error   // of a sink
	result   Result
	happened map[occurrence]int
	told     map[evidence.Kind]int
	off      map[misdated]int
}

// misdated is a kind of evidence whose time is off by so much, that is expected.
type misdated struct {
	kind evidence.Kind
	by   configfile.Duration
}

// occurrence is what happened to what.
type occurrence struct{ what, of string }

// Run plays the scenario. The error is that of a sink, or ctx's. The same scenario
// and seed give each sink the same, however many processors there are.
func (s *Scenario) Run(ctx context.Context, sinks Sinks) (Result, error) {
	p, err := s.Play(sinks)
	for err == nil && !p.Over() {
		if err = ctx.Err(); err == nil {
			_, err = p.Advance(p.world.Now() + hour)
		}
	}
	return p.Result(), err
}

// Play begins a scenario, for whoever plays it step by step. The error is that of a
// sink, or that the grid isn't what it was when the scenario was opened, because the
// start is another one.
func (s *Scenario) Play(sinks Sinks) (*Play, error) {
	snapshot := s.model.At(int64(s.Start))
	p := &Play{Scenario: *s, sinks: sinks, happened: map[occurrence]int{}, told: map[evidence.Kind]int{}, off: map[misdated]int{}}
	p.world = world.New(snapshot, s.world())
	s.plan(p.world, func(path string, err error) { p.err = errors.Join(p.err, fmt.Errorf("%s: %w", path, err)) })
	p.edge = evidence.New(p.world, s.Edge, s.Seed)
	p.outages = newOutages(p.world, p.record)
	for _, step := range s.Steps {
		if step.CutOff != "" {
			p.edge.Cut(s.at(step.At), time.Duration(step.For).Microseconds(), s.cutOff(snapshot, step.CutOff))
		}
	}
	for _, e := range s.Expect {
		if e.OffBy > 0 {
			p.off[misdated{evidence.Kind(e.Told), e.OffBy}] = 0
		}
	}
	p.loads = newLoads(p)
	p.stops = p.whenToLook()
	if p.err == nil {
		p.start()
	}
	return p, p.err
}

// Advance goes on to a time, or to the end if that is earlier, and returns what
// has happened in the world. How often it is called makes no difference to what a
// sink gets. The error is that of a sink.
func (p *Play) Advance(to int64) (happened []world.Event, err error) {
	for p.err == nil && len(p.stops) > 0 && p.world.Now() <= to {
		next := min(p.stops[0], to, p.world.Now()+hour) // so that what the edge tells is passed on
		if at, ok := p.world.Next(); ok && at <= next {
			next = at
		}
		happened = append(happened, p.advance(next)...)
		if next == p.stops[0] {
			if p.pause(next); len(p.stops) == 1 {
				p.stop()
			}
			p.stops = p.stops[1:]
		} else if next == to {
			break
		}
	}
	return happened, p.err
}

// Act is what somebody does at the present time, and what has happened because of
// it so far. The error is that it can't be done, or that of a sink.
func (p *Play) Act(a world.Action) ([]world.Event, error) {
	if p.Over() {
		return nil, fmt.Errorf("the scenario is over")
	}
	if err := p.world.Plan(p.world.Now(), a); err != nil {
		return nil, err
	}
	events := p.advance(p.world.Now())
	return events, p.err
}

// CutOff is a failure of the connection of a gateway, or of all of a feeder's, from
// now on and for a time. It returns which they are.
func (p *Play) CutOff(name string, lasts time.Duration) ([]string, error) {
	which := p.cutOff(p.world.Snapshot(), name)
	gateways := p.edge.Gateways(which)
	if len(gateways) == 0 {
		return nil, fmt.Errorf("there is no gateway, and no feeder with one, %q; gateways are called gw- and their transformer", name)
	}
	now := p.world.Now()
	p.edge.Cut(now, lasts.Microseconds(), which)
	p.record(truth.Record{At: now, What: truth.CutOff, Until: now + lasts.Microseconds(), Gateways: gateways})
	p.advance(now)
	return gateways, p.err
}

// Stop ends it now, if it isn't over: what the truth says to the end is that of now.
// Nothing that was expected is compared. The error is that of a sink.
func (p *Play) Stop() error {
	if len(p.stops) > 0 && p.err == nil {
		p.stops, p.Expect = nil, nil
		p.stop()
	}
	return p.err
}

// Over reports whether the end has been reached.
func (p *Play) Over() bool { return len(p.stops) == 0 }

// Result is what has come of it up to now; all of it once it is over.
func (p *Play) Result() Result { return p.result }

// World is the grid. Only Play may bring it forward.
func (p *Play) World() *world.World { return p.world }

// Edge is what tells of it. Only Play may bring it forward.
func (p *Play) Edge() *evidence.Edge { return p.edge }

// Customers is what service points use, and how each of them is; nil if the
// scenario has no loads.
func (p *Play) Customers() (*load.Loads, []load.Customer) {
	if p.loads == nil {
		return nil, nil
	}
	return p.loads.model, p.loads.customers
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

// whenToLook is the times at which something is looked at: expectations, cuts of
// connections, what jams, quarter-hours if there are loads, and the end.
func (p *Play) whenToLook() []int64 {
	at := map[int64]bool{p.End(): true}
	for _, e := range p.Expect {
		if e.moment() {
			at[p.at(e.At)] = true
		}
	}
	for _, s := range p.Steps {
		if (s.CutOff != "" || s.Jam != "") && p.at(s.At) <= p.End() {
			at[p.at(s.At)] = true
		}
	}
	if p.loads != nil {
		for t := (int64(p.Start) + quarter - 1) / quarter * quarter; t <= p.End(); t += quarter {
			at[t] = true
		}
	}
	return slices.Sorted(maps.Keys(at))
}

func (p *Play) advance(to int64) []world.Event {
	events := p.world.Advance(to)
	p.edge.Observe(events)
	for _, d := range p.edge.Dropouts() {
		p.record(truth.Record{At: d.From, What: truth.Dropout, Gateways: []string{d.Gateway}, Until: d.Until})
	}
	p.outages.take(events)
	for _, e := range p.edge.Until(to) {
		p.told[e.Kind]++
		for of := range p.off {
			if of.kind == e.Kind && max(e.Arrival-e.Source, e.Source-e.Arrival) >= time.Duration(of.by).Microseconds() {
				p.off[of]++
			}
		}
		p.result.Evidence++
		if p.sinks.Evidence != nil && p.err == nil {
			p.err = p.sinks.Evidence(e)
		}
	}
	return events
}

// pause looks at the world at a stop.
func (p *Play) pause(at int64) {
	for _, s := range p.Steps {
		if s.CutOff != "" && p.at(s.At) == at {
			record := truth.Record{At: at, What: truth.CutOff, Until: at + time.Duration(s.For).Microseconds()}
			record.Gateways = p.edge.Gateways(p.cutOff(p.world.Snapshot(), s.CutOff))
			p.record(record)
		}
		if s.Jam != "" && p.at(s.At) == at {
			p.record(truth.Record{At: at, What: truth.Jammed, Device: s.Jam})
		}
	}
	p.loads.pause(p, at)
	for i, e := range p.Expect {
		if e.moment() && p.at(e.At) == at {
			e.look(p.world, func(format string, args ...any) { p.fail(i, format, args...) })
		}
	}
}

func (p *Play) record(t truth.Record) {
	of := cmp.Or(t.Device, t.Asset, t.Point)
	if p.happened[occurrence{t.What, of}]++; of != "" {
		p.happened[occurrence{t.What, ""}]++
	}
	if p.sinks.Truth != nil && p.err == nil {
		p.err = p.sinks.Truth(t)
	}
}

// start is what is so from the beginning.
func (p *Play) start() {
	snapshot := p.world.Snapshot()
	customers := map[string]int{}
	for i := range snapshot.Points() {
		if n := snapshot.Point(i).Customers; n != 1 {
			customers[snapshot.PointAsset(i).ID] = n
		}
	}
	at := int64(p.Start)
	p.record(truth.Record{At: at, What: truth.Start, Scenario: p.name, Seed: p.Seed, End: p.End(), Customers: customers})
	_, mistakes := p.Known()
	for _, m := range mistakes {
		p.record(truth.Record{At: at, What: truth.TopologyError, Point: m.Point, Node: m.Node, Given: m.Given})
	}
	for _, id := range p.edge.Stale() {
		p.record(truth.Record{At: at, What: truth.StalePosition, Device: id})
	}
	for _, id := range p.edge.Silent() {
		p.record(truth.Record{At: at, What: truth.SilentMeter, Point: id})
	}
	for _, c := range p.edge.WrongClocks() {
		record := truth.Record{At: at, What: truth.WrongClock, Point: c.Point, Off: c.Off}
		if c.Gateway != "" {
			record.Gateways = []string{c.Gateway}
		}
		p.record(record)
	}
	p.loads.start(p)
}

func (p *Play) stop() {
	at := p.world.Now()
	p.loads.stop(p, at)
	p.outages.stop(at)
	p.result.Sustained, p.result.CustomerMinutes = p.outages.sustained, p.outages.minutes
	p.result.Momentary = p.outages.number - p.outages.sustained
	p.result.Faults = p.happened[occurrence{world.FaultBegan.String(), ""}]
	p.result.Overloads = p.happened[occurrence{truth.Overload, ""}]
	p.record(truth.Record{At: at, What: truth.Stop, Sustained: p.outages.sustained, CustomerMinutes: p.outages.minutes})
	for i, e := range p.Expect {
		if !e.moment() {
			e.sum(p, func(format string, args ...any) { p.fail(i, format, args...) })
		}
	}
}

func (p *Play) fail(i int, format string, args ...any) {
	p.result.Failures = append(p.result.Failures, Failure{configfile.Item("expect", i), fmt.Sprintf(format, args...)})
}
