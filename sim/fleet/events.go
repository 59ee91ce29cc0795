package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// version is the program that these gateways say they are.
const version = "busbar-sim"

// process is a gateway from one of its starts to the next.
type process struct {
	epoch      record.Epoch
	hash       uint64
	starts     uint64
	next       uint64 // sequence number of telemetry
	nextEvent  uint64
	heard      bool                  // it has sent something since its last heartbeat
	alarms     uint64                // counts them
	active     map[alarm]string      // their ids
	committed  []telemetry.Committed // of earlier starts
	failed     int64                 // since when its supply has failed, by its own clock; 0: it hasn't
	failedBoot string
}

// alarm is a rule, and what it is about.
type alarm struct{ rule, asset string }

func newProcess(epoch record.Epoch, id string) process {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return process{epoch: epoch, hash: h.Sum64(), active: map[alarm]string{}}
}

// boot is what it calls the time since its start.
func (p *process) boot() string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(p.hash), uint64(p.epoch)&(1<<48-1)^p.starts)
}

// counts is how far it has come with its streams.
func (p *process) counts(more uint64) []telemetry.Committed {
	return []telemetry.Committed{
		{Epoch: p.epoch.String(), Stream: string(record.Events), Count: p.nextEvent + more},
		{Epoch: p.epoch.String(), Stream: string(record.Telemetry), Count: p.next},
	}
}

// write sends an event of a gateway.
func (f *Fleet) write(g *gateway, e telemetry.Event, send func(*kgo.Record)) error {
	if e.Decided == 0 {
		e.Decided = e.Time
	}
	payload, err := json.Marshal(e)
	if err != nil {
		return err
	}
	r := record.Record{Identity: record.Identity{Gateway: g.id, Epoch: g.epoch, Stream: record.Events, First: g.nextEvent, Last: g.nextEvent}, Format: record.FormatEvent, Payload: payload}
	send(sealed(r, g.key, f.config.Topics.Events()))
	g.nextEvent++
	g.heard = true
	f.sent.Events++
	return nil
}

// presence is by what a gateway's silence is noticed: it sends something each quarter-hour.
var presence = telemetry.Presence{Every: quarter}

// start is a start of a gateway; all but the first are in an epoch of their own.
func (f *Fleet) start(g *gateway, at int64, send func(*kgo.Record)) error {
	downSince := telemetry.Micros(0)
	if g.starts > 0 {
		g.committed = append(g.counts(0), g.committed...)
		g.committed = g.committed[:min(len(g.committed), mostCommitted)]
		g.epoch, g.next, g.nextEvent = record.Epoch(rand.New(rand.NewPCG(uint64(f.config.Epoch), g.hash^g.starts)).Uint64()), 0, 0
		downSince = telemetry.Micros(g.failed)
	}
	g.starts++
	l := &telemetry.Lifecycle{Version: version, Start: g.starts, Committed: slices.Clone(g.committed), DownSince: downSince,
		ActiveAlarms: slices.Sorted(maps.Values(g.active)), Presence: &presence}
	if l.Committed == nil {
		l.Committed = []telemetry.Committed{}
	}
	if l.ActiveAlarms == nil {
		l.ActiveAlarms = []string{}
	}
	return f.write(g, telemetry.Event{Kind: telemetry.GatewayStarted, Time: telemetry.Micros(at), Lifecycle: l}, send)
}

// mostCommitted bounds how many earlier starts a start tells of, each with two streams.
const mostCommitted = 32

// begin starts all gateways, and tells where switches are.
func (f *Fleet) begin(send func(*kgo.Record)) error {
	var errs []error
	for i := range f.gateways {
		g := &f.gateways[i]
		errs = append(errs, f.start(g, f.grid.Now(), send))
		for _, edge := range g.edges {
			id := f.grid.Snapshot().EdgeAsset(edge).ID
			f.place(id, f.grid.Now(), f.grid.Switch(edge).Position)
		}
		if len(g.edges) > 0 {
			errs = append(errs, f.send(g, send))
		}
	}
	return errors.Join(errs...)
}

// end stops those that run.
func (f *Fleet) end(send func(*kgo.Record)) error {
	var errs []error
	at := telemetry.Micros(f.grid.Now())
	for i := range f.gateways {
		g := &f.gateways[i]
		if runs, connected := f.state(g); runs && connected {
			errs = append(errs, f.write(g, telemetry.Event{Kind: telemetry.GatewayStopped, Time: at,
				Lifecycle: &telemetry.Lifecycle{Version: version, Start: g.starts, Committed: g.counts(1)}}, send))
		}
	}
	return errors.Join(errs...)
}

// beat is a heartbeat of a gateway that has nothing else to say.
func (f *Fleet) beat(g *gateway, at int64, send func(*kgo.Record)) error {
	heard := g.heard
	g.heard = false
	if runs, connected := f.state(g); heard || !runs || !connected {
		return nil
	}
	err := f.write(g, telemetry.Event{Kind: telemetry.GatewayAlive, Time: telemetry.Micros(at), Presence: &presence}, send)
	g.heard = false
	return err
}

// state is whether a gateway runs and has a connection. One that reads the meters of many
// transformers always does.
func (f *Fleet) state(g *gateway) (runs, connected bool) {
	switch {
	case len(g.edges) > 0:
		_, runs, connected = f.grid.Teller(g.edges[0])
	case f.config.PerGateway == 0:
		_, runs, connected = f.grid.Reader(g.points[0])
	default:
		return true, true
	}
	return runs, connected
}

// tell writes what the edge has told since the last time, as gateways tell it.
func (f *Fleet) tell(send func(*kgo.Record)) error {
	if f.config.Told == nil {
		return nil
	}
	var errs []error
	for _, e := range f.config.Told() {
		errs = append(errs, f.tellOne(e, send))
	}
	for i := range f.gateways {
		if g := &f.gateways[i]; len(g.edges) > 0 {
			errs = append(errs, f.send(g, send))
		}
	}
	return errors.Join(errs...)
}

func (f *Fleet) tellOne(e evidence.Event, send func(*kgo.Record)) error {
	switch e.Kind {
	case evidence.Meter:
		f.measured[f.grid.Snapshot().PointOf(e.Point)] = e.PoweredBy == evidence.Measured
	case evidence.Timeout, evidence.Answer, evidence.Voltage:
		return f.ofMeter(f.grid.Snapshot().PointOf(e.Point), e, send)
	case evidence.Position:
		return f.ofSwitch(e, send)
	case evidence.MainsFail, evidence.MainsBack:
		if i, is := f.named[e.Gateway]; is {
			return f.ofSupply(&f.gateways[i], e, send)
		}
	}
	return nil // last gasps of meters and calls don't come by a gateway, and the cloud finds out itself which are silent
}

// ofMeter raises and clears the alarms of a meter, by the rules of the library.
func (f *Fleet) ofMeter(point int, e evidence.Event, send func(*kgo.Record)) error {
	g := &f.gateways[f.reads[point]]
	change := func(rule string, p telemetry.Priority, raised bool, inputs []telemetry.Input, summary string) error {
		return f.change(g, telemetry.AlarmChange{Rule: rule, Asset: e.Point, Device: e.Point, Priority: p, Summary: e.Point + summary, Inputs: inputs}, raised, e.Source, send)
	}
	if e.Kind != evidence.Voltage {
		if f.measured[point] {
			return change("supply-unknown", telemetry.Medium, e.Kind == evidence.Timeout, nil, " is silent, and it is fed by the voltage it measures")
		}
		return change("device-silent", telemetry.Medium, e.Kind == evidence.Timeout, nil, " doesn't answer")
	}
	inputs, lost, least := f.voltages(point, e)
	return errors.Join(
		change("voltage-interruption", telemetry.High, e.Levels.Live() == 0, inputs, " has no voltage"),
		change("phase-loss", telemetry.High, lost && least == 0 && e.Levels.Live() != 0, inputs, " has lost a phase"),
		change("phase-loss-upstream", telemetry.High, lost && least != 0, inputs, " has lost a phase upstream"))
}

// voltages is what a meter has measured, whether a phase that it uses isn't whole, and how much the
// least has, in percent.
func (f *Fleet) voltages(p int, e evidence.Event) (inputs []telemetry.Input, lost bool, least uint8) {
	first, least := f.first[p]+2, uint8(100)
	for i, name := range phaseNames {
		if f.grid.Snapshot().Point(p).Phases&(1<<i) == 0 {
			continue
		}
		v := 2.3 * float64(e.Levels[i])
		inputs = append(inputs, telemetry.Input{Signal: telemetry.SignalID(first), Name: name, Device: e.Point, Unit: "V", Value: &v, Quality: "good", Time: telemetry.Micros(e.Source)})
		first++
		lost, least = lost || e.Levels[i] < 100, min(least, e.Levels[i])
	}
	return inputs, lost, least
}

// ofSwitch stores a position, and raises and clears the alarms that follow from it.
func (f *Fleet) ofSwitch(e evidence.Event, send func(*kgo.Record)) error {
	is, known := f.switches[e.Switch]
	if !known {
		return nil
	}
	to := live.Closed
	if *e.Open {
		to = live.Open
	}
	f.place(e.Switch, e.Source, to)
	g := &f.gateways[is.gateway]
	change := func(rule string, p telemetry.Priority, raised bool, summary string) error {
		return f.change(g, telemetry.AlarmChange{Rule: rule, Asset: e.Switch, Priority: p, Summary: e.Switch + summary}, raised, e.Source, send)
	}
	return errors.Join(change("breaker-open", telemetry.Low, *e.Open, " is open"), change("breaker-lockout", telemetry.Critical, e.LockedOut, " is open and doesn't reclose"))
}

// place is a sample of where a switch is, if that has changed.
func (f *Fleet) place(id string, at int64, to live.Position) {
	is := f.switches[id]
	if is.last == to {
		return
	}
	is.last = to
	f.switches[id] = is
	g := &f.gateways[is.gateway]
	g.samples = append(g.samples, telemetry.Sample{Time: telemetry.Micros(at), Signal: is.signal, Value: telemetry.UintValue(uint64(to))})
}

// ofSupply is a gateway's last gasp, and that its supply is back. If it didn't last until then, it
// starts again.
func (f *Fleet) ofSupply(g *gateway, e evidence.Event, send func(*kgo.Record)) error {
	if e.Kind == evidence.MainsFail {
		if g.failed == 0 {
			g.failed, g.failedBoot = e.Source, g.boot()
		}
		return f.write(g, telemetry.Event{Kind: telemetry.SupplyFailed, Time: telemetry.Micros(e.Source), LastGasp: &telemetry.LastGasp{Boot: g.boot()}}, send)
	}
	if g.failed == 0 {
		return nil
	}
	away := e.Source - g.failed
	r := telemetry.Restoration{Since: telemetry.Micros(g.failed), Boot: g.failedBoot, Away: &away}
	var err error
	if away > f.config.HoldUp.Microseconds() {
		err = f.start(g, e.Source, send)
	}
	g.failed = 0
	return errors.Join(err, f.write(g, telemetry.Event{Kind: telemetry.SupplyRestored, Time: telemetry.Micros(e.Source), Restored: &r}, send))
}

// change raises an alarm, or clears it, if that is a change.
func (f *Fleet) change(g *gateway, a telemetry.AlarmChange, raised bool, at int64, send func(*kgo.Record)) error {
	of := alarm{a.Rule, a.Asset}
	id, is := g.active[of]
	if is == raised {
		return nil
	}
	kind := telemetry.AlarmCleared
	if raised {
		g.alarms++
		id, kind = fmt.Sprintf("%016x-%016x-%d", g.hash, uint64(f.config.Epoch), g.alarms), telemetry.AlarmRaised
		g.active[of] = id
	} else {
		delete(g.active, of)
	}
	a.ID, a.Confirmed = id, telemetry.Micros(at)
	return f.write(g, telemetry.Event{Kind: kind, Time: telemetry.Micros(at), Alarm: &a}, send)
}
