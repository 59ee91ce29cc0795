package network

import (
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/busbar/busbar/grid"
)

// feederBuilder makes a feeder.
type feederBuilder struct {
	*builder
	r            *rand.Rand
	station      *station
	id           string
	overhead     bool
	left         int // service points to come
	transformers int // so far
	joints       int // of medium voltage, so far
}

func (b *builder) feeder(i int, s *station, points int) end {
	f := &feederBuilder{builder: b, r: rand.New(rand.NewPCG(b.Seed, uint64(i))), station: s, id: "f" + strconv.Itoa(i+1), left: points}
	f.overhead = f.r.Float64() < b.Overhead
	head := f.id + "-breaker"
	at := s.at
	first := f.id + "-0"
	b.model.Nodes = append(b.model.Nodes, grid.Node{Asset: f.asset(first, at), Substation: s.id, Voltage: mediumVoltage})
	b.model.Switches = append(b.model.Switches, grid.Switch{Asset: f.asset(head, at), From: s.bus[s.left%2], To: first, Type: grid.Breaker, Substation: s.id,
		Voltage: mediumVoltage, Phases: grid.ABC, Signal: "Pos", Device: f.id + "-relay", Gateway: s.id + "-gw"})
	b.model.Feeders = append(b.model.Feeders, grid.Feeder{Asset: grid.Asset{ID: f.id, Zone: s.zone}, Substation: s.id, Head: head})
	out := s.first + heading(2*math.Pi*float64(s.left)/float64(max(s.feeders, 3)))
	s.left++
	return f.trunk(first, at, out)
}

func (f *feederBuilder) asset(id string, at place) grid.Asset {
	return grid.Asset{ID: id, Zone: f.station.zone, Position: f.position(at)}
}

// trunk builds until all service points are there, and returns the last node.
func (f *feederBuilder) trunk(node string, at place, out heading) end {
	all, recloser := f.left, f.overhead
	for section := 0; f.left > 0; section++ {
		switch {
		case recloser && f.left <= all/2 && section > 1:
			recloser = false
			node = f.device(node, "-recloser", grid.Recloser, at)
		case section > 0 && section%3 == 0:
			node = f.device(node, "-switch", grid.LoadSwitch, at)
		}
		node, at = f.section(node, at, out.bent(f.r, 0.3), trunkType)
		if f.r.IntN(3) == 0 {
			f.lateral(node, at, out+heading(math.Pi/2*float64(1-2*f.r.IntN(2))))
		}
		if f.left > 0 {
			f.transformer(node, at)
		}
	}
	return end{node, at, f.station, f.overhead}
}

// device adds a switch behind a node, and returns the one behind that.
func (f *feederBuilder) device(node, suffix string, what grid.SwitchType, at place) string {
	behind := node + suffix[:2]
	f.model.Nodes = append(f.model.Nodes, grid.Node{Asset: f.asset(behind, at), Voltage: mediumVoltage})
	sw := grid.Switch{Asset: f.asset(node+suffix, at), From: node, To: behind, Type: what, Voltage: mediumVoltage, Phases: grid.ABC}
	if what != grid.Fuse {
		f.telemeter(f.r, &sw, f.station)
	}
	f.model.Switches = append(f.model.Switches, sw)
	return behind
}

// section adds a line and the node at its end.
func (f *feederBuilder) section(node string, at place, to heading, built func(bool) (grid.LineType, grid.Current)) (string, place) {
	length := between(f.r, 150, 450)
	if f.overhead {
		length = between(f.r, 200, 900)
	}
	f.joints++
	next, there := f.id+"-"+strconv.Itoa(f.joints), at.towards(to, length)
	kind := grid.Cabinet
	if f.overhead {
		kind = grid.Joint
	}
	f.model.Nodes = append(f.model.Nodes, grid.Node{Asset: f.asset(next, there), Type: kind, Voltage: mediumVoltage})
	line := grid.Line{Asset: grid.Asset{ID: next + "-line", Zone: f.station.zone}, From: node, To: next, Voltage: mediumVoltage, Phases: grid.ABC, Length: metres(1.1 * length)}
	line.Type, line.RatedCurrent = built(f.overhead)
	f.model.Lines = append(f.model.Lines, line)
	return next, there
}

// lateral is a branch with a fuse and a few transformers.
func (f *feederBuilder) lateral(node string, at place, to heading) {
	node = f.device(node, "-fuse", grid.Fuse, at)
	for range 1 + f.r.IntN(4) {
		node, at = f.section(node, at, to.bent(f.r, 0.3), lateralType)
		if f.left == 0 {
			return
		}
		f.transformer(node, at)
	}
}
