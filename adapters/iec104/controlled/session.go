package controlled

import (
	"context"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
)

// session is one connection of a master. The goroutine of run owns it, but for wake and done.
type session struct {
	server *Server
	queue  *queue
	conn   *link.Conn
	remote string
	wake   chan struct{} // there are new events
	ended  chan answer   // commands whose execution has
	done   chan struct{} // closed when nothing of the queue is here any more

	serving   bool
	answers   []answer
	asked     []*interrogation
	out       *output  // what goes next; nil: nothing
	sent      uint64   // ASDUs that the connection has taken
	flight    []output // those of them with events that aren't acknowledged
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
	events []event // that it tells
	number uint64  // how many the connection had taken before
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
				v.start()
			case link.Stopped:
				v.stopped()
			default:
				v.take(ctx, m.ASDU)
			}
		case a := <-v.ended:
			v.answers = append(v.answers, a)
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
// closed, and what wasn't acknowledged there is sent here.
func (v *session) start() {
	for s := v.server; ; {
		s.mu.Lock()
		other := v.queue.serving
		if other == nil || other == v {
			v.queue.serving, v.serving = v, true
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
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
	var back []event
	for _, o := range v.flight {
		back = append(back, o.events...)
	}
	if v.out != nil {
		back = append(back, v.out.events...)
	}
	if len(back) > 0 {
		v.queue.waiting = append(back, v.queue.waiting...)
		s.limit(v.queue)
	}
	if v.queue.serving == v {
		v.queue.serving = nil
	}
	for k, selection := range s.selected {
		if selection.by == v {
			delete(s.selected, k)
		}
	}
	v.serving, v.flight, v.out, v.answers, v.asked = false, nil, nil, nil, nil
}

// confirm lets go of events that the master has acknowledged.
func (v *session) confirm() {
	n, confirmed := 0, v.conn.Confirmed()
	for n < len(v.flight) && v.flight[n].number < confirmed {
		n++
	}
	v.flight = v.flight[n:]
}

// taken notes that the connection has taken what was to be sent.
func (v *session) taken() {
	v.confirm()
	if v.out.events != nil {
		v.out.number = v.sent
		v.flight = append(v.flight, *v.out)
	}
	v.sent++
	v.out = nil
}

// prepare chooses what goes next: answers, then events, then what was asked for, so that
// what an interrogation tells is never older than an event behind it.
func (v *session) prepare() {
	if v.out != nil || !v.serving {
		return
	}
	s, p := v.server, v.server.config.Params
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(v.answers) > 0 && (len(v.queue.waiting) == 0 || v.queue.waiting[0].number > v.answers[0].after) {
		v.out = &output{asdu: v.answers[0].asdu}
		v.answers = v.answers[1:]
		return
	}
	if list := v.queue.pack(p); len(list) > 0 {
		objects := make([]asdu.Object, len(list))
		for i, e := range list {
			objects[i] = e.object
		}
		v.out = &output{events: list}
		v.out.asdu = s.write(asdu.Header{Type: list[0].of, Cause: list[0].cause, Address: list[0].station}, objects)
		return
	}
	if len(v.asked) > 0 {
		b, last := v.asked[0].next(s)
		if last {
			v.asked = v.asked[1:]
		}
		v.out = &output{asdu: b}
	}
}

// write is an ASDU of objects that were found to be right.
func (s *Server) write(h asdu.Header, objects []asdu.Object) []byte {
	b, err := s.config.Params.Append(nil, h, objects)
	if err != nil {
		panic(err) // each was written before, and no more than fit are
	}
	return b
}
