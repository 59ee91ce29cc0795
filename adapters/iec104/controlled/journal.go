package controlled

import (
	"cmp"
	"slices"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// Kept is an event as a journal keeps it.
type Kept struct {
	// Number counts them from 1, over the ends of processes; 0: it is no event, but the
	// value that the next change of a point is one from.
	Number  uint64
	Station uint16
	Type    asdu.Type
	Cause   asdu.Cause
	Object  asdu.Object
	Past    bool // the point has become something else since
}

// Restored is what a journal has kept of earlier processes.
type Restored struct {
	Events []Kept // by number
	Last   uint64 // the number of the last event there was
	// Done is up to which number a group needs no event any more, and Lost how many it was
	// never told. A group that isn't in there has nothing to be told.
	Done, Lost map[string]uint64
	Values     []Kept // what points were last, each once
}

// Journal keeps events until all groups have them, so that they outlive the process. Keep
// and Release are called in the order of what happens, one at a time, and mustn't block. What
// they are told is on disk when the journal has said so by Server.Kept and Server.Released.
type Journal interface {
	// Keep keeps an event, of which nobody is told before.
	Keep(Kept)
	// Release says that a group needs no event up to a number any more, and how many it has
	// lost since the beginning.
	Release(group string, through, lost uint64)
}

// Kept is told by the journal that the events up to a number may be told.
func (s *Server) Kept(through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = max(s.kept, through)
	for _, q := range s.queues {
		q.notify()
	}
}

// Released is told by the journal that it has noted what Release said. Until then the next
// process would tell the events again; so no more than k messages are on their way or like
// this.
func (s *Server) Released(group string, through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if q.Name == group {
			q.let = max(q.let, through)
			q.notify()
		}
	}
}

// restore takes up what was kept.
func (s *Server) restore(r Restored) {
	s.events, s.kept = r.Last, r.Last
	for _, v := range r.Values {
		if p := s.table.points[key{v.Station, v.Object.Address}]; p != nil && (v.Type == p.Type || v.Type == timed[p.Type]) {
			p.Value, p.was, p.known = v.Object.Value, v.Object.Value, true
		}
	}
	for _, q := range s.queues {
		done, known := r.Done[q.Name]
		if !known {
			done = r.Last
		}
		q.settled, q.let, q.dropped, q.earlier = done, done, r.Lost[q.Name], r.Lost[q.Name]
		for _, k := range r.Events {
			p := s.table.points[key{k.Station, k.Object.Address}]
			if k.Number <= done || p == nil || k.Type != p.Type && k.Type != timed[p.Type] {
				continue
			}
			p.last = max(p.last, k.Number)
			q.waiting = append(q.waiting, event{k.Number, k.Station, k.Type, k.Cause, k.Object})
		}
		s.limit(q)
	}
}

// Recover takes up events that a journal has kept of earlier processes and could only read
// now. They are told behind what there is, and the points' present values again behind them;
// the journal is to keep them anew.
func (s *Server) Recover(r Restored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range r.Values {
		if p := s.table.points[key{v.Station, v.Object.Address}]; p != nil && !p.known && (v.Type == p.Type || v.Type == timed[p.Type]) {
			p.was, p.known = v.Object.Value, true
		}
	}
	for _, q := range s.queues {
		if lost := r.Lost[q.Name]; lost > 0 {
			q.dropped += lost
			q.earlier += lost
			s.release(q)
		}
	}
	for _, k := range r.Events {
		p := s.table.points[key{k.Station, k.Object.Address}]
		if p == nil || k.Type != p.Type && k.Type != timed[p.Type] {
			continue
		}
		e := event{station: k.Station, of: k.Type, cause: k.Cause, object: k.Object}
		if s.record(e, true, func(q *queue) bool { done, known := r.Done[q.Name]; return known && k.Number > done }) {
			p.last = s.events
			s.freshen(p)
		}
	}
}

// Outstanding is what would have to be kept to go on from here.
func (s *Server) Outstanding() Restored {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Restored{Last: s.events, Done: map[string]uint64{}, Lost: map[string]uint64{}}
	for _, q := range s.queues {
		r.Done[q.Name], r.Lost[q.Name] = q.done(), q.dropped
		for _, e := range slices.Concat(slices.Concat(q.flying...), q.waiting) {
			r.Events = append(r.Events, Kept{Number: e.number, Station: e.station, Type: e.of, Cause: e.cause, Object: e.object})
		}
	}
	slices.SortFunc(r.Events, func(a, b Kept) int { return cmp.Compare(a.Number, b.Number) })
	r.Events = slices.CompactFunc(r.Events, func(a, b Kept) bool { return a.Number == b.Number })
	for k, p := range s.table.points {
		if p.known && !p.Quiet && !p.Latest {
			r.Values = append(r.Values, Kept{Station: k.station, Type: p.Type, Cause: asdu.Requested, Object: asdu.Object{Address: k.address, Value: p.was}})
		}
	}
	return r
}
