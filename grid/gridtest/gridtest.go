// Package gridtest makes networks for tests and benchmarks.
package gridtest

import (
	"fmt"
	"math/rand/v2"

	"github.com/busbar/busbar/grid"
)

// Radial is a network of substations with feeders, as large as is asked for,
// and the same for the same seed. A feeder is a breaker and a trunk of lines with
// fused laterals; at each of its nodes hangs a transformer with service points
// behind fuses. Ties that are normally open join neighbouring feeders at their
// ends.
func Radial(servicePoints int, seed uint64) *grid.Model {
	b := builder{random: rand.New(rand.NewPCG(seed, seed)), model: &grid.Model{Name: "radial"}}
	const perFeeder, feedersPerStation = 1000, 10
	end := "" // of the feeder before
	for f := 0; servicePoints > 0; f++ {
		if f%feedersPerStation == 0 {
			b.station(f / feedersPerStation)
		}
		n := min(perFeeder, servicePoints)
		servicePoints -= n
		last := b.feeder(f, n)
		if end != "" {
			b.model.Switches = append(b.model.Switches, grid.Switch{Asset: grid.Asset{ID: fmt.Sprintf("tie-%d", f)},
				From: end, To: last, Type: grid.LoadSwitch, NormallyOpen: true, Voltage: 20e3, Phases: grid.ABC, Signal: "Pos"})
		}
		end = last
	}
	b.model.Sort()
	return b.model
}

type builder struct {
	random *rand.Rand
	model  *grid.Model
	bus    string
	count  int // of transformers
}

func (b *builder) station(i int) {
	m, id := b.model, fmt.Sprintf("station-%d", i)
	b.bus = id + "-bus"
	m.Substations = append(m.Substations, grid.Substation{Asset: grid.Asset{ID: id}})
	m.Nodes = append(m.Nodes, grid.Node{Asset: grid.Asset{ID: b.bus}, Type: grid.Busbar, Substation: id, Voltage: 20e3})
	m.Sources = append(m.Sources, grid.Source{Asset: grid.Asset{ID: id + "-grid"}, Node: id + "-hv", Voltage: 110e3})
	m.Transformers = append(m.Transformers, grid.Transformer{Asset: grid.Asset{ID: id + "-transformer"}, From: id + "-hv", To: b.bus,
		Substation: id, RatedPower: 40e6, HighVoltage: 110e3, LowVoltage: 20e3, VectorGroup: "YNd5", Phases: grid.ABC})
}

// feeder is one with n service points. It returns the trunk's last node.
func (b *builder) feeder(f, n int) string {
	m, id := b.model, fmt.Sprintf("feeder-%d", f)
	at := id + "-0"
	m.Switches = append(m.Switches, grid.Switch{Asset: grid.Asset{ID: id + "-breaker"}, From: b.bus, To: at, Type: grid.Breaker,
		Voltage: 20e3, Phases: grid.ABC, Signal: "Pos", Device: id + "-relay"})
	m.Feeders = append(m.Feeders, grid.Feeder{Asset: grid.Asset{ID: id}, Head: id + "-breaker"})
	for i := 1; n > 0; i++ {
		next := fmt.Sprintf("%s-%d", id, i)
		m.Lines = append(m.Lines, grid.Line{Asset: grid.Asset{ID: next + "-line"}, From: at, To: next, Type: grid.Overhead,
			Voltage: 20e3, Phases: grid.ABC, Length: grid.Length(100 + b.random.IntN(900))})
		at = next
		tap := at
		if b.random.IntN(3) == 0 {
			tap = at + "-lateral"
			m.Switches = append(m.Switches, grid.Switch{Asset: grid.Asset{ID: at + "-fuse"}, From: at, To: tap, Type: grid.Fuse, Voltage: 20e3, Phases: grid.ABC})
		}
		for range 1 + b.random.IntN(3) {
			n -= b.transformer(tap, min(n, 10+b.random.IntN(40)))
		}
	}
	return at
}

// transformer has n service points, three to a node.
func (b *builder) transformer(at string, n int) int {
	if n == 0 {
		return 0
	}
	m, id := b.model, fmt.Sprintf("transformer-%d", b.count)
	b.count++
	bus := id + "-lv"
	m.Transformers = append(m.Transformers, grid.Transformer{Asset: grid.Asset{ID: id}, From: at, To: bus,
		RatedPower: 630e3, HighVoltage: 20e3, LowVoltage: 400, VectorGroup: "Dyn5", Phases: grid.ABC})
	for i := range n {
		if i%3 == 0 {
			next := fmt.Sprintf("%s-%d", bus, i/3)
			m.Lines = append(m.Lines, grid.Line{Asset: grid.Asset{ID: next + "-cable"}, From: bus, To: next, Type: grid.Cable, Voltage: 400, Phases: grid.ABC, Length: 30})
		}
		m.ServicePoints = append(m.ServicePoints, grid.ServicePoint{Asset: grid.Asset{ID: fmt.Sprintf("%s-sp-%d", id, i)},
			Node: fmt.Sprintf("%s-%d", bus, i/3), Customers: 1 + b.random.IntN(4), Phases: 1 << b.random.IntN(3)})
	}
	return n
}

// Random is a network of any shape, with few nodes: loops, parts without a
// source, parallel and single-phase edges, and feeders anywhere. It isn't valid
// otherwise.
func Random(random *rand.Rand) *grid.Model {
	m := &grid.Model{}
	nodes := 1 + random.IntN(14)
	node := func() string { return fmt.Sprintf("n%d", random.IntN(nodes)) }
	phases := func() grid.Phases {
		if random.IntN(4) > 0 {
			return grid.ABC
		}
		return grid.Phases(1 + random.IntN(7))
	}
	for i := range nodes {
		m.Nodes = append(m.Nodes, grid.Node{Asset: grid.Asset{ID: fmt.Sprintf("n%d", i)}})
	}
	for i := range random.IntN(4) {
		m.Sources = append(m.Sources, grid.Source{Asset: grid.Asset{ID: fmt.Sprintf("source-%d", i)}, Node: node()})
	}
	for i := range random.IntN(2 * nodes) {
		id := fmt.Sprintf("e%d", i)
		switch random.IntN(3) {
		case 0:
			m.Lines = append(m.Lines, grid.Line{Asset: grid.Asset{ID: id}, From: node(), To: node(), Phases: phases(), OutOfService: random.IntN(8) == 0})
		case 1:
			m.Switches = append(m.Switches, grid.Switch{Asset: grid.Asset{ID: id}, From: node(), To: node(), Phases: phases(), NormallyOpen: random.IntN(4) == 0,
				Type: grid.SwitchType(random.IntN(5))})
		case 2:
			m.Transformers = append(m.Transformers, grid.Transformer{Asset: grid.Asset{ID: id}, From: node(), To: node(), Phases: phases()})
		}
		if random.IntN(4) == 0 {
			m.Feeders = append(m.Feeders, grid.Feeder{Asset: grid.Asset{ID: "feeder-" + id}, Head: id})
		}
	}
	for i := range random.IntN(2 * nodes) {
		m.ServicePoints = append(m.ServicePoints, grid.ServicePoint{Asset: grid.Asset{ID: fmt.Sprintf("sp%d", i)}, Node: node(), Customers: random.IntN(5), Phases: phases()})
	}
	return m
}
