package evidence

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/world"
)

// Edge is everything that tells of a world. It is not safe for concurrent use.
type Edge struct {
	world  *world.World
	config Config
	seed   uint64

	meters   []meter // by point
	gateways []gateway
	byNode   map[int]int // those that read meters
	telecom  []telecom
	stale    []bool          // by edge: a switch whose position no longer changes
	switches map[int]*signal // by edge: the telemetered ones

	timers timers
	number int64   // counts timers, and what is drawn without one
	out    []Event // that have arrived

	dropouts []Dropout // that weren't returned
}

// signal is the position of a telemetered switch.
type signal struct {
	gateway   int // that tells it
	now, told position
	changes   int
}

// position is that of a switch. It is open if no phase is closed.
type position struct{ open, lockedOut bool }

// works is the level at which a power supply does: a meter or a gateway does
// with one phase.
const works = 40

func runs(l world.Levels) bool { return max(l[0], l[1], l[2]) >= works }

// New is the edge of a world, at its present time.
func New(w *world.World, c Config, seed uint64) *Edge {
	e := &Edge{world: w, config: c, seed: seed, stale: make([]bool, w.Snapshot().Edges()), byNode: map[int]int{}, switches: map[int]*signal{}}
	for edge := range e.stale {
		e.stale[edge] = e.chance(drawStale, edge, 0, c.StalePositions)
	}
	e.plant()
	e.nextFalse(w.Now())
	return e
}

// Stale is the telemetered switches whose position no longer changes.
func (e *Edge) Stale() (ids []string) {
	s := e.world.Snapshot()
	for edge, stale := range e.stale {
		if x := s.Edge(edge); stale && x.Kind == grid.KindSwitch && s.Model().Switches[x.Index].Telemetered() {
			ids = append(ids, s.EdgeAsset(edge).ID)
		}
	}
	return ids
}

// Observe takes what has happened in the world at its present time.
func (e *Edge) Observe(events []world.Event) {
	now := e.world.Now()
	e.run(now)
	for _, event := range events {
		switch event.Kind {
		case world.SupplyChanged:
			for _, c := range event.Supply {
				e.meterSupply(now, int(c.Point), c.To)
			}
		case world.Tripped, world.Reclosed, world.Opened, world.Closed, world.Blown, world.LockedOut:
			if event.Edge != grid.None {
				e.position(now, event)
			}
		}
	}
	if len(events) > 0 {
		e.gatewaySupply(now) // a node may have lost its supply, and no service point
	}
}

// Until is the evidence that has arrived up to the time which the world has
// reached, and wasn't returned before, in the order of arrival.
func (e *Edge) Until(at int64) (events []Event) {
	e.run(at)
	events, e.out = e.out, nil
	return events
}

func (e *Edge) run(to int64) {
	for len(e.timers) > 0 && e.timers[0].at <= to {
		t := heap.Pop(&e.timers).(timer)
		t.do(t.at)
	}
}

func (e *Edge) after(at int64, d configfile.Duration, do func(at int64)) {
	e.at(at+time.Duration(d).Microseconds(), do)
}

func (e *Edge) at(at int64, do func(at int64)) {
	e.number++
	heap.Push(&e.timers, timer{at, e.number, do})
}

// tell is an event that is on its way to the cloud for some time, and arrives at a time at the
// earliest.
func (e *Edge) tell(at, earliest int64, event Event) (arrival int64) {
	event.Arrival = max(at+e.delay(e.number+1), earliest)
	e.at(event.Arrival, func(int64) { e.out = append(e.out, event) })
	return event.Arrival
}

// position is a change of a switch, which its gateway tells if it is telemetered. While that
// has no connection it keeps the change, or loses it.
func (e *Edge) position(at int64, event world.Event) {
	v := e.switches[event.Edge]
	if v == nil {
		return
	}
	open := e.isOpen(event.Edge)
	v.now = position{open, open && event.Kind == world.LockedOut}
	v.changes++
	g := &e.gateways[v.gateway]
	if !g.running || !g.connected && e.chance(drawPosition, event.Edge, v.changes, e.config.PositionsLost) {
		return
	}
	e.tellPosition(at, event.Edge)
}

// tellPosition tells where a switch is, if that isn't what was told.
func (e *Edge) tellPosition(at int64, edge int) {
	v := e.switches[edge]
	if v.now == v.told || e.stale[edge] {
		return
	}
	v.told = v.now
	open := v.now.open
	e.send(at, v.gateway, Event{Source: at + e.gateways[v.gateway].clock, Kind: Position, Switch: e.world.Snapshot().EdgeAsset(edge).ID, Open: &open, LockedOut: v.now.lockedOut})
}

func (e *Edge) isOpen(edge int) bool {
	return e.world.Snapshot().Edge(edge).Phases&^e.world.Position(edge) == 0
}

// What is drawn at random, each independently of the others and of their order.
const (
	drawMetered uint64 = iota + 1
	drawAuxiliary
	drawSilent
	drawLost
	drawFalse
	drawDelay
	drawPoll
	drawDropout
	drawCall
	drawClock
	drawWrongClock
	drawStale
	drawBoot
	drawTelecom
	drawTopology
	drawPosition
)

func (e *Edge) random(what uint64, of, turn int) *rand.Rand { return random(e.seed, what, of, turn) }

func random(seed, what uint64, of, turn int) *rand.Rand {
	return rand.New(rand.NewPCG(seed^what<<56, uint64(of)<<24^uint64(turn)))
}

func (e *Edge) chance(what uint64, of, turn int, share float64) bool {
	return chance(e.seed, what, of, turn, share)
}

func chance(seed, what uint64, of, turn int, share float64) bool {
	return share > 0 && random(seed, what, of, turn).Float64() < share
}

// delay is log-normal, in µs.
func (e *Edge) delay(number int64) int64 {
	median := float64(time.Duration(e.config.Delay).Microseconds())
	return int64(median * math.Exp(0.5*e.random(drawDelay, int(number), 0).NormFloat64()))
}

// exponential is a time in µs whose median is given.
func exponential(r *rand.Rand, median configfile.Duration) int64 {
	return int64(r.ExpFloat64() / math.Ln2 * float64(time.Duration(median).Microseconds()))
}

// clock is how far the clock of a meter or gateway is off, in µs.
func (e *Edge) clock(of int) int64 {
	r := e.random(drawClock, of, 0)
	off := int64(r.NormFloat64() * float64(time.Duration(e.config.ClockError).Microseconds()))
	if e.chance(drawWrongClock, of, 0, e.config.WrongClocks) {
		off += int64((r.Float64()*2 - 1) * float64((6 * time.Hour).Microseconds()))
	}
	return off
}

type timer struct {
	at, number int64
	do         func(at int64)
}

type timers []timer

func (t timers) Len() int      { return len(t) }
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].number < t[j].number
}
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = slices.Delete(old, len(old)-1, len(old))
	return last
}

// gatewayID is the gateway of a transformer.
func gatewayID(transformer string) string { return "gw-" + strings.TrimPrefix(transformer, "gw-") }
