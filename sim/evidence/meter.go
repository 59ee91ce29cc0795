package evidence

import (
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/sim/world"
)

// What powers a meter.
const (
	Measured  = "measured"
	Auxiliary = "auxiliary"
)

// meter is that of a service point.
type meter struct {
	there     bool
	auxiliary bool
	silent    bool // it never answers
	gateway   int
	clock     int64

	level    world.Levels
	supplied bool
	answers  bool // it would, if its gateway asked
	turn     int  // counts changes of its supply
	losses   int  // counts those to none
	lost     int64
	booted   int64

	timedOut bool         // as told
	gasped   bool         // as told, or lost
	told     world.Levels // as told
}

// meterSupply is a change of a service point's supply.
func (e *Edge) meterSupply(at int64, point int, level world.Levels) {
	m := &e.meters[point]
	m.level = level
	m.turn++
	turn := m.turn
	if level.Live() == 0 {
		e.mayCall(at, point)
	}
	if !m.there || m.silent {
		return
	}
	supplied := m.auxiliary || runs(level)
	switch {
	case m.supplied && !supplied:
		m.supplied, m.answers, m.lost = false, false, at
		m.losses++
		e.after(at, e.config.LastGaspAfter, func(at int64) {
			if m.turn == turn {
				e.gasp(at, point)
			}
		})
		e.poll(at, point)
	case !m.supplied && supplied:
		m.supplied = true
		losses := m.losses
		boot := 2 + 8*e.random(drawBoot, point, turn).Float64() // s
		e.at(at+int64(boot*1e6), func(at int64) {
			if m.supplied && !m.answers && m.losses == losses {
				e.boot(at, point)
			}
		})
	case supplied && m.answers:
		e.after(at, configfile.Duration(time.Second), func(at int64) {
			if m.turn == turn {
				e.see(at, point)
			}
		})
	}
}

// gasp is the last message of a meter without supply.
func (e *Edge) gasp(at int64, point int) {
	m := &e.meters[point]
	m.gasped = true
	if e.chance(drawLost, point, m.turn, e.config.LastGaspsLost) || !e.gateways[m.gateway].running {
		return
	}
	e.send(at, m.gateway, Event{Source: at + m.clock, Kind: LastGasp, Point: e.id(point)})
}

// boot is the first of one that has supply again. What it slept through it knows
// from its clock.
func (e *Edge) boot(at int64, point int) {
	m := &e.meters[point]
	m.answers, m.booted = true, at
	e.powerUp(at, point)
	e.poll(at, point)
	e.see(at, point)
}

// powerUp tells of the boot of a meter that has told of its loss, once its gateway
// runs.
func (e *Edge) powerUp(at int64, point int) {
	m := &e.meters[point]
	if !m.gasped || !m.answers || !e.gateways[m.gateway].running {
		return
	}
	m.gasped = false
	e.send(at, m.gateway, Event{Source: m.booted + m.clock, Kind: PowerUp, Point: e.id(point)})
}

// see tells the levels of a meter that is read if they aren't what was told.
func (e *Edge) see(at int64, point int) {
	m := &e.meters[point]
	if !m.answers || m.level == m.told || !e.gateways[m.gateway].running {
		return
	}
	m.told = m.level
	level := m.level
	e.send(at, m.gateway, Event{Source: at + e.gateways[m.gateway].clock, Kind: Voltage, Point: e.id(point), Levels: &level})
}

// poll lets the gateway find whether a meter answers: it tells of a second time
// that it doesn't.
func (e *Edge) poll(at int64, point int) {
	m := &e.meters[point]
	g := &e.gateways[m.gateway]
	every := time.Duration(e.config.Poll).Microseconds()
	next := at + every - ((at-g.phase)%every+every)%every
	if !m.answers {
		next += every
	}
	e.at(next, func(at int64) {
		if !g.running || m.timedOut == !m.answers || !m.answers && at-m.lost < every {
			return
		}
		m.timedOut = !m.answers
		kind := Answer
		if m.timedOut {
			kind = Timeout
		}
		e.send(at, m.gateway, Event{Source: at + g.clock, Kind: kind, Point: e.id(point)})
	})
}

// mayCall is a customer who may call, if the outage lasts.
func (e *Edge) mayCall(at int64, point int) {
	m := &e.meters[point]
	turn := m.turn
	if !e.chance(drawCall, point, 2*turn, e.config.Calls) {
		return
	}
	e.at(at+exponential(e.random(drawCall, point, 2*turn+1), e.config.CallAfter), func(at int64) {
		if m.turn == turn {
			e.tell(at, 0, Event{Source: at, Kind: Call, Point: e.id(point)})
		}
	})
}

// nextFalse sends false last gasps, from now on, of any meter.
func (e *Edge) nextFalse(at int64) {
	if e.config.FalseLastGasps <= 0 || len(e.meters) == 0 {
		return
	}
	e.number++
	r := e.random(drawFalse, int(e.number), 0)
	wait := r.ExpFloat64() * 86400e6 / e.config.FalseLastGasps / float64(len(e.meters))
	e.at(at+int64(wait), func(at int64) {
		point := r.IntN(len(e.meters))
		if m := &e.meters[point]; m.there && m.answers && e.gateways[m.gateway].running {
			e.send(at, m.gateway, Event{Source: at + m.clock, Kind: LastGasp, Point: e.id(point)})
		}
		e.nextFalse(at)
	})
}

func (e *Edge) id(point int) string { return e.world.Snapshot().PointAsset(point).ID }
