package field

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/evidence"
)

// How devices are read.
const (
	ByModbus    = "modbus"
	ByIEC104    = "iec104"
	ByOPCUA     = "opcua"
	ByMQTT      = "mqtt"
	BySparkplug = "sparkplug"
)

// What devices are.
const (
	Meter            = "meter"
	TransformerMeter = "transformer meter"
	Bay              = "bay controller"
	Monitor          = "transformer monitor"
)

// transformerProduct is that of the meters at transformers' low sides.
const transformerProduct = "siemens/pac2200"

// Device is one of those that stand on the grid.
type Device struct {
	ID string // what it is called in the gateway's configuration
	// Of is what it is, and By how it is read.
	Of, By string
	// Asset is what it is about; its id is as the grid has it, as far as a gateway takes such a name.
	Asset     string
	PoweredBy string // evidence.Measured or evidence.Auxiliary
	// Supply is the fuse, switch or transformer with which it loses its voltage, in
	// normal operation.
	Supply  string
	Product string // the profile of one that is read by Modbus
	// Endpoint is where it is, and Unit which it is there by Modbus.
	Endpoint string
	Unit     byte

	kind    string // of the asset
	parent  string // of the asset
	voltage grid.Voltage
	index   int // of the service point or edge
	silent  bool
	port    int
}

// station is a transformer, and the service points behind it in normal operation.
type station struct {
	edge   int // grid.None: those behind none
	id     string
	meters []int // in Field.devices
	by     string
}

// place finds which devices there are. Those of a transformer are together.
func (f *Field) place() error {
	s := f.config.Grid.Snapshot()
	names := namer{used: map[string]bool{}}
	// Bay controllers: in a list of their own, since many transformers have none.
	for edge := range s.Edges() {
		e := s.Edge(edge)
		if e.Kind != grid.KindSwitch || !s.Model().Switches[e.Index].Telemetered() {
			continue
		}
		id, by := s.EdgeAsset(edge).ID, ByModbus
		if f.config.IEC104 != "" && s.Model().Switches[e.Index].Substation != "" {
			by = ByIEC104
		}
		f.devices = append(f.devices, Device{ID: names.device(id, "bay"), Of: Bay, By: by, Asset: names.asset(id), PoweredBy: evidence.Auxiliary,
			Product: bayFile, kind: s.Model().Switches[e.Index].Type.String(), index: edge})
	}
	f.stations = stationsOf(s)
	for i := range f.stations {
		f.equip(&f.stations[i], names)
	}
	f.settle()
	if len(f.devices) == 0 {
		return fmt.Errorf("the grid has no telemetered switch, no transformer and no metered service point, so no device stands on it")
	}
	return nil
}

// stationsOf is the transformers that feed service points, in the order in which normal
// operation reaches them, and what is behind none.
func stationsOf(s *grid.Snapshot) (list []station) {
	at := map[int]int{}
	for p := range s.Points() {
		edge := upstream(s, s.Point(p).Node, func(e grid.Edge) bool { return e.Kind == grid.KindTransformer })
		i, ok := at[edge]
		if !ok {
			i = len(list)
			at[edge] = i
			x := station{edge: edge, id: "grid"}
			if edge != grid.None {
				x.id = s.EdgeAsset(edge).ID
			}
			list = append(list, x)
		}
		list[i].meters = append(list[i].meters, p) // service points until equip
	}
	return list
}

// upstream is the first edge that supplies a node in normal operation and is as wanted.
func upstream(s *grid.Snapshot, node int, wanted func(grid.Edge) bool) int {
	for node != grid.None {
		edge := s.Normal().Supply(node)
		if edge == grid.None || wanted(s.Edge(edge)) {
			return edge
		}
		node = s.Normal().Upstream(node)
	}
	return grid.None
}

// equip places the devices of a station.
func (f *Field) equip(x *station, names namer) {
	c, s := f.config, f.config.Grid.Snapshot()
	points := x.meters
	x.meters = nil
	parent := ""
	random := rand.New(rand.NewPCG(c.Seed, hash(x.id)))
	x.by = ByModbus
	switch share := random.Float64(); {
	case share < c.MQTTShare:
		x.by = ByMQTT
	case share < c.MQTTShare+c.SparkplugShare:
		x.by = BySparkplug
	}
	if x.edge != grid.None {
		parent = names.asset(x.id)
		f.devices = append(f.devices, Device{ID: names.device(x.id, "meter"), Of: TransformerMeter, By: ByModbus, Asset: parent, PoweredBy: evidence.Auxiliary,
			Supply: parent, Product: transformerProduct, kind: "transformer", index: x.edge})
		if c.OPCUA != "" {
			f.devices = append(f.devices, Device{ID: names.device(x.id, "monitor"), Of: Monitor, By: ByOPCUA, Asset: parent, PoweredBy: evidence.Auxiliary,
				Endpoint: "opc.tcp://" + c.OPCUA, kind: "transformer", index: x.edge})
		}
	}
	for _, p := range points {
		has := c.Edge.Equip(c.Seed, p)
		product := c.product(random)
		if !has.Metered {
			continue
		}
		at := s.PointAsset(p)
		d := Device{ID: names.device(at.ID, "meter"), Of: Meter, By: x.by, Asset: names.asset(at.ID), PoweredBy: evidence.Measured, Product: product,
			kind: "service-point", parent: parent, voltage: at.Voltage, index: p, silent: has.Silent}
		if has.Auxiliary {
			d.PoweredBy = evidence.Auxiliary
		}
		if edge := upstream(s, s.Point(p).Node, func(e grid.Edge) bool { return e.Kind != grid.KindLine }); edge != grid.None {
			d.Supply = names.asset(s.EdgeAsset(edge).ID)
		}
		if phases(s.Point(p).Phases) == 1 {
			d.Product = onePhaseFile
		}
		x.meters = append(x.meters, len(f.devices))
		f.devices = append(f.devices, d)
	}
}

// product is one of those of three phases, by their shares.
func (c Config) product(random *rand.Rand) string {
	var sum float64
	for _, s := range c.Products {
		sum += s.Weight
	}
	at := random.Float64() * sum
	for _, s := range c.Products {
		if at -= s.Weight; at < 0 {
			return s.Product
		}
	}
	return c.Products[0].Product
}

// settle gives those that are read by Modbus a port and a unit.
func (f *Field) settle() {
	port, unit := 0, 0
	for i := range f.devices {
		d := &f.devices[i]
		if d.By != ByModbus {
			continue
		}
		if unit == f.config.UnitsPerPort {
			port, unit = port+1, 0
		}
		unit++
		d.port, d.Unit = port, byte(unit)
	}
}

func phases(p grid.Phases) (n int) {
	for i := range 3 {
		n += int(p >> i & 1)
	}
	return n
}

// namer makes names that a gateway takes.
type namer struct{ used map[string]bool }

var notInAsset, notInDevice = regexp.MustCompile(`[^A-Za-z0-9._-]+`), regexp.MustCompile(`[^a-z0-9]+`)

// asset is the grid's id as a gateway takes it.
func (namer) asset(id string) string {
	name := strings.TrimLeft(notInAsset.ReplaceAllString(id, "-"), "._-")
	return name[:min(len(name), 63)]
}

// device is an id of its own for a device of an asset.
func (n namer) device(asset, kind string) string {
	name := strings.Trim(notInDevice.ReplaceAllString(strings.ToLower(asset), "-"), "-")
	name = name[:min(len(name), 45)]
	for i := 0; ; i++ {
		id := name + "-" + kind
		if i > 0 {
			id = fmt.Sprintf("%s-%d", id, i+1)
		}
		if !n.used[id] {
			n.used[id] = true
			return strings.TrimLeft(id, "-")
		}
	}
}
