package grid

import "math"

// Model is a network over time: the same id may stand for one asset after
// another, each valid for a time of its own.
type Model struct {
	// What the network is called. Example: North region.
	Name string `yaml:"name"`
	// The system that positions are in: local, which is the default, or wgs84.
	Coordinates Coordinates `yaml:"coordinates"`

	// Who may see what.
	Zones []Zone `yaml:"zones"`
	// Places with equipment.
	Substations []Substation `yaml:"substations"`
	// Busbars, and other nodes of which more is known than their id.
	Nodes []Node `yaml:"nodes"`
	// Where the network is supplied from.
	Sources []Source `yaml:"sources"`
	// Circuits.
	Feeders []Feeder `yaml:"feeders"`
	// Lines and cables.
	Lines []Line `yaml:"lines"`
	// What opens and closes.
	Switches []Switch `yaml:"switches"`
	// Transformers.
	Transformers []Transformer `yaml:"transformers"`
	// Customers' connections.
	ServicePoints []ServicePoint `yaml:"service_points"`
}

// Asset is what every asset has.
type Asset struct {
	// The asset's id: the one that gateways name as a device's asset, and that
	// other assets refer to. At most 128 characters. Example: feeder-1.
	ID string `yaml:"id,required"`
	// What people call it, if that isn't the id. Example: Mill Lane 4.
	Name string `yaml:"name"`
	// The zone that it belongs to, which is who may see it.
	Zone string `yaml:"zone"`
	// Where it is: x and y, which are longitude and latitude in WGS84.
	// Example: 9.4797 51.3127.
	Position Position `yaml:"position"`
	// When it began to be part of the network, if not always.
	// Example: 2026-03-01T00:00:00Z.
	ValidFrom Time `yaml:"valid_from"`
	// The first instant at which it no longer is, if there is one.
	ValidTo Time `yaml:"valid_to"`

	// Place is where the asset was read.
	Place Place
}

// ValidAt reports whether the asset is part of the network at t, in
// microseconds since 1970 UTC.
func (a *Asset) ValidAt(t int64) bool {
	return (a.ValidFrom == 0 || int64(a.ValidFrom) <= t) && (a.ValidTo == 0 || t < int64(a.ValidTo))
}

// Zone is a part of the network whose people see it and nothing else.
type Zone struct {
	Asset `yaml:",inline"`
	// The zone that contains it.
	Parent string `yaml:"parent"`
}

// Substation is a place with equipment of its own: from a primary substation
// down to a pillar.
type Substation struct {
	Asset `yaml:",inline"`
}

// Node is a point at which equipment is connected. A node needs no entry: it
// exists as soon as equipment names it. An entry says what else is known of it.
type Node struct {
	Asset `yaml:",inline"`
	// What it is: busbar, cabinet or joint, which is the default.
	Type NodeType `yaml:"type"`
	// The substation that it is in.
	Substation string `yaml:"substation"`
	// Its nominal voltage between phases. Example: 20 kV.
	Voltage Voltage `yaml:"voltage"`
}

// Source is where the network is supplied from: a higher network, or a power
// station that can carry it alone.
type Source struct {
	Asset `yaml:",inline"`
	// The node that it feeds.
	Node string `yaml:"node,required"`
	// Its nominal voltage between phases.
	Voltage Voltage `yaml:"voltage"`
	// The voltage between phases that it holds, its nominal one if it isn't
	// said. Example: 20.4 kV.
	Setpoint Voltage `yaml:"setpoint"`
}

// Feeder is a circuit: everything that is supplied through its head.
type Feeder struct {
	Asset `yaml:",inline"`
	// The substation that it leaves.
	Substation string `yaml:"substation"`
	// The switch, line or transformer through which all of it is supplied; as a
	// rule its circuit breaker.
	Head string `yaml:"head"`
}

// Line is a section of overhead line or cable between two nodes.
type Line struct {
	Asset `yaml:",inline"`
	// The node at one end.
	From string `yaml:"from,required"`
	// The node at the other end.
	To string `yaml:"to,required"`
	// How it is built: overhead, cable or unknown, which is the default.
	Type LineType `yaml:"type"`
	// Its nominal voltage between phases.
	Voltage Voltage `yaml:"voltage"`
	// The phases that it carries, all if it isn't said. Example: AB.
	Phases Phases `yaml:"phases"`
	// Its length. Example: 120 m.
	Length Length `yaml:"length"`
	// The current that it may carry for ever. Example: 270 A.
	RatedCurrent Current `yaml:"rated_current"`
	// A phase's resistance. Example: 0.206 ohm/km.
	Resistance ImpedancePerLength `yaml:"resistance"`
	// A phase's reactance in symmetrical operation. Example: 0.08 ohm/km.
	Reactance ImpedancePerLength `yaml:"reactance"`
	// A phase's capacitance in symmetrical operation. Example: 260 nF/km.
	Capacitance CapacitancePerLength `yaml:"capacitance"`
	// It is there and normally carries nothing.
	OutOfService bool `yaml:"out_of_service"`
}

// Switch is what opens and closes between two nodes.
type Switch struct {
	Asset `yaml:",inline"`
	// The node on one side.
	From string `yaml:"from,required"`
	// The node on the other side.
	To string `yaml:"to,required"`
	// What it is: breaker, recloser, load-switch, disconnector or fuse.
	Type SwitchType `yaml:"type,required"`
	// It is open in normal operation: a tie, for instance.
	NormallyOpen bool `yaml:"normally_open"`
	// The substation that it is in.
	Substation string `yaml:"substation"`
	// Its nominal voltage between phases.
	Voltage Voltage `yaml:"voltage"`
	// The phases that it connects.
	Phases Phases `yaml:"phases"`
	// The signal that shows its position, if it is telemetered: that of any
	// device whose asset it is, unless device says which. Example: Pos.
	Signal string `yaml:"signal"`
	// The device that has the signal. Example: bay-rtu.
	Device string `yaml:"device"`
	// The gateway that reads the device. Example: north-gw1.
	Gateway string `yaml:"gateway"`
}

// Telemetered reports whether a signal shows the switch's position. Operators
// enter those of other switches.
func (s *Switch) Telemetered() bool { return s.Signal != "" }

// Transformer connects two voltages. One with three windings is two of these.
type Transformer struct {
	Asset `yaml:",inline"`
	// The node on the side of the higher voltage.
	From string `yaml:"from,required"`
	// The node on the side of the lower voltage.
	To string `yaml:"to,required"`
	// The substation that it is in.
	Substation string `yaml:"substation"`
	// Its rated power. Example: 630 kVA.
	RatedPower Power `yaml:"rated_power"`
	// The rated voltage of from's winding. Example: 20 kV.
	HighVoltage Voltage `yaml:"high_voltage"`
	// The rated voltage of to's winding. Example: 400 V.
	LowVoltage Voltage `yaml:"low_voltage"`
	// How its windings are connected. Example: Dyn5.
	VectorGroup string `yaml:"vector_group"`
	// The part of its rated voltage that drives its rated current through it
	// when the other side is short-circuited. Example: 4 %.
	ShortCircuitVoltage Percent `yaml:"short_circuit_voltage"`
	// What it loses in its windings at its rated current. Example: 4.6 kW.
	LoadLoss ActivePower `yaml:"load_loss"`
	// What it loses whatever its load. Example: 600 W.
	NoLoadLoss ActivePower `yaml:"no_load_loss"`
	// The part of its rated current that it takes without a load. Example: 0.3 %.
	NoLoadCurrent Percent `yaml:"no_load_current"`
	// How far from its rated ratio it is set, as a part of the high voltage:
	// above 0, its low voltage is lower. Example: -2.5 %.
	Tap Tap `yaml:"tap"`
	// The phases that it transforms.
	Phases Phases `yaml:"phases"`
	// It is there and normally carries nothing.
	OutOfService bool `yaml:"out_of_service"`
}

// SetTap sets the tap to percent above the rated voltage of one winding. A tap of
// the lower one is converted to the higher one's, for which the short-circuit
// voltage and the load loss change as well. Percents from -50 to 50 are taken.
func (t *Transformer) SetTap(percent float64, low bool) {
	switch {
	case !(math.Abs(percent) <= 50):
	case !low:
		t.Tap = Tap(percent)
	default:
		turns := 1 + percent/100
		t.Tap = Tap(-100 * percent / (100 + percent))
		t.ShortCircuitVoltage = Percent(min(float64(t.ShortCircuitVoltage)*turns*turns, math.MaxFloat64))
		t.LoadLoss = ActivePower(min(float64(t.LoadLoss)*turns*turns, math.MaxFloat64))
	}
}

// ServicePoint is where customers are connected.
type ServicePoint struct {
	Asset `yaml:",inline"`
	// The node that supplies it.
	Node string `yaml:"node,required"`
	// How many customers it has; 1 if it isn't said.
	Customers int `yaml:"customers"`
	// The phases that it uses, all if it isn't said. Example: B.
	Phases Phases `yaml:"phases"`
	// Its nominal voltage between phases.
	Voltage Voltage `yaml:"voltage"`
	// How urgent its supply is: normal, which is the default, high or critical.
	Priority Priority `yaml:"priority"`
}

// SetDefaults says what holds where nothing is said.
func (p *ServicePoint) SetDefaults() { p.Customers, p.Phases = 1, ABC }

// SetDefaults says what holds where nothing is said.
func (l *Line) SetDefaults() { l.Phases = ABC }

// SetDefaults says what holds where nothing is said.
func (s *Switch) SetDefaults() { s.Phases = ABC }

// SetDefaults says what holds where nothing is said.
func (t *Transformer) SetDefaults() { t.Phases = ABC }

// Kind is what an asset is, by the list of the model that it is in.
type Kind uint8

// The kinds, in the order of a model's lists.
const (
	KindZone Kind = iota
	KindSubstation
	KindNode
	KindSource
	KindFeeder
	KindLine
	KindSwitch
	KindTransformer
	KindServicePoint
)

var kindNames = [...]string{"zone", "substation", "node", "source", "feeder", "line", "switch", "transformer", "service point"}

func (k Kind) String() string { return kindNames[k] }

// Each calls f with every asset, kind by kind, in the model's order. index is
// the asset's in the list of its kind.
func (m *Model) Each(f func(kind Kind, index int, a *Asset)) {
	each(m.Zones, func(i int, v *Zone) { f(KindZone, i, &v.Asset) })
	each(m.Substations, func(i int, v *Substation) { f(KindSubstation, i, &v.Asset) })
	each(m.Nodes, func(i int, v *Node) { f(KindNode, i, &v.Asset) })
	each(m.Sources, func(i int, v *Source) { f(KindSource, i, &v.Asset) })
	each(m.Feeders, func(i int, v *Feeder) { f(KindFeeder, i, &v.Asset) })
	each(m.Lines, func(i int, v *Line) { f(KindLine, i, &v.Asset) })
	each(m.Switches, func(i int, v *Switch) { f(KindSwitch, i, &v.Asset) })
	each(m.Transformers, func(i int, v *Transformer) { f(KindTransformer, i, &v.Asset) })
	each(m.ServicePoints, func(i int, v *ServicePoint) { f(KindServicePoint, i, &v.Asset) })
}

func each[T any](list []T, f func(int, *T)) {
	for i := range list {
		f(i, &list[i])
	}
}
