package host

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
)

// What comes twice counts once; what was given up and comes late is of the past.
func TestTwiceAndLate(t *testing.T) {
	p := newPlant(t)
	p.born()
	p.send(topic.NData, "", 2, double(1, 2))
	p.want("n/u = 2")
	p.send(topic.NData, "", 2, double(1, 2.5))
	p.want()
	p.send(topic.NData, "", 5, double(1, 5))
	p.send(topic.NData, "", 5, double(1, 5.5))
	p.later(2 * time.Second)
	p.want("n/u = 5", "rebirth of plant-a/n")
	p.send(topic.NData, "", 4, double(1, 4))
	p.send(topic.NData, "", 4, double(1, 4))
	p.want("past: n/u = 4")
	p.send(topic.NData, "", 6, double(1, 6))
	p.want("n/u = 6")
	p.send(topic.NData, "", 6, double(1, 6.5))
	p.want()
}

// More is missing than numbers can tell from what is late: births are asked for, and what
// comes behind them is taken.
func TestManyAreMissing(t *testing.T) {
	for _, missing := range []int{window, 140, 200, 254} {
		p := newPlant(t)
		p.born()
		p.send(topic.NData, "", 2, double(1, 2))
		p.want("n/u = 2")
		p.send(topic.NData, "", (3+missing)%256, double(1, 140))
		p.want("rebirth of plant-a/n")
		p.send(topic.NBirth, "", 0, session(3), defined("u", 1, payload.Double, payload.DoubleValue(141)))
		p.send(topic.NData, "", 1, double(1, 142))
		p.want("n/u = 141", "n/u = 142")
	}
}

// Whatever order messages come in within the window, each value is told once, in the
// order in which they were sent.
func TestShuffled(t *testing.T) {
	p := newPlant(t)
	p.born()
	var want []string
	for block := range 40 {
		for i := range 16 {
			n := block*16 + i ^ 5 // a permutation of the 16
			p.send(topic.NData, "", (2+n)%256, double(1, float64(n)))
			want = append(want, fmt.Sprintf("n/u = %d", block*16+i))
		}
	}
	p.want(want...)
}

// A node that doesn't give birth is asked less and less often, and not for each message.
func TestAskingIsLimited(t *testing.T) {
	p := newPlant(t)
	asked := 0
	for range 1000 {
		p.send(topic.NData, "", 7, double(1, 1))
		p.later(time.Second)
		for _, line := range p.told() {
			if line != "rebirth of plant-a/n" {
				t.Fatal(line)
			}
			asked++
		}
	}
	if asked < 5 || asked > 10 {
		t.Errorf("asked %d times in 1000 s", asked)
	}
}
