package field

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/outstation"
	"github.com/busbar/busbar/sim/world"
)

// Objects of a bay's outstation, beside its breaker.
const (
	tripped     = 1002 // single point: protection has opened it
	lockedOut   = 1003 // single point: it doesn't close by itself
	operations  = 1004 // integrated total
	energyForth = 1020 // integrated total, kWh: from the side that supplies it
	energyBack  = 1021
)

// measurement is a short floating point number that a bay's outstation has, from outstation.Measured on.
type measurement struct {
	name, unit string
	of         func(live.Switch) float64
}

var measurements = []measurement{
	{"PPV.phsAB", "V", func(x live.Switch) float64 { return x.Voltage[0] }},
	{"PPV.phsBC", "V", func(x live.Switch) float64 { return x.Voltage[1] }},
	{"PPV.phsCA", "V", func(x live.Switch) float64 { return x.Voltage[2] }},
	{"A.phsA", "A", func(x live.Switch) float64 { return x.Current[0] }},
	{"A.phsB", "A", func(x live.Switch) float64 { return x.Current[1] }},
	{"A.phsC", "A", func(x live.Switch) float64 { return x.Current[2] }},
	{"TotW", "W", func(x live.Switch) float64 { return x.Active }},
	{"TotVAr", "var", func(x live.Switch) float64 { return x.Reactive }},
}

// bayStation is the outstation of a switch. One goroutine tells.
type bayStation struct {
	*outstation.Station
	field   *Field
	edge    int
	shown   func() live.Switch
	runs    bool
	reached bool
	// What has been told of events, whose times are before what the grid has now.
	open             grid.Phases
	tripped, lockout bool
}

// outstations opens the ports of IEC 60870-5-104, one for each bay.
func (f *Field) outstations() error {
	_, f.since, _ = f.config.Grid.Changes(math.MaxUint64)
	for i := range f.devices {
		d := &f.devices[i]
		if d.By != ByIEC104 {
			continue
		}
		address, err := after(f.config.IEC104, len(f.bays))
		if err != nil {
			return err
		}
		b, err := f.outstation(d, address)
		if err != nil {
			return err
		}
		d.Endpoint = b.Endpoint()
		f.bays = append(f.bays, b)
	}
	return nil
}

func (f *Field) outstation(d *Device, address string) (*bayStation, error) {
	b := &bayStation{field: f, edge: d.index, shown: f.shown(d.index), runs: true, reached: true}
	x := b.shown()
	b.open, b.tripped, b.lockout = x.Phases, x.Tripped, x.LockedOut
	points := []controlled.Point{
		{Address: outstation.Breaker, Type: asdu.DoublePoint, Value: float64(x.Position), Group: 1},
		{Address: tripped, Type: asdu.SinglePoint, Value: bit(x.Tripped), Group: 1},
		{Address: lockedOut, Type: asdu.SinglePoint, Value: bit(x.LockedOut), Group: 1},
		{Address: operations, Type: asdu.Totals, Value: float64(x.Operations), Quiet: true, Group: 1},
		{Address: energyForth, Type: asdu.Totals, Quiet: true, Group: 2},
		{Address: energyBack, Type: asdu.Totals, Quiet: true, Group: 2},
	}
	for i, m := range measurements {
		points = append(points, controlled.Point{Address: outstation.Measured + uint32(i), Type: asdu.ShortFloat, Value: m.of(x), Latest: true, Group: 2})
	}
	var controls []controlled.Control
	if f.config.Operate != nil {
		controls = []controlled.Control{{Address: outstation.Command + outstation.Breaker, Type: asdu.DoubleCommand, Select: true}}
	}
	var err error
	b.Station, err = outstation.Open(address, nil, points, controls, b, f.log)
	return b, err
}

// Select is of controlled.Owner.
func (b *bayStation) Select(_ context.Context, c controlled.Command) error {
	_, err := outstation.Closes(c)
	return err
}

// Cancel is of controlled.Owner.
func (b *bayStation) Cancel(controlled.Command) {}

// Execute is of controlled.Owner.
func (b *bayStation) Execute(_ context.Context, c controlled.Command, accepted func()) error {
	closed, err := outstation.Closes(c)
	if err != nil {
		return err
	}
	accepted()
	return b.field.operate(b.edge, closed)
}

// SetClock is of controlled.Owner. It has the clock of this machine.
func (b *bayStation) SetClock(uint16, time.Time) error { return nil }

// tell lets the outstations follow the grid until ctx ends.
func (f *Field) tell(ctx context.Context) error {
	byEdge := map[int]*bayStation{}
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for _, b := range f.bays {
		byEdge[b.edge] = b
		serving.Go(func() {
			if err := b.Serve(ctx); err != nil {
				fail(err)
			}
		})
	}
	look := time.NewTicker(time.Second) // at energy, and at connections
	defer look.Stop()
	for next := f.since; ; {
		changes, after, more := f.config.Grid.Changes(next)
		missed := len(changes) > 0 && changes[0].Number > next
		for _, c := range changes {
			if c.Event == nil {
				continue
			}
			if b := byEdge[c.Event.Edge]; b != nil {
				b.happened(*c.Event, f.moment(c.Event.At))
			}
		}
		next = after
		for _, b := range f.bays {
			b.show(missed, time.Now())
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
				return cause
			}
			return nil
		case <-more:
		case <-look.C:
		}
	}
}

// moment is when something of the grid's time has been by the clock of this machine, if time passes
// as fast as now.
func (f *Field) moment(at int64) time.Time {
	now := time.Now()
	speed, _ := f.config.Grid.Speed()
	if speed == 0 {
		return now
	}
	return now.Add(-time.Duration(float64(f.config.Grid.Now()-at) * 1e3 / speed))
}

// happened tells an event of the switch with its own time.
func (b *bayStation) happened(e world.Event, at time.Time) {
	x := b.shown()
	switch e.Kind {
	case world.Tripped, world.Blown, world.Opened:
		b.open |= e.Phases
	case world.Reclosed, world.Closed:
		b.open &^= e.Phases
	case world.LockedOut:
	default:
		return
	}
	b.tripped = e.Kind == world.Tripped || e.Kind == world.Blown || e.Kind == world.LockedOut && b.tripped
	b.lockout = e.Kind == world.LockedOut
	if x.Runs { // or else nobody sees it happen
		b.state(x, at)
	}
}

// state tells position and protection.
func (b *bayStation) state(x live.Switch, at time.Time) {
	position := float64(x.Position)
	if !x.Stale {
		position = float64(live.PositionOf(b.open, b.field.config.Grid.Snapshot().Edge(b.edge).Phases))
	}
	b.Tell(controlled.Change{Address: tripped, Value: bit(b.tripped), At: at})
	b.Tell(controlled.Change{Address: outstation.Breaker, Value: position, At: at})
	b.Tell(controlled.Change{Address: lockedOut, Value: bit(b.lockout), At: at})
}

// show tells what is measured now, and position and protection if some of their changes were missed
// or weren't seen.
func (b *bayStation) show(missed bool, now time.Time) {
	x := b.shown()
	if reached := x.Runs && x.Connected; reached != b.reached {
		b.reached = reached
		b.Reach(reached)
	}
	missed = missed || x.Runs && !b.runs
	if b.runs = x.Runs; !x.Runs {
		return
	}
	if missed {
		b.open, b.tripped, b.lockout = x.Phases, x.Tripped, x.LockedOut
		b.state(x, now)
	}
	for i, m := range measurements {
		b.Tell(controlled.Change{Address: outstation.Measured + uint32(i), Value: float64(float32(m.of(x))), At: now})
	}
	count := func(object uint32, value float64) {
		b.Tell(controlled.Change{Address: object, Value: math.Floor(math.Mod(value, 1<<31)), At: now})
	}
	count(operations, float64(x.Operations))
	count(energyForth, x.Forth/1000)
	count(energyBack, x.Back/1000)
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// signals is how a gateway reads the outstation, and commands it.
func (b *bayStation) signals(w io.Writer) {
	fmt.Fprintf(w, ", iec104: {endpoint: %q, counters_every: 1m}, signals: [{name: Pos, ioa: %d, kind: state}, {name: Tr, ioa: %d, type: bool}, {name: Lockout, ioa: %d, type: bool}",
		b.Endpoint(), outstation.Breaker, tripped, lockedOut)
	for i, m := range measurements {
		fmt.Fprintf(w, ", {name: %s, ioa: %d, unit: %s}", m.name, outstation.Measured+i, m.unit)
	}
	fmt.Fprintf(w, `, {name: OpCnt, ioa: %d, unit: "1", kind: counter}, {name: TotWh, ioa: %d, unit: W.h, scale: 1000, kind: counter}, {name: SupWh, ioa: %d, unit: W.h, scale: 1000, kind: counter}]`,
		operations, energyForth, energyBack)
	if b.field.config.Operate != nil {
		fmt.Fprintf(w, ", control: [{signal: Pos, one_of: [1, 2], settle: 5s, command: {ioa: %d, type: double}}]", outstation.Command+outstation.Breaker)
	}
}
