package infer

import (
	"math"
	"math/bits"

	"github.com/busbar/busbar/grid"
)

// Cost is what an explanation costs, by which explanations are ordered: first by
// the weights that it adds up, in thousandths, and where those are equal by the
// customers' phases that it says are without voltage. It is an integer, so that the
// order in which evidence comes makes no difference.
type Cost int64

// lostBits is the room for customers' phases.
const lostBits = 23

// Weight is the cost of a weight.
func Weight(w float64) Cost { return Cost(math.Round(w*1000)) << lostBits }

// Weight is the weight in a cost.
func (c Cost) Weight() float64 { return float64(c>>lostBits) / 1000 }

// Costs are those of each state that a node can have.
type Costs [States]Cost

func (c *Costs) add(d *Costs) {
	for i := range c {
		c[i] += d[i]
	}
}

// Observation is what is known of a service point or a node, in weights.
type Observation struct {
	Out   Cost // it has no supply
	Alive Cost // it has
	// Levels are voltages in percent of nominal, of a weight for all phases.
	Levels [3]uint8
	Seen   Cost
}

// None reports whether nothing is known.
func (o Observation) None() bool { return o == Observation{} }

// Costs is what it costs to contradict it, of something with these phases.
func (o Observation) Costs(phases grid.Phases) (c Costs) {
	if o.None() {
		return c
	}
	n := Cost(bits.OnesCount8(uint8(phases)))
	for s := range State(States) {
		if s.Live()&phases != 0 {
			c[s] += o.Out
		} else {
			c[s] += o.Alive
		}
		if o.Seen == 0 || n == 0 {
			continue
		}
		levels := s.Levels()
		for i := range levels {
			if phases&(1<<i) != 0 && levels[i] != halves(o.Levels[i]) {
				c[s] += (o.Seen >> lostBits / n) << lostBits
			}
		}
	}
	return c
}

// halves is a voltage in halves of the nominal one.
func halves(percent uint8) uint8 {
	switch {
	case percent < 25:
		return 0
	case percent < 75:
		return 1
	}
	return 2
}

// Customers is the part of a cost by which fewer customers go before more.
func Customers(n int, phases grid.Phases) (c Costs) {
	for s := range State(States) {
		for i, level := range s.Levels() {
			if phases&(1<<i) != 0 && level < 2 {
				c[s] += Cost(n)
			}
		}
	}
	return c
}
