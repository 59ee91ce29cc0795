package field

import (
	"embed"
	"hash/fnv"
	"math"
	"strings"

	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/telemetry"
)

// The profiles of what is no product. A gateway's configuration expects them beside it.
//
//go:embed bay.yaml one-phase.yaml
var profiles embed.FS

const (
	bayFile      = "bay.yaml"
	onePhaseFile = "one-phase.yaml"
)

// profileOf is one of them.
func profileOf(file string) (profile.Profile, error) {
	src, err := profiles.ReadFile(file)
	if err != nil {
		return profile.Profile{}, err
	}
	return profile.Parse("busbar/"+strings.TrimSuffix(file, ".yaml"), file, src)
}

func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

// units is what is behind each port.
func (f *Field) units() (ports []map[byte]devices.Unit, err error) {
	bay, err := profileOf(bayFile)
	if err != nil {
		return nil, err
	}
	single, err := profileOf(onePhaseFile)
	if err != nil {
		return nil, err
	}
	f.counting = map[string]*devices.Meter{}
	products := map[string]*devices.Product{}
	if products[onePhaseFile], err = devices.NewProduct(devices.Part{Profile: single}); err != nil {
		return nil, err
	}
	for i := range f.devices {
		d := &f.devices[i]
		if d.By != ByModbus {
			continue
		}
		var unit devices.Unit
		if d.Of == Bay {
			unit, err = f.bay(d, bay)
		} else {
			if products[d.Product] == nil {
				if products[d.Product], err = devices.LoadProduct(d.Product); err != nil {
					return nil, err
				}
			}
			m := devices.NewMeter(devices.MeterConfig{Product: products[d.Product], Source: f.source(d)})
			if d.Of == TransformerMeter {
				f.counting[d.ID] = m
			}
			unit = m
		}
		if err != nil {
			return nil, err
		}
		if d.port == len(ports) {
			ports = append(ports, map[byte]devices.Unit{})
		}
		ports[d.port][d.Unit] = unit
	}
	return ports, nil
}

func (f *Field) source(d *Device) devices.Source {
	if d.Of == TransformerMeter {
		return lowSide{grid: f.config.Grid, edge: d.index}
	}
	return f.terminals(d)
}

func (f *Field) terminals(d *Device) terminals {
	s := f.config.Grid.Snapshot()
	t := terminals{grid: f.config.Grid, point: d.index, auxiliary: d.PoweredBy == evidence.Auxiliary, silent: d.silent, phases: 3}
	t.order = [3]int{0, 1, 2}
	if used := s.Point(d.index).Phases; phases(used) == 1 {
		t.phases = 1
		for i := range t.order {
			if used>>i&1 == 1 {
				t.order = [3]int{i, (i + 1) % 3, (i + 2) % 3}
			}
		}
	}
	return t
}

// terminals are those of the meter of a service point.
type terminals struct {
	grid              Grid
	point             int
	auxiliary, silent bool
	phases            int
	order             [3]int // the phase of the grid at each terminal
}

// Instant implements devices.Source.
func (t terminals) Instant() int64 { return t.grid.Now() }

// Powers implements devices.Source.
func (t terminals) Powers() bool {
	return !t.silent && (t.auxiliary || t.grid.Point(t.point).Alive)
}

// Measure implements devices.Source.
func (t terminals) Measure(int64) devices.Reading { return t.reading(t.grid.Point(t.point)) }

func (t terminals) reading(p live.Point) devices.Reading {
	r := devices.Reading{Frequency: round(p.Frequency, 100), Imported: p.Import, Exported: p.Export, Phases: t.phases}
	for i, phase := range t.order {
		r.Voltage[i], r.Current[i] = p.Voltage[phase], p.Current[phase]
		r.SetPower(i, p.Active[phase], p.Reactive[phase])
	}
	for i := range t.phases {
		r.Shares[i] = 1 / float64(t.phases)
	}
	return r
}

// lowSide is the low side of a transformer, where its meter is. The meter has a supply of
// its own.
type lowSide struct {
	grid Grid
	edge int
}

// Instant implements devices.Source.
func (l lowSide) Instant() int64 { return l.grid.Now() }

// Powers implements devices.Source.
func (l lowSide) Powers() bool { return true }

// Measure implements devices.Source.
func (l lowSide) Measure(int64) devices.Reading {
	t := l.grid.Transformer(l.edge)
	r := devices.Reading{Shares: [3]float64{1. / 3, 1. / 3, 1. / 3}, Imported: t.Forth, Exported: t.Back}
	if !t.Alive {
		return r
	}
	r.Frequency = round(l.grid.Frequency(), 100)
	var sum float64
	for i := range 3 {
		r.Voltage[i], r.Current[i] = t.LowVoltage[i], t.LowCurrent[i]
		sum += t.LowVoltage[i] * t.LowCurrent[i]
	}
	for i := range 3 {
		part := 1. / 3
		if sum > 0 {
			part = t.LowVoltage[i] * t.LowCurrent[i] / sum
		}
		r.SetPower(i, part*t.Active, part*t.Reactive)
	}
	return r
}

func round(v, parts float64) float64 { return math.Round(v*parts) / parts }

// shown is what is seen of a switch. A position that is stale stays as it is.
func (f *Field) shown(edge int) func() live.Switch {
	g := f.config.Grid
	stale := g.Switch(edge).Position
	return func() live.Switch {
		x := g.Switch(edge)
		if x.Stale {
			x.Position = stale
		}
		return x
	}
}

// operate opens or closes a switch, as somebody commands.
func (f *Field) operate(edge int, closed bool) error {
	id := f.config.Grid.Snapshot().EdgeAsset(edge).ID
	if err := f.config.Operate(id, closed); err != nil {
		f.log.Warn("switch not operated", "switch", id, "closed", closed, "error", err)
		return err
	}
	f.log.Info("switch operated", "switch", id, "closed", closed)
	return nil
}

// bay is a switch's controller.
func (f *Field) bay(d *Device, p profile.Profile) (devices.Unit, error) {
	shown := f.shown(d.index)
	c := devices.ControllerConfig{Profile: p, Value: func(signal string) (telemetry.Value, bool) {
		x := shown()
		switch signal {
		case "Pos":
			return telemetry.UintValue(uint64(x.Position)), true
		case "OpCnt":
			return telemetry.UintValue(uint64(x.Operations)), true
		case "Tr":
			return telemetry.BoolValue(x.Tripped), true
		case "Lockout":
			return telemetry.BoolValue(x.LockedOut), true
		case "PosOn":
			return telemetry.BoolValue(x.Position == live.Closed), true
		case "A.phsA", "A.phsB", "A.phsC":
			return telemetry.FloatValue(round(x.Current[signal[len(signal)-1]-'A'], 100)), true
		}
		return telemetry.Value{}, false
	}}
	if f.config.Operate != nil {
		c.Operate = func(_ string, on bool) devices.Exception {
			if f.operate(d.index, on) != nil {
				return devices.DeviceFailure
			}
			return 0
		}
	}
	return devices.NewController(c)
}
