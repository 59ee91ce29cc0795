package controlled

import (
	"net/netip"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// Group is the connections of one master, of which one is started at a time: a redundancy
// group. Each group is told everything.
type Group struct {
	Name string
	// Masters are where its connections come from; none: anywhere.
	Masters []netip.Prefix
}

// event is a change that has to be told.
type event struct {
	number  uint64 // they are told in this order
	station uint16
	of      asdu.Type
	cause   asdu.Cause
	object  asdu.Object
}

// queue is the events that a group hasn't been told, the oldest first. Those that are on
// their way are with the session until they are acknowledged. The server's mutex protects it.
type queue struct {
	Group
	waiting []event
	dropped uint64
	serving *session // whose connection is started; nil: none
}

// record adds an event to each group's queue; one that isn't kept to those that are served. s.mu
// is held.
func (s *Server) record(e event, keep bool) {
	s.events++
	e.number = s.events
	for _, q := range s.queues {
		if !keep && q.serving == nil {
			continue
		}
		q.waiting = append(q.waiting, e)
		s.limit(q)
		if q.serving != nil {
			select {
			case q.serving.wake <- struct{}{}:
			default:
			}
		}
	}
}

// limit lets the oldest go of more than are kept. s.mu is held.
func (s *Server) limit(q *queue) {
	over := len(q.waiting) - s.config.Events
	if over <= 0 {
		return
	}
	if q.dropped == 0 {
		s.log.Warn("events are lost: a master takes them too slowly, or not at all; further ones are only counted", "group", q.Name, "kept", s.config.Events)
	}
	q.dropped += uint64(over)
	q.waiting = q.waiting[over:]
}

// pack takes those events from the front that go into one ASDU: of one station, type and
// cause, and each object once. s.mu is held.
func (q *queue) pack(p asdu.Params) []event {
	n := 0
	for n < len(q.waiting) && n < p.Fits(q.waiting[0].of) && q.fits(n) {
		n++
	}
	if n == 0 {
		return nil
	}
	taken := append([]event(nil), q.waiting[:n]...)
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil // an array that was long is let go
	}
	return taken
}

func (q *queue) fits(n int) bool {
	first, e := q.waiting[0], q.waiting[n]
	if e.station != first.station || e.of != first.of || e.cause != first.cause {
		return false
	}
	for _, before := range q.waiting[:n] {
		if before.object.Address == e.object.Address {
			return false
		}
	}
	return true
}

// GroupStatus is how a group is served.
type GroupStatus struct {
	Name    string
	Started string // the address of the connection that is started; "": none
	Waiting int    // events that weren't sent
	Dropped uint64 // events that were lost, because more weren't kept
}

// Status is how each group is served.
func (s *Server) Status() (list []GroupStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		one := GroupStatus{Name: q.Name, Waiting: len(q.waiting), Dropped: q.dropped}
		if q.serving != nil {
			one.Started = q.serving.remote
		}
		list = append(list, one)
	}
	return list
}
