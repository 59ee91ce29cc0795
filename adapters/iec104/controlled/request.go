package controlled

import (
	"context"
	"errors"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// take answers what the master asks for or commands.
func (v *session) take(ctx context.Context, b []byte) {
	if !v.serving {
		return
	}
	s := v.server
	a, err := s.config.Params.Parse(b)
	var unknown asdu.UnknownTypeError
	switch {
	case errors.As(err, &unknown):
		v.reject(b, asdu.UnknownType)
		return
	case err != nil:
		if v.malformed++; v.malformed == 1 {
			s.log.Warn("an ASDU is left out; further ones are only counted", "master", v.remote, "error", err)
		}
		return
	}
	answer := v.handler(a.Type)
	switch {
	case answer == nil:
		v.reject(b, asdu.UnknownType)
	case a.Len() != 1:
		v.refuse(b, a.Cause)
	default:
		stations := v.addressed(&a)
		if len(stations) == 0 {
			v.reject(b, asdu.UnknownAddress)
		}
		for _, station := range stations {
			one := append([]byte(nil), b...)
			s.readdress(one, station)
			a.Address = station
			answer(ctx, &a, one)
		}
	}
}

// handler is what answers a type; nil: nothing does.
func (v *session) handler(t asdu.Type) func(ctx context.Context, a *asdu.ASDU, b []byte) {
	switch {
	case t.Commands():
		return v.command
	case t == asdu.Interrogation, t == asdu.CounterInterrogation:
		return v.interrogate
	case t == asdu.Read:
		return v.read
	case t == asdu.ClockSync:
		return v.setClock
	case t == asdu.TestCommand, t == asdu.TestCommandTime:
		return v.test
	}
	return nil
}

// addressed are the stations that are asked: one, or by the broadcast address all, of what
// may be asked so (7.2.4).
func (v *session) addressed(a *asdu.ASDU) []uint16 {
	p, all := v.server.config.Params, v.server.table.stations
	if a.Address == p.Broadcast() && (a.Type == asdu.Interrogation || a.Type == asdu.CounterInterrogation || a.Type == asdu.ClockSync) {
		return all
	}
	for _, station := range all {
		if station == a.Address {
			return []uint16{station}
		}
	}
	return nil
}

// readdress writes the common address of an ASDU that was read.
func (s *Server) readdress(b []byte, station uint16) {
	at := 2 + s.config.Params.Cause
	b[at] = byte(station)
	if s.config.Params.Address == 2 {
		b[at+1] = byte(station >> 8)
	}
}

// mirror is what was asked, with another cause.
func mirror(b []byte, c asdu.Cause, negative bool) []byte {
	b = append([]byte(nil), b...)
	b[2] = b[2]&0x80 | byte(c)
	if negative {
		b[2] |= 0x40
	}
	return b
}

func (v *session) answer(b []byte) { v.answers = append(v.answers, answer{asdu: b}) }

// accept says that what was asked is done.
func (v *session) accept(b []byte, c asdu.Cause) { v.answer(mirror(b, confirmation(c), false)) }

// refuse says that it isn't.
func (v *session) refuse(b []byte, c asdu.Cause) { v.answer(mirror(b, confirmation(c), true)) }

// reject says what of it isn't known here.
func (v *session) reject(b []byte, why asdu.Cause) { v.answer(mirror(b, why, true)) }

func confirmation(c asdu.Cause) asdu.Cause {
	switch c {
	case asdu.Activation:
		return asdu.ActivationCon
	case asdu.Deactivation:
		return asdu.DeactivationCon
	}
	return asdu.UnknownCause
}

// interrogation is one that is being answered.
type interrogation struct {
	request []byte
	of      asdu.Type
	station uint16
	cause   asdu.Cause
	group   uint8 // 0: all
	at      int   // the next of the station's points
	later   []*deferred
	owed    map[*Point]*deferred // the same
}

// deferred is a point of which events waited when its turn came: the present isn't told
// before what has been.
type deferred struct {
	point  *Point
	behind uint64       // the number of the last of these events
	sent   *asdu.Object // what the point was by the last event that was sent meanwhile
}

// tell is what is told of the point now, behind its events that were sent and before those
// that wait; nil: some that waited from the beginning still do.
func (d *deferred) tell(q *queue) *asdu.Object {
	switch {
	case !q.behind(d.point):
		o := d.point.object()
		return &o
	case d.behind < q.waiting[0].number:
		return d.sent
	}
	return nil
}

// putOff has a point told later.
func (i *interrogation) putOff(p *Point) {
	d := &deferred{point: p, behind: p.last}
	if i.later = append(i.later, d); i.owed == nil {
		i.owed = map[*Point]*deferred{}
	}
	i.owed[p] = d
}

// note takes note of an event that is sent.
func (i *interrogation) note(p *Point, e event) {
	if d := i.owed[p]; d != nil {
		d.sent = &asdu.Object{Address: e.object.Address, Value: e.object.Value, Quality: e.object.Quality}
	}
}

// has reports whether a point is part of the answer.
func (i *interrogation) has(p *Point) bool {
	return (p.Type == asdu.Totals) == (i.of == asdu.CounterInterrogation) && (i.group == 0 || p.Group == i.group)
}

// next is the next ASDU of the answer; the last one is the termination. It is nil while
// events of all points that are left wait. s.mu is held.
func (i *interrogation) next(s *Server, q *queue) (b []byte, last bool) {
	list := s.table.order[i.station]
	var objects []asdu.Object
	var of asdu.Type
	fits := func(p *Point) bool {
		return len(objects) == 0 || p.Type == of && len(objects) < s.config.Params.Fits(of)
	}
	for ; i.at < len(list); i.at++ {
		p := list[i.at]
		switch {
		case !i.has(p):
			continue
		case q.behind(p):
			i.putOff(p)
			continue
		}
		if !fits(p) {
			return i.part(s, of, objects), false
		}
		of, objects = p.Type, append(objects, p.object())
	}
	if len(objects) == 0 {
		left := i.later[:0]
		for _, d := range i.later {
			o := d.tell(q)
			if o == nil || !fits(d.point) {
				left = append(left, d)
				continue
			}
			of, objects = d.point.Type, append(objects, *o)
		}
		i.later = left
	}
	switch {
	case len(objects) > 0:
		return i.part(s, of, objects), false
	case len(i.later) > 0:
		return nil, false
	}
	return mirror(i.request, asdu.ActivationTermin, false), true
}

// part is a part of the answer.
func (i *interrogation) part(s *Server, of asdu.Type, objects []asdu.Object) []byte {
	return s.write(asdu.Header{Type: of, Cause: i.cause, Originator: originator(s.config.Params, i.request), Address: i.station}, objects)
}

// originator is that of a request, to which the answer goes.
func originator(p asdu.Params, b []byte) uint8 {
	if p.Cause == 2 {
		return b[3]
	}
	return 0
}

func (v *session) interrogate(_ context.Context, a *asdu.ASDU, b []byte) {
	i := &interrogation{request: b, of: a.Type, station: a.Address}
	o := a.Object(0)
	known := false
	switch q := o.Qualifier; {
	case o.Address != 0:
		v.reject(b, asdu.UnknownObject)
		return
	case a.Type == asdu.Interrogation:
		known = q >= asdu.StationInterrogation && q <= asdu.StationInterrogation+16
		i.cause, i.group = asdu.Cause(q), q-asdu.StationInterrogation
	case q == asdu.GeneralCounters:
		known, i.cause = true, asdu.InterrogatedCounters
	default: // without freezing, which is in the upper bits
		known = q >= 1 && q <= 4
		i.cause, i.group = asdu.InterrogatedCounters+asdu.Cause(q), q
	}
	under := -1
	for n, one := range v.asked {
		if one.of == i.of && one.station == i.station && one.group == i.group {
			under = n
		}
	}
	switch {
	case a.Cause == asdu.Deactivation && known && under >= 0:
		v.asked = append(v.asked[:under], v.asked[under+1:]...)
		v.accept(b, a.Cause)
	case a.Cause == asdu.Activation && known && under < 0:
		v.accept(b, a.Cause)
		v.asked = append(v.asked, i)
	default:
		v.refuse(b, a.Cause)
	}
}

func (v *session) read(_ context.Context, a *asdu.ASDU, b []byte) {
	s := v.server
	if a.Cause != asdu.Requested {
		v.reject(b, asdu.UnknownCause)
		return
	}
	p, has := s.Point(a.Address, a.Object(0).Address)
	if !has {
		v.reject(b, asdu.UnknownObject)
		return
	}
	v.answer(s.write(asdu.Header{Type: p.Type, Cause: asdu.Requested, Originator: a.Originator, Address: a.Address}, []asdu.Object{p.object()}))
}

func (v *session) setClock(_ context.Context, a *asdu.ASDU, b []byte) {
	o := a.Object(0)
	if o.Address != 0 {
		v.reject(b, asdu.UnknownObject)
		return
	}
	at, right := o.Time.In(v.server.config.Zone)
	if a.Cause != asdu.Activation || a.Test || !right || o.Time.Invalid || v.server.owner.SetClock(a.Address, at) != nil {
		v.refuse(b, a.Cause)
		return
	}
	v.accept(b, a.Cause)
}

func (v *session) test(_ context.Context, a *asdu.ASDU, b []byte) {
	switch {
	case a.Object(0).Address != 0:
		v.reject(b, asdu.UnknownObject)
	case a.Cause != asdu.Activation:
		v.refuse(b, a.Cause)
	default:
		v.accept(b, a.Cause)
	}
}
