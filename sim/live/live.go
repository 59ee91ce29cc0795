// Package live plays a scenario against the clock: in real time, or faster. It
// owns the grid, shows what is so at present to any number of devices and pages,
// and lets people cause faults and switch. What it writes as truth and evidence
// is what scenario.Run writes, as long as nobody acts.
package live

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/world"
)

// Live is a scenario that is being played. All of its methods are safe for
// concurrent use.
type Live struct {
	snapshot *grid.Snapshot
	name     string
	seed     uint64
	start    int64
	end      int64
	normal   grid.Positions

	step     sync.Mutex // of what follows: one step after the other
	play     *scenario.Play
	flow     *flow
	spare    state
	hands    int           // counts faults that people have caused
	opened   map[int][]int // by fault: the edges that protection has opened for it
	blown    map[int][]int // by fault: the service points whose own fuses have blown
	trouble  error         // of a sink
	clock    clock
	quarters bool
	behind   time.Duration // as of the last tick
	wake     chan struct{} // the clock has changed

	read    sync.RWMutex // of what follows
	state   state
	changes changes
	over    bool
}

// clock is the time of the grid: at plus speed times what has passed since then.
type clock struct {
	at    int64
	since time.Time
	speed float64
}

func (c clock) now(t time.Time) int64 {
	return c.at + int64(c.speed*float64(t.Sub(c.since).Microseconds()))
}

// Fastest bounds the speed: a month is a minute.
const Fastest = 30 * 24 * 60

// tick is how often the grid goes on while time passes.
const tick = 100 * time.Millisecond

// New is a scenario at its start. The error is that of a sink, or says why load flows
// of the grid can't be computed.
func New(s *scenario.Scenario, sinks scenario.Sinks) (*Live, error) {
	play, err := s.Play(sinks)
	if err != nil {
		return nil, err
	}
	w := play.World()
	l := &Live{snapshot: w.Snapshot(), name: s.Name(), seed: s.Seed, start: w.Now(), end: s.End(), normal: w.Snapshot().NormalPositions(), play: play, opened: map[int][]int{}, blown: map[int][]int{},
		clock: clock{at: w.Now()}, wake: make(chan struct{}, 1), changes: changes{more: make(chan struct{})}}
	if l.flow, err = newFlow(s, play); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Name(), err)
	}
	l.state, l.spare = newState(play, l.flow), newState(play, l.flow)
	return l, l.Advance(w.Now())
}

// Snapshot is the grid. Service points, nodes and edges have their indices in it.
func (l *Live) Snapshot() *grid.Snapshot { return l.snapshot }

// Name is the scenario's.
func (l *Live) Name() string { return l.name }

// Seed is what all that is drawn at random follows from.
func (l *Live) Seed() uint64 { return l.seed }

// Start is when it began, in µs UTC.
func (l *Live) Start() int64 { return l.start }

// End is when it ends, in µs UTC.
func (l *Live) End() int64 { return l.end }

// Over reports whether the end has been reached.
func (l *Live) Over() bool {
	l.read.RLock()
	defer l.read.RUnlock()
	return l.over
}

// Result is what has come of it up to now.
func (l *Live) Result() scenario.Result {
	l.step.Lock()
	defer l.step.Unlock()
	return l.play.Result()
}

// Run lets time pass until ctx ends or the scenario does, at a speed from 0, which is a
// pause, to Fastest. Where a step takes longer than its time, the grid's time
// passes as fast as that. The error is that of a sink; the end of either is none.
func (l *Live) Run(ctx context.Context, speed float64) error {
	if err := l.SetSpeed(speed); err != nil {
		return err
	}
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for !l.Over() {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-ticks.C:
		}
		if err := l.tick(time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends the scenario now, as its end would: the truth says who is out still. The
// error is that of a sink.
func (l *Live) Stop() error {
	l.step.Lock()
	defer l.step.Unlock()
	l.trouble = l.play.Stop() // which keeps what it was
	l.follow(nil, l.fine())
	return l.trouble
}

// tick goes on to the present.
func (l *Live) tick(t time.Time) error {
	l.step.Lock()
	defer l.step.Unlock()
	return l.advance(l.catchUp(t))
}

// catchUp brings the clock to the present, and returns the grid's time; step is held.
// More than a second isn't caught up with.
func (l *Live) catchUp(t time.Time) int64 {
	l.behind = 0
	if late := t.Sub(l.clock.since) - time.Second; l.clock.speed > 0 && late > 0 {
		l.behind = late
		l.clock.since = t.Add(-time.Second)
	}
	l.clock.at, l.clock.since = l.clock.now(t), t
	return l.clock.at
}

// SetSpeed lets time pass otherwise from now on: 1 is real time, 0 a pause.
func (l *Live) SetSpeed(speed float64) error {
	if !(speed >= 0 && speed <= Fastest) {
		return fmt.Errorf("speed %v, expected 0, which is a pause, to %d, at which a month passes in a minute", speed, Fastest)
	}
	l.step.Lock()
	defer l.step.Unlock()
	l.catchUp(time.Now())
	l.clock.speed = speed
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// Speed is how fast time passes, and how much of the last tick wasn't caught up with.
func (l *Live) Speed() (speed float64, behind time.Duration) {
	l.step.Lock()
	defer l.step.Unlock()
	return l.clock.speed, l.behind
}

// Advance goes on to a time at once, whatever the clock. The error is that of a sink.
func (l *Live) Advance(to int64) error {
	l.step.Lock()
	defer l.step.Unlock()
	l.clock.at, l.clock.since = to, time.Now()
	return l.advance(to)
}

// advance is a step; step is held. The load flow is that of each minute, or of each
// quarter-hour if time passes faster than a minute a second.
func (l *Live) advance(to int64) error {
	to = min(to, l.end)
	every, fine := minute, l.fine()
	if !fine {
		every = quarter
	}
	for at := l.play.World().Now(); l.trouble == nil; {
		at = min(to, (at/every+1)*every)
		var events []world.Event
		if events, l.trouble = l.play.Advance(at); l.trouble != nil {
			break
		}
		l.follow(events, fine)
		if at >= to {
			break
		}
	}
	return l.trouble
}

// follow brings what is seen up to date with the world.
func (l *Live) follow(events []world.Event, fine bool) {
	w := l.play.World()
	next := &l.spare
	copy(next.points, l.state.points)
	copy(next.transformers, l.state.transformers)
	copy(next.switches, l.state.switches)
	next.count(l.flow, w.Now()-l.state.at)
	for _, e := range events {
		l.remember(e, next)
	}
	next.at = w.Now()
	next.frequency = frequency(l.flow.seed, next.at)
	values := l.flow.solve(w, fine)
	next.look(w, l.play.Edge())
	if values {
		l.flow.show(w, next)
	}
	for p := range next.points {
		if x := &next.points[p]; x.Alive {
			x.Frequency = next.frequency
		}
	}
	l.read.Lock()
	defer l.read.Unlock()
	l.state, l.spare = l.spare, l.state
	l.changes.add(events, values)
	l.over = l.play.Over()
}

// remember is what an event means for the switch that it is of.
func (l *Live) remember(e world.Event, s *state) {
	switch e.Kind {
	case world.Tripped, world.Blown:
		if e.Edge != grid.None {
			l.opened[e.Fault] = append(l.opened[e.Fault], e.Edge)
		} else if e.Point != grid.None {
			l.blown[e.Fault] = append(l.blown[e.Fault], e.Point)
		}
	case world.Reclosed, world.Closed, world.Opened, world.LockedOut:
	default:
		return
	}
	if e.Edge == grid.None || s.switchOf[e.Edge] < 0 {
		return
	}
	x := &s.switches[s.switchOf[e.Edge]]
	if e.Kind != world.LockedOut {
		x.Operations++
	}
	x.Tripped = e.Kind == world.Tripped || e.Kind == world.Blown || e.Kind == world.LockedOut && x.Tripped
	x.LockedOut = e.Kind == world.LockedOut
}

// frequency is near 50 Hz, and differs by up to 25 mHz: what a large grid's does in
// a quiet hour.
func frequency(seed uint64, at int64) float64 {
	s, turn := float64(at%86400e6)/1e6, float64(seed%997)
	wave := func(amplitude, period float64) float64 {
		return amplitude * math.Sin(2*math.Pi*(s/period+turn*amplitude))
	}
	return 50 + wave(0.005, 7.3) + wave(0.008, 61) + wave(0.012, 887)
}
