package publish

import (
	"slices"

	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// transition is an alarm that was raised or cleared.
type transition struct {
	alarm   string // its id
	topic   string
	raised  bool
	payload []byte
}

// active is an alarm that hasn't cleared.
type active struct {
	alarm, topic string
	payload      []byte // that raised it
	shown        uint64 // the connection over which the broker has got it; 0: none
}

// queue is what is to be published. Its zero value is empty.
type queue struct {
	waiting []transition // oldest first
	active  []active     // in the order in which they were raised
	alarms  map[string]standing
	spent   int      // of those that wait, how many are of alarms that have cleared
	stale   []string // topics of which the broker keeps a message that nothing stands for
	dropped uint64   // transitions
}

// standing is how it stands with an alarm that is active or of which something waits.
type standing struct {
	active  bool
	waiting int // transitions
}

const (
	// mostWaiting bounds the transitions that wait: some megabytes.
	mostWaiting = 4096
	// mostStale bounds the topics that the broker is told to forget. What else it keeps
	// comes with the next connection.
	mostStale = 10_000
)

func (q *queue) add(t transition) {
	q.deactivate(t.alarm)
	if t.raised {
		q.activate(active{alarm: t.alarm, topic: t.topic, payload: t.payload})
	}
	q.waiting = append(q.waiting, t)
	q.count(t.alarm, 1)
	for len(q.waiting) > mostWaiting {
		q.shed()
	}
}

// restore takes up the alarms that are active when the gateway starts.
func (q *queue) restore(e telemetry.Event, topic string, payload []byte) {
	q.activate(active{alarm: e.Alarm.ID, topic: topic, payload: payload})
}

func (q *queue) activate(a active) {
	q.active = append(q.active, a)
	q.change(a.alarm, func(s *standing) { s.active = true })
}

func (q *queue) deactivate(alarm string) {
	if q.isActive(alarm) {
		q.active = slices.DeleteFunc(q.active, func(a active) bool { return a.alarm == alarm })
		q.change(alarm, func(s *standing) { s.active = false })
	}
}

func (q *queue) isActive(alarm string) bool { return q.alarms[alarm].active }

// count says that n more transitions of an alarm wait.
func (q *queue) count(alarm string, n int) {
	q.change(alarm, func(s *standing) { s.waiting += n })
}

func (q *queue) change(alarm string, change func(*standing)) {
	s := q.alarms[alarm]
	q.spent -= s.spent()
	change(&s)
	q.spent += s.spent()
	switch {
	case s == standing{}:
		delete(q.alarms, alarm)
		return
	case q.alarms == nil:
		q.alarms = map[string]standing{}
	}
	q.alarms[alarm] = s
}

// spent are the transitions that nobody needs any more.
func (s standing) spent() int {
	if s.active {
		return 0
	}
	return s.waiting
}

// shed gives up the oldest that nobody needs any more: what is to be said of an alarm
// that has cleared. If all are active, the oldest of them is published when its turn
// comes behind those that wait.
func (q *queue) shed() {
	if q.spent == 0 {
		q.count(q.waiting[0].alarm, -1)
		q.waiting = q.waiting[1:]
		return
	}
	over := q.waiting[slices.IndexFunc(q.waiting, func(t transition) bool { return !q.isActive(t.alarm) })]
	n := q.alarms[over.alarm].waiting
	q.waiting = slices.DeleteFunc(q.waiting, func(t transition) bool { return t.alarm == over.alarm })
	q.count(over.alarm, -n)
	q.dropped += uint64(n)
	q.forget(over.topic)
}

// forget has the broker forget what it keeps of a topic, if nothing stands for it.
func (q *queue) forget(topic string) {
	if len(q.stale) < mostStale && !slices.Contains(q.stale, topic) {
		q.stale = append(q.stale, topic)
	}
}

// outgoing is a message and what it says.
type outgoing struct {
	mqttconn.Message
	of    *transition // nil: none
	shows string      // the alarm that is active; "": none
}

// take is what is to be published next over the connection of that number: what has
// happened, in order, then what is active and what isn't any more, as far as the broker
// doesn't know it from this connection. It is empty if there is nothing.
func (q *queue) take(most int, connection uint64) (batch []outgoing) {
	n := min(most, len(q.waiting))
	for _, t := range q.waiting[:n] {
		message := mqttconn.Message{Topic: t.topic, Payload: t.payload}
		switch {
		case t.raised && q.isActive(t.alarm):
			message.Retain = true
			batch = append(batch, outgoing{message, &t, t.alarm})
		case t.raised: // it is over already: nobody is to take it for active
			batch = append(batch, outgoing{message, &t, ""})
		default:
			batch = append(batch, outgoing{message, &t, ""}, outgoing{mqttconn.Message{Topic: t.topic, Retain: true}, &t, ""})
		}
	}
	for _, t := range q.waiting[:n] {
		q.count(t.alarm, -1)
	}
	q.waiting = q.waiting[n:]
	if n > 0 {
		return batch
	}
	if batch = q.unshown(most, connection); len(batch) > 0 {
		return batch
	}
	for len(q.stale) > 0 && len(batch) < most {
		topic := q.stale[0]
		q.stale = q.stale[1:]
		if !slices.ContainsFunc(q.active, func(a active) bool { return a.topic == topic }) {
			batch = append(batch, outgoing{Message: mqttconn.Message{Topic: topic, Retain: true}})
		}
	}
	return batch
}

// unshown are the alarms that are active and that the broker doesn't show. Of several
// with one topic it shows the last.
func (q *queue) unshown(most int, connection uint64) (batch []outgoing) {
	if !slices.ContainsFunc(q.active, func(a active) bool { return a.shown != connection }) {
		return nil
	}
	last := make(map[string]string, len(q.active)) // the alarm of a topic
	for _, a := range q.active {
		last[a.topic] = a.alarm
	}
	for _, a := range q.active {
		if a.shown != connection && last[a.topic] == a.alarm && len(batch) < most {
			batch = append(batch, outgoing{mqttconn.Message{Topic: a.topic, Payload: a.payload, Retain: true}, nil, a.alarm})
		}
	}
	return batch
}

// settle is told how many of a batch's messages were acknowledged; the others wait
// again. It returns how many transitions were published.
func (q *queue) settle(batch []outgoing, acknowledged int, connection uint64) (published uint64) {
	kept := map[string]string{} // the alarm that the broker shows under a topic; "": none
	for _, m := range batch[:acknowledged] {
		if m.Retain {
			kept[m.Topic] = m.shows
		}
	}
	for i := range q.active {
		a := &q.active[i]
		switch shows, changed := kept[a.topic]; {
		case shows == a.alarm:
			a.shown = connection
		case changed:
			a.shown = 0
		}
	}
	var again []transition
	var last *transition
	for i, m := range batch {
		switch {
		case m.of == nil:
			if i >= acknowledged && m.shows == "" {
				q.forget(m.Topic)
			}
			continue
		case i >= acknowledged && m.of != last:
			again = append(again, *m.of)
			last = m.of
		}
		if i < acknowledged && (i+1 == len(batch) || batch[i+1].of != m.of) {
			published++
		}
	}
	for _, t := range again {
		q.count(t.alarm, 1)
	}
	q.waiting = append(again, q.waiting...)
	return published
}
