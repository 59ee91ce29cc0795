package iec104

import (
	"context"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlling"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// life is how a device is read over one link. It is the client's handler, and belongs to
// its goroutine, but for what mu guards.
type life struct {
	*watch
	client   *controlling.Client
	ctx      context.Context
	zone     *time.Location
	told     []bool // by point, over this link
	batch    []telemetry.Sample
	past     []telemetry.Sample
	received time.Time
	asked    []func(session.Result)   // who waits for everything to have been told
	stations int                      // whose interrogation hasn't ended
	foreign  int                      // objects that are no point
	whole    map[uint16]bool          // stations whose first interrogation over this link has ended
	later    map[int]telemetry.Sample // what is of the past, and yet what a point was last told to be

	mu       sync.Mutex
	shows    []shown       // by point
	changed  chan struct{} // closed when shows has changed; nil: nobody waits for that
	selected map[telemetry.SignalID]telemetry.Value
}

// shown is what a point was told to be last, which is no text. It was told at the time that
// watch has of it.
type shown struct {
	bits    uint64
	quality telemetry.Quality
	kind    telemetry.ValueKind
	told    bool // false before the first time
}

func (s shown) value() telemetry.Value { return telemetry.ValueFromBits(s.kind, s.bits) }

func newLife(ctx context.Context, w *watch, c *controlling.Client) *life {
	l := &life{
		watch: w, client: c, ctx: ctx, zone: w.zone(), told: make([]bool, len(w.Points)), shows: make([]shown, len(w.Points)),
		selected: map[telemetry.SignalID]telemetry.Value{},
		whole:    map[uint16]bool{}, later: map[int]telemetry.Sample{},
	}
	l.stations = len(w.config().Stations)
	return l
}

// Told implements controlling.Handler.
func (l *life) Told(a *asdu.ASDU, received time.Time) error {
	l.received = received
	for i := range a.Len() {
		o := a.Object(i)
		n, known := l.places.point(a.Address, o.Address)
		if !known {
			l.foreign++
			continue
		}
		l.put(n, l.Points[n].sample(a, o, received, l.zone))
	}
	return nil
}

// put takes a sample of a point. Until a station has been interrogated it may replay what
// it has kept: that is of the past where it is older than what was told. After that it is
// the present, by a clock that isn't right, or that has been set.
func (l *life) put(n int, s telemetry.Sample) {
	l.told[n] = true
	switch {
	case s.Time >= l.last[n]:
	case l.last[n]-s.Time < telemetry.Micros(rounding.Microseconds()): // it was told behind that, in the same moment
		s.Time = l.last[n] + 1
	default:
		if !l.whole[l.Points[n].Station] {
			l.past = append(l.past, s)
			l.later[n] = s
			return
		}
		s.Time, s.Quality = max(l.last[n], telemetry.MicrosOf(l.received)), s.Quality.WithTime(telemetry.GatewayTime)
	}
	delete(l.later, n)
	l.last[n] = s.Time
	l.batch = append(l.batch, s)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shows[n] = shown{s.Value.Bits(), s.Quality, s.Value.Kind(), true}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Idle implements controlling.Handler.
func (l *life) Idle() error {
	if l.session == nil { // it is read once
		l.batch, l.past = l.batch[:0], l.past[:0]
		return nil
	}
	if len(l.past) > 0 {
		r := session.Result{Samples: l.past, Received: l.received, Past: true}
		l.past = l.past[:0]
		if err := l.session.Deliver(l.ctx, r); err != nil {
			return err
		}
	}
	if len(l.batch) == 0 {
		return nil
	}
	r := session.Result{Samples: l.batch, Received: l.received}
	l.batch = l.batch[:0]
	return l.session.Deliver(l.ctx, r)
}

// Keep implements controlling.Handler. What was delivered before is committed when this is.
func (l *life) Keep(done func(bool)) error {
	return l.session.Deliver(l.ctx, session.Result{Received: time.Now(), Committed: done})
}

// Ended implements controlling.Handler. What a station hasn't told when it was asked for
// everything isn't there, or is missing.
func (l *life) Ended(of asdu.Type, station uint16, e controlling.Ending, objects int) error {
	if of == asdu.ClockSync {
		return nil
	}
	reason := telemetry.NotImplemented
	if e != controlling.Complete {
		reason = telemetry.Timeout
	}
	counters := of == asdu.CounterInterrogation
	now := time.Now()
	if !counters {
		l.whole[station] = true
		l.received = now
		for n, s := range l.later {
			if l.Points[n].Station == station { // it was told behind the answer, and nothing since
				l.put(n, s)
			}
		}
	}
	missing, first := 0, ""
	for n, p := range l.Points {
		if p.Station != station || l.told[n] || (p.Counter && l.Counters > 0) != counters {
			continue
		}
		if missing++; missing == 1 {
			first = p.Name
		}
		l.received = now
		l.put(n, telemetry.Sample{Time: telemetry.MicrosOf(now), Signal: p.Signal, Quality: session.Bad(reason)})
		l.told[n] = false // nothing was
	}
	if l.session != nil && (missing > 0 || e != controlling.Complete) {
		l.session.Log().Warn("not all was told", "asked", of, "station", station, "ended", e, "objects", objects, "missing", missing, "first", first, "foreign", l.foreign)
	} else if l.session != nil {
		l.session.Log().Debug("all was told", "asked", of, "station", station, "objects", objects, "foreign", l.foreign)
	}
	if !counters {
		l.stations--
	}
	if l.stations <= 0 && !(l.session == nil && l.Counters > 0 && !counters) {
		l.answer(nil)
	}
	return l.Idle()
}

// answer answers who waits.
func (l *life) answer(cause error) {
	if len(l.asked) == 0 {
		return
	}
	r := session.Result{Received: time.Now(), Cause: cause}
	if cause == nil {
		l.mu.Lock()
		for n, p := range l.Points {
			s := telemetry.Sample{Time: telemetry.MicrosOf(r.Received), Signal: p.Signal, Quality: session.Bad(telemetry.NotImplemented)}
			if is := l.shows[n]; is.told {
				s.Time, s.Value, s.Quality = l.last[n], is.value(), is.quality
			}
			r.Samples = append(r.Samples, s)
		}
		l.mu.Unlock()
	}
	for _, answer := range l.asked {
		answer(r)
	}
	l.asked = nil
}

// serve takes who asks for the device to be read, and says that it lives, until the client
// has ended.
func (l *life) serve() {
	alive := time.NewTicker(adapters.LiveEvery / 4)
	defer alive.Stop()
	for {
		select {
		case <-l.client.Done():
			return
		case a := <-l.session.Asked():
			if !l.client.Do(l.ctx, func() error {
				l.stations = len(l.config().Stations)
				l.asked = append(l.asked, a.Answer)
				l.client.Interrogate()
				return nil
			}) {
				a.Answer(session.Result{Received: time.Now(), Cause: errEnded})
			}
		case <-alive.C:
			l.client.Do(l.ctx, func() error {
				if now := time.Now(); l.session.LiveDue(now) {
					return l.session.Deliver(l.ctx, session.Result{Received: now})
				}
				return nil
			})
		}
	}
}

// shown is what a point shows, and what is closed when something has changed.
func (l *life) shown(n int) (telemetry.Value, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.shows[n].value(), l.changed
}
