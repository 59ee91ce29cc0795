package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/busbar/busbar/grid"
)

// Generate makes a network, which is the same, to the order of its assets, for
// the same parameters. They must be ones that Check finds nothing wrong with.
//
// Each substation, of 110/20 kV, has two transformers and two busbars with a
// coupler between them that is open. Its feeders have a trunk of sections with a
// load switch before every few of them, laterals behind fuses, and,
// overhead, a recloser halfway. Ties, which are open, join the ends of feeders
// that follow each other, and so of different substations as well. A
// transformer behind a fuse feeds low-voltage lines, each behind a fuse at its
// board, with a few service points at each joint.
func Generate(p Parameters) *grid.Model {
	b := &builder{Parameters: p.withDefaults(), model: &grid.Model{Coordinates: grid.WGS84}}
	b.model.Name = b.Name
	b.size()
	feeders := max(2, (b.ServicePoints+b.PerFeeder-1)/b.PerFeeder)
	if b.ServicePoints == 1 {
		feeders = 1
	}
	stations := (feeders + b.PerSubstation - 1) / b.PerSubstation
	b.model.Zones = append(b.model.Zones, grid.Zone{Asset: grid.Asset{ID: "region"}})
	var ends []end
	for f, station := 0, (*station)(nil); f < feeders; f++ {
		if f%b.PerSubstation == 0 {
			here := min(b.PerSubstation, feeders-f)
			station = b.station(f/b.PerSubstation, stations, here, share(b.ServicePoints, feeders, f, here))
		}
		ends = append(ends, b.feeder(f, station, share(b.ServicePoints, feeders, f, 1)))
	}
	b.ties(ends)
	return b.model
}

// share is how many of all service points are of n feeders from one on.
func share(all, feeders, from, n int) int {
	return all*(from+n)/feeders - all*from/feeders
}

type builder struct {
	Parameters
	model *grid.Model
}

// size makes room for about what there will be.
func (b *builder) size() {
	n, m := b.ServicePoints, b.model
	m.ServicePoints = make([]grid.ServicePoint, 0, n)
	m.Lines = make([]grid.Line, 0, n*2/5)
	m.Nodes = make([]grid.Node, 0, n/2)
	m.Switches = make([]grid.Switch, 0, n/5)
	m.Transformers = make([]grid.Transformer, 0, n/20)
}

// station is a substation that feeders leave.
type station struct {
	id, zone string
	at       place
	bus      [2]string
	feeders  int
	first    heading // of its feeders
	left     int     // feeders made so far
}

// reach is how far apart substations are.
const reach = 9000

// zonesOf is how many substations are in a zone.
const zonesOf = 4

func (b *builder) station(i, of, feeders, points int) *station {
	m, r := b.model, rand.New(rand.NewPCG(b.Seed, 1<<32|uint64(i)))
	columns := int(math.Ceil(math.Sqrt(float64(of))))
	rows := (of + columns - 1) / columns
	s := &station{id: fmt.Sprintf("s%d", i+1), zone: fmt.Sprintf("region-%d", i/zonesOf+1), feeders: feeders,
		first: heading(r.Float64() * 2 * math.Pi),
		at: place{(float64(i%columns)-float64(columns-1)/2)*reach + between(r, -1500, 1500),
			(float64(i/columns)-float64(rows-1)/2)*reach + between(r, -1500, 1500)}}
	if i%zonesOf == 0 {
		m.Zones = append(m.Zones, grid.Zone{Asset: grid.Asset{ID: s.zone}, Parent: "region"})
	}
	asset := func(id string) grid.Asset {
		return grid.Asset{ID: s.id + id, Zone: s.zone, Position: b.position(s.at)}
	}
	m.Substations = append(m.Substations, grid.Substation{Asset: asset("")})
	node := func(id string, volts grid.Voltage) string {
		m.Nodes = append(m.Nodes, grid.Node{Asset: asset(id), Type: grid.Busbar, Substation: s.id, Voltage: volts})
		return s.id + id
	}
	high := node("-110kv", highVoltage)
	m.Sources = append(m.Sources, grid.Source{Asset: asset("-grid"), Node: high, Voltage: highVoltage, Setpoint: 113e3})
	rating := grid.Power(ratingFor(float64(points)*customersPerPoint*Demand, stationRatings)) // of each, which carries all alone
	for k := range s.bus {
		name := fmt.Sprintf("-t%d", k+1)
		s.bus[k] = node(fmt.Sprintf("-20kv-%d", k+1), mediumVoltage)
		low := node(name+"-20kv", mediumVoltage)
		m.Transformers = append(m.Transformers, grid.Transformer{Asset: asset(name), From: high, To: low, Substation: s.id, RatedPower: rating,
			HighVoltage: highVoltage, LowVoltage: mediumVoltage, VectorGroup: "YNd5", Phases: grid.ABC})
		s.switchgear(b, name+"-breaker", low, s.bus[k], false)
	}
	s.switchgear(b, "-coupler", s.bus[0], s.bus[1], true)
	return s
}

// switchgear adds a breaker in the substation.
func (s *station) switchgear(b *builder, id, from, to string, open bool) {
	b.model.Switches = append(b.model.Switches, grid.Switch{Asset: grid.Asset{ID: s.id + id, Zone: s.zone, Position: b.position(s.at)},
		From: from, To: to, Type: grid.Breaker, NormallyOpen: open, Substation: s.id, Voltage: mediumVoltage, Phases: grid.ABC,
		Signal: "Pos", Device: s.id + "-rtu", Gateway: s.id + "-gw"})
}

// end is where a feeder ends.
type end struct {
	node     string
	at       place
	station  *station
	overhead bool
}

// ties join the ends of feeders that follow each other.
func (b *builder) ties(ends []end) {
	r := rand.New(rand.NewPCG(b.Seed, 2<<32))
	for i := 1; i < len(ends); i++ {
		from, to := ends[i-1], ends[i]
		id := "tie-" + strconv.Itoa(i)
		zone := grid.Asset{Zone: from.station.zone}
		node := zone
		node.ID, node.Position = id+"-a", b.position(from.at)
		b.model.Nodes = append(b.model.Nodes, grid.Node{Asset: node, Voltage: mediumVoltage})
		sw := grid.Switch{Asset: node, From: from.node, To: node.ID, Type: grid.LoadSwitch, NormallyOpen: true, Voltage: mediumVoltage, Phases: grid.ABC}
		sw.ID = id
		b.telemeter(r, &sw, from.station)
		b.model.Switches = append(b.model.Switches, sw)
		line := grid.Line{Asset: zone, From: node.ID, To: to.node, Voltage: mediumVoltage, Phases: grid.ABC, Length: metres(1.2 * from.at.to(to.at))}
		line.ID = id + "-line"
		line.Type, line.RatedCurrent = trunkType(from.overhead && to.overhead)
		b.model.Lines = append(b.model.Lines, line)
	}
}

// telemeter lets the position of a switch on the lines be signalled, or not.
func (b *builder) telemeter(r *rand.Rand, sw *grid.Switch, s *station) {
	if r.Float64() < b.Telemetry || sw.Type == grid.Recloser {
		sw.Signal, sw.Device, sw.Gateway = "Pos", sw.ID+"-rtu", s.id+"-gw"
	}
}
