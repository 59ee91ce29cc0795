package controlled

import (
	"net/netip"
	"slices"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// Group is the connections of one master, of which one is started at a time: a redundancy
// group. Each group is told everything.
type Group struct {
	Name string
	// Masters are where its connections come from; none: anywhere.
	Masters []netip.Prefix
}

// mostGroups is how many groups there are at most: a point has a bit for each.
const mostGroups = 32

// event is a change that has to be told.
type event struct {
	number  uint64 // they are told in this order
	station uint16
	of      asdu.Type
	cause   asdu.Cause
	object  asdu.Object
}

// queue is what a group hasn't been told, or hasn't acknowledged. The server's mutex protects
// it.
type queue struct {
	Group
	bit     uint32    // of this group in Point.fresh
	waiting []event   // the oldest first
	flying  [][]event // those before, of each ASDU that is on its way
	fresh   []*Point  // of which the last change hasn't been told, each once
	dropped uint64
	earlier uint64 // of those, what earlier processes have
	gone    uint64 // the number of the last event that was dropped
	settled uint64 // and of the last one that the master has acknowledged
	let     uint64 // up to which the journal has noted that they are done
	serving *session
}

// record adds an event to the queues of groups that are to have it; nil: of all. It reports
// whether there are any. s.mu is held.
func (s *Server) record(e event, past bool, has func(*queue) bool) bool {
	if has != nil && !slices.ContainsFunc(s.queues, has) {
		return false
	}
	s.events++
	e.number = s.events
	if s.config.Journal != nil {
		s.config.Journal.Keep(Kept{Number: e.number, Station: e.station, Type: e.of, Cause: e.cause, Object: e.object, Past: past})
	} else {
		s.kept = e.number
	}
	for _, q := range s.queues {
		if has == nil || has(q) {
			q.waiting = append(q.waiting, e)
			s.limit(q)
			q.notify()
		}
	}
	return true
}

// freshen notes that the last change of a point is to be told. s.mu is held.
func (s *Server) freshen(p *Point) {
	for _, q := range s.queues {
		if p.fresh&q.bit == 0 {
			p.fresh |= q.bit
			q.fresh = append(q.fresh, p)
		}
		q.notify()
	}
}

// notify tells who serves the group that there is something to be told. s.mu is held.
func (q *queue) notify() {
	if q.serving != nil {
		select {
		case q.serving.wake <- struct{}{}:
		default:
		}
	}
}

// limit lets the oldest go of more than are kept. s.mu is held.
func (s *Server) limit(q *queue) {
	over := len(q.waiting) - s.config.Events
	if over <= 0 {
		return
	}
	if q.dropped == q.earlier {
		s.log.Warn("events are lost: a master takes them too slowly, or not at all; further ones are only counted", "group", q.Name, "kept", s.config.Events)
	}
	q.dropped += uint64(over)
	q.gone = q.waiting[over-1].number
	q.waiting = q.waiting[over:]
	s.release(q)
}

// release tells the journal which events the group doesn't need any more. s.mu is held.
func (s *Server) release(q *queue) {
	through := q.done()
	if s.config.Journal == nil {
		q.let = through
	} else {
		s.config.Journal.Release(q.Name, through, q.dropped)
	}
}

// done is up to which event the group doesn't need any. s.mu is held.
func (q *queue) done() uint64 {
	if len(q.flying) == 0 { // else some that are older may have to be sent again
		return max(q.settled, q.gone)
	}
	return q.settled
}

// pack takes those events from the front that go into one ASDU: of one station, type and
// cause, and each object once. s.mu is held.
func (q *queue) pack(p asdu.Params, kept uint64) []event {
	n := 0
	for n < len(q.waiting) && n < p.Fits(q.waiting[0].of) && q.waiting[n].number <= kept && q.fits(n) {
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

// behind reports whether events of a point wait, behind which its present value has to be
// told. s.mu is held.
func (q *queue) behind(p *Point) bool { return len(q.waiting) > 0 && p.last >= q.waiting[0].number }

// mostLooked is how many points are looked at for one ASDU.
const mostLooked = 1000

// packFresh takes the points whose last changes go into one ASDU. s.mu is held.
func (q *queue) packFresh(params asdu.Params) (taken []*Point) {
	kept := q.fresh[:0]
	for i, p := range q.fresh {
		fits := len(taken) == 0 || p.told() == taken[0].told() && p.Station == taken[0].Station && len(taken) < params.Fits(p.told())
		if i == mostLooked || len(taken) > 0 && !fits {
			kept = append(kept, q.fresh[i:]...)
			break
		}
		if q.behind(p) {
			kept = append(kept, p)
			continue
		}
		p.fresh &^= q.bit
		taken = append(taken, p)
	}
	clear(q.fresh[len(kept):])
	if q.fresh = kept; len(kept) == 0 {
		q.fresh = nil // an array that was long is let go
	}
	return taken
}

// GroupStatus is how a group is served.
type GroupStatus struct {
	Name    string
	Started string // the address of the connection that is started; "": none
	Waiting int    // events that weren't sent
	Dropped uint64 // events that were lost, because more weren't kept
	Earlier uint64 // of those, what earlier processes have lost
}

// Status is how each group is served.
func (s *Server) Status() (list []GroupStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		one := GroupStatus{Name: q.Name, Waiting: len(q.waiting), Dropped: q.dropped, Earlier: q.earlier}
		if q.serving != nil {
			one.Started = q.serving.remote
		}
		list = append(list, one)
	}
	return list
}
