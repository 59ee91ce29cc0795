package network

import (
	"math"
	"strconv"

	"github.com/busbar/busbar/grid"
)

// transformer adds one, behind a fuse, with what it supplies.
func (f *feederBuilder) transformer(node string, at place) {
	m := f.model
	n := 25 + f.r.IntN(50)
	if f.overhead {
		n = 8 + f.r.IntN(25)
	}
	if f.r.IntN(30) == 0 {
		n = 1 // an enterprise that has its own
	}
	n = min(n, f.left)
	f.left -= n
	f.transformers++
	id := f.id + "-t" + strconv.Itoa(f.transformers)
	m.Switches = append(m.Switches, grid.Switch{Asset: f.asset(id+"-fuse", at), From: node, To: id + "-hv", Type: grid.Fuse, Voltage: mediumVoltage, Phases: grid.ABC})
	m.Nodes = append(m.Nodes, grid.Node{Asset: f.asset(id+"-lv", at), Type: grid.Busbar, Voltage: lowVoltage})
	t := grid.Transformer{Asset: f.asset(id, at), From: id + "-hv", To: id + "-lv", HighVoltage: mediumVoltage, LowVoltage: lowVoltage, VectorGroup: "Dyn5", Phases: grid.ABC}
	customers := 0
	if n == 1 {
		customers = 150 // in what it takes
		f.point(id+"-1", id+"-lv", at, grid.HighPriority, grid.ABC, 1)
	}
	for street, left := 1, n; n > 1 && left > 0; street++ {
		some := min(left, 8+f.r.IntN(10))
		customers += f.street(id, street, at, some)
		left -= some
	}
	t.RatedPower = grid.Power(ratingFor(float64(customers)*Demand, ratings))
	m.Transformers = append(m.Transformers, t)
}

// street adds a low-voltage line with n service points, and returns how many
// customers they have.
func (f *feederBuilder) street(transformer string, number int, at place, n int) (customers int) {
	m := f.model
	out := heading(2*math.Pi*float64(number)/5 + f.r.Float64())
	id := transformer + "-" + strconv.Itoa(number)
	node := id + "-0"
	m.Switches = append(m.Switches, grid.Switch{Asset: grid.Asset{ID: id + "-fuse", Zone: f.station.zone}, From: transformer + "-lv", To: node, Type: grid.Fuse, Phases: grid.ABC})
	for joint := 1; n > 0; joint++ {
		next := id + "-" + strconv.Itoa(joint)
		length := between(f.r, 25, 60)
		at = at.towards(out.bent(f.r, 0.1), length)
		m.Nodes = append(m.Nodes, grid.Node{Asset: f.asset(next, at)})
		line := grid.Line{Asset: grid.Asset{ID: next + "-line", Zone: f.station.zone}, From: node, To: next, Phases: grid.ABC, Length: metres(length)}
		line.Type, line.RatedCurrent = streetType(f.overhead)
		m.Lines = append(m.Lines, line)
		node = next
		here := min(n, 2+f.r.IntN(4))
		n -= here
		for k := range here {
			phases, priority, has := grid.Phases(grid.ABC), grid.NormalPriority, 1
			if f.r.Float64() < f.SinglePhase {
				phases = 1 << f.r.IntN(3)
			} else if !f.overhead && f.r.IntN(8) == 0 {
				has = 3 + f.r.IntN(8) // a house with flats
			}
			switch x := f.r.IntN(2000); {
			case x == 0:
				priority = grid.CriticalPriority
			case x < 8:
				priority = grid.HighPriority
			}
			side := heading(math.Pi / 2 * float64(1-2*(k%2)))
			f.point(next+"-"+string(rune('a'+k)), next, at.towards(out+side, 12+4*float64(k)), priority, phases, has)
			customers += has
		}
	}
	return customers
}

func (f *feederBuilder) point(id, node string, at place, priority grid.Priority, phases grid.Phases, customers int) {
	f.model.ServicePoints = append(f.model.ServicePoints, grid.ServicePoint{Asset: f.asset(id, at), Node: node, Customers: customers, Phases: phases, Priority: priority})
}
