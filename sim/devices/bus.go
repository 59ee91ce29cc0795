package devices

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bus is the units behind one endpoint, and how they behave. It is safe for
// concurrent use.
type Bus struct {
	units map[byte]*place
	seed  uint64
}

// place is a unit, and what it does wrong.
type place struct {
	unit      Unit
	id        byte
	behaviour atomic.Pointer[behaviour] // nil: nothing
	requests  atomic.Uint64
}

// works is false of a unit that says nothing at present.
func (p *place) works() bool {
	w, ok := p.unit.(Worker)
	return !ok || w.Works()
}

// NewBus is units that do nothing wrong. The seed decides which requests meet what
// comes by chance, and what bytes mean nothing: the same for the same requests in
// the same order.
func NewBus(units map[byte]Unit, seed uint64) *Bus {
	b := &Bus{units: map[byte]*place{}, seed: seed}
	for id, u := range units {
		b.units[id] = &place{unit: u, id: id}
	}
	return b
}

// Misbehave sets what a unit does wrong from its next request on, in place of what
// it did before; none means nothing. It does nothing for a unit that the bus hasn't
// got.
func (b *Bus) Misbehave(unit byte, list ...Misbehaviour) {
	p, ok := b.units[unit]
	switch {
	case !ok:
	case len(list) == 0:
		p.behaviour.Store(nil)
	default:
		p.behaviour.Store(&behaviour{
			list: slices.Clone(list), began: time.Now(), shown: make([]uint64, len(list)),
			random: rand.New(rand.NewPCG(b.seed, uint64(unit))),
		})
	}
}

// Units are the units' identifiers, sorted.
func (b *Bus) Units() []byte { return slices.Sorted(maps.Keys(b.units)) }

// State is what a unit does, and has been asked.
type State struct {
	Unit         byte
	Requests     uint64
	Misbehaviour []Showing
}

// Showing is a misbehaviour, and to how many requests it was shown.
type Showing struct {
	Misbehaviour
	Shown uint64
}

// State is that of a unit which the bus has; ok is false for another.
func (b *Bus) State(unit byte) (s State, ok bool) {
	p, ok := b.units[unit]
	if !ok {
		return State{}, false
	}
	s = State{Unit: unit, Requests: p.requests.Load()}
	if behaviour := p.behaviour.Load(); behaviour != nil {
		behaviour.mu.Lock()
		defer behaviour.mu.Unlock()
		for i, m := range behaviour.list {
			s.Misbehaviour = append(s.Misbehaviour, Showing{m, behaviour.shown[i]})
		}
	}
	return s, true
}

// takesOneClient reports whether a unit closes further connections at present.
func (b *Bus) takesOneClient() bool {
	for _, p := range b.units {
		if behaviour := p.behaviour.Load(); behaviour != nil && behaviour.goesOn(OneClient) {
			return true
		}
	}
	return false
}

// behaviour is what a unit does wrong for a while.
type behaviour struct {
	list  []Misbehaviour
	began time.Time

	mu       sync.Mutex
	random   *rand.Rand
	requests int
	shown    []uint64          // one of the list
	away     time.Time         // it restarts until then
	stuck    map[string][]byte // answers by their requests
	last     []byte            // the frame of the last answer
}

// active reports whether it is the misbehaviour's time.
func (b *behaviour) active(m Misbehaviour, now time.Time) bool {
	passed := now.Sub(b.began)
	return passed >= m.After && (m.For == 0 || passed < m.After+m.For)
}

func (b *behaviour) goesOn(k Kind) bool {
	return slices.ContainsFunc(b.list, func(m Misbehaviour) bool { return m.Kind == k && b.active(m, time.Now()) })
}

// draw says what is shown to the next request.
func (b *behaviour) draw(now time.Time) (list met) {
	b.requests++
	for i, m := range b.list {
		info, _ := infoOf(m.Kind)
		// Drawn at all times, so that times don't shift what comes by chance.
		spared := m.Chance > 0 && b.random.Float64() >= m.Chance
		switch {
		case spared, !b.active(m, now):
		case m.Every > 0 && b.requests%m.Every != 0:
		case info.once && m.Every == 0 && m.Chance == 0 && b.shown[i] > 0:
		default:
			b.shown[i]++
			list = append(list, m)
		}
	}
	return list
}

// met is the misbehaviours that one request meets.
type met []Misbehaviour

func (s met) of(k Kind) (Misbehaviour, bool) {
	i := slices.IndexFunc(s, func(m Misbehaviour) bool { return m.Kind == k })
	if i < 0 {
		return Misbehaviour{}, false
	}
	return s[i], true
}

func (s met) has(k Kind) bool {
	_, has := s.of(k)
	return has
}
