package controlled

import (
	"context"
	"slices"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
)

// session is one connection of a master. The goroutine of run owns it, but for wake and done.
type session struct {
	server *Server
	queue  *queue
	conn   *link.Conn
	remote string
	guest  *guest
	wake   chan struct{} // there are new events
	ended  chan answer   // commands whose execution has
	done   chan struct{} // closed when nothing of the queue is here any more

	serving   bool
	answers   []answer
	asked     []*interrogation
	turn      int      // whose it is to be sent: see prepare
	out       *output  // what goes next; nil: nothing
	sent      uint64   // ASDUs that the connection has taken
	flight    []output // those of them with changes that aren't acknowledged
	settling  []uint64 // the last event of each that is, which the journal hasn't noted
	malformed uint64
}

// answer is one that goes before everything else, but for the events up to a number.
type answer struct {
	asdu  []byte
	after uint64
}

// output is an ASDU that goes out.
type output struct {
	asdu   []byte
	events []event  // that it tells
	fresh  []*Point // whose last change it tells
	number uint64   // how many the connection had taken before
}

// mostAnswers is how many may wait. A master that asks for more without taking them isn't
// served any longer.
const mostAnswers = 1000

func newSession(s *Server, q *queue, c *link.Conn, remote string) *session {
	return &session{server: s, queue: q, conn: c, remote: remote, wake: make(chan struct{}, 1), ended: make(chan answer), done: make(chan struct{})}
}

// run serves the master until its connection ends.
func (v *session) run(ctx context.Context) {
	defer func() {
		v.conn.Close()
		<-v.conn.Ended()
		v.stop()
		close(v.done)
	}()
	for {
		v.prepare()
		var sends chan<- []byte
		var b []byte
		if v.out != nil {
			sends, b = v.conn.Sends(), v.out.asdu
		}
		select {
		case sends <- b:
			v.taken()
		case m := <-v.conn.Messages():
			switch m.Event {
			case link.Started:
				v.guest.started.Store(true)
				v.start()
			case link.Stopped:
				v.guest.started.Store(false)
				v.stopped()
			default:
				v.take(ctx, m.ASDU)
			}
		case a := <-v.ended:
			v.answers = append(v.answers, a)
		case <-v.conn.Confirms():
			v.confirm()
		case <-v.wake:
		case <-v.conn.Ended():
			return
		}
		if len(v.answers) > mostAnswers {
			v.server.log.Warn("a master asks for more than it takes", "master", v.remote)
			return
		}
	}
}

// start makes this the connection of its group that is served. Another one that was is
// closed, and what wasn't acknowledged there is sent here. One that the master has stopped
// again meanwhile is none: another may have been started since.
func (v *session) start() {
	for s := v.server; ; {
		s.mu.Lock()
		other, started := v.queue.serving, v.conn.IsStarted()
		if started && (other == nil || other == v) {
			v.queue.serving, v.serving = v, true
		}
		s.mu.Unlock()
		if v.serving || !started {
			return
		}
		s.log.Info("another connection of the group is started", "group", v.queue.Name, "master", other.remote, "now", v.remote)
		other.conn.Close()
		<-other.done
	}
}

// stopped takes that the master has stopped the transfer. All that was sent before is
// acknowledged then: if something isn't, the transfer has been started again meanwhile.
func (v *session) stopped() {
	v.confirm()
	if len(v.flight) > 0 {
		v.answers, v.asked = nil, nil
		return
	}
	v.stop()
}

// stop gives back the events that aren't acknowledged. No answers are owed any more.
func (v *session) stop() {
	v.confirm()
	s := v.server
	s.mu.Lock()
	defer s.mu.Unlock()
	q := v.queue
	if v.out != nil {
		v.flight = append(v.flight, *v.out)
	}
	for _, o := range v.flight {
		for _, p := range o.fresh {
			if p.fresh&q.bit == 0 {
				p.fresh |= q.bit
				q.fresh = append(q.fresh, p)
			}
		}
	}
	if q.serving == v {
		q.serving = nil
		if len(q.flying) > 0 {
			q.waiting = append(slices.Concat(q.flying...), q.waiting...)
			q.flying = nil
			s.limit(q)
		}
	}
	for k, selection := range s.selected {
		if selection.by == v {
			delete(s.selected, k)
			s.executing.Go(func() { s.owner.Cancel(selection.command) })
		}
	}
	v.serving, v.flight, v.settling, v.out, v.answers, v.asked = false, nil, nil, nil, nil, nil
}

// confirm lets go of changes that the master has acknowledged.
func (v *session) confirm() {
	n, confirmed := 0, v.conn.Confirmed()
	for n < len(v.flight) && v.flight[n].number < confirmed {
		n++
	}
	if n == 0 {
		return
	}
	s, q := v.server, v.queue
	s.mu.Lock()
	defer s.mu.Unlock()
	released := false
	for _, o := range v.flight[:n] {
		if len(o.events) > 0 {
			released = true
			q.settled = o.events[len(o.events)-1].number
			q.flying = q.flying[1:]
			v.settling = append(v.settling, q.settled)
		}
	}
	v.flight = v.flight[n:]
	if released {
		s.release(q)
	}
}

// taken notes that the connection has taken what was to be sent.
func (v *session) taken() {
	v.confirm()
	if v.out.events != nil || v.out.fresh != nil {
		v.out.number = v.sent
		v.flight = append(v.flight, *v.out)
	}
	v.sent++
	v.out = nil
}

// prepare chooses what goes next: answers first, and then events, what is fresh, and what
// was asked for in turn, so that none of them waits for all of the others.
func (v *session) prepare() {
	if v.out != nil || !v.serving {
		return
	}
	s := v.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(v.answers) > 0 && (len(v.queue.waiting) == 0 || v.queue.waiting[0].number > v.answers[0].after) {
		v.out = &output{asdu: v.answers[0].asdu}
		v.answers = v.answers[1:]
		return
	}
	turns := [...]func() *output{v.nextEvents, v.nextFresh, v.nextAsked}
	for range turns {
		next := turns[v.turn]
		v.turn = (v.turn + 1) % len(turns)
		if v.out = next(); v.out != nil {
			return
		}
	}
}

// nextEvents takes the oldest events. s.mu is held.
func (v *session) nextEvents() *output {
	s, q := v.server, v.queue
	for len(v.settling) > 0 && v.settling[0] <= q.let {
		v.settling = v.settling[1:]
	}
	if len(q.flying)+len(v.settling) >= s.config.Link.K {
		return nil
	}
	list := q.pack(s.config.Params, s.kept)
	if len(list) == 0 {
		return nil
	}
	q.flying = append(q.flying, list)
	objects := make([]asdu.Object, len(list))
	for i, e := range list {
		objects[i] = e.object
		for _, asked := range v.asked {
			asked.note(s.table.points[key{e.station, e.object.Address}], e)
		}
	}
	return &output{events: list, asdu: s.write(asdu.Header{Type: list[0].of, Cause: list[0].cause, Address: list[0].station}, objects)}
}

// nextFresh takes points that have changed. s.mu is held.
func (v *session) nextFresh() *output {
	s := v.server
	list := v.queue.packFresh(s.config.Params)
	if len(list) == 0 {
		return nil
	}
	objects := make([]asdu.Object, len(list))
	for i, p := range list {
		objects[i] = p.object()
		objects[i].Time = p.at
	}
	return &output{fresh: list, asdu: s.write(asdu.Header{Type: list[0].told(), Cause: asdu.Spontaneous, Address: list[0].Station}, objects)}
}

// nextAsked takes a part of the oldest answer. s.mu is held.
func (v *session) nextAsked() *output {
	if len(v.asked) == 0 {
		return nil
	}
	b, last := v.asked[0].next(v.server, v.queue)
	if last {
		v.asked = v.asked[1:]
	}
	if b == nil {
		return nil
	}
	return &output{asdu: b}
}

// write is an ASDU of objects that were found to be right.
func (s *Server) write(h asdu.Header, objects []asdu.Object) []byte {
	b, err := s.config.Params.Append(nil, h, objects)
	if err != nil {
		panic(err) // each was written before, and no more than fit are
	}
	return b
}
