package mqtt

import (
	"hash/maphash"
	"sync"

	"github.com/busbar/busbar/mqttconn"
)

// acks are the messages of one connection that wait for the disk, in the order in which
// they came and are acknowledged.
type acks struct {
	ready  chan struct{} // tells that some can be acknowledged, or that one never will be
	room   chan struct{} // tells that some were
	onDisk *onDisk

	mu      sync.Mutex
	waiting []*delivery
	count   int // messages
	lost    bool
}

// delivery is the messages whose samples are committed together.
type delivery struct {
	messages  []message
	committed bool
}

// message is what is remembered of one at QoS 1.
type message struct {
	id  uint16
	sum uint64 // of its topic and payload
}

var seed = maphash.MakeSeed()

func remember(m mqttconn.Received) message {
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(m.Topic)
	h.WriteByte(0)
	h.Write(m.Payload)
	return message{m.ID, h.Sum64()}
}

// onDisk is the last messages of a session that are on disk, over all of its connections:
// the broker may not know of some of them that they were acknowledged, and sends those
// again.
type onDisk struct {
	mu   sync.Mutex
	last [lastKept]message
	at   int // of the next
}

// lastKept is how many they are: brokers have some 20 to 1,000 underway.
const lastKept = 1024

func (o *onDisk) add(messages []message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range messages {
		o.last[o.at] = m
		o.at = (o.at + 1) % lastKept
	}
}

// has reports whether a message is among them that comes again. Ids are used again, so
// only the last one with its id says something.
func (o *onDisk) has(m mqttconn.Received) bool {
	if !m.Duplicate || m.QoS == 0 {
		return false
	}
	is := remember(m)
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := range lastKept {
		if k := o.last[(o.at+lastKept-1-n)%lastKept]; k.id == is.id {
			return k == is
		}
	}
	return false
}

// mostUnacknowledged bounds the messages that wait; then no more are received.
const mostUnacknowledged = 50_000

func newAcks(o *onDisk) *acks {
	return &acks{ready: make(chan struct{}, 1), room: make(chan struct{}, 1), onDisk: o}
}

// expect takes up messages, and returns what is to be called when their samples are on
// disk, or never will be. nil: nobody waits for them to be.
func (a *acks) expect(messages []message) func(bool) {
	if len(messages) == 0 {
		return nil
	}
	d := &delivery{messages: messages}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, d)
	a.count += len(messages)
	return func(committed bool) {
		if committed {
			a.onDisk.add(messages)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		d.committed = committed
		a.lost = a.lost || !committed
		signal(a.ready)
	}
}

// due are the messages that can be acknowledged now, without what they said; lost is that
// some never will be.
func (a *acks) due() (messages []mqttconn.Received, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for n < len(a.waiting) && a.waiting[n].committed {
		for _, m := range a.waiting[n].messages {
			messages = append(messages, mqttconn.Received{ID: m.id, QoS: 1})
		}
		n++
	}
	a.waiting = a.waiting[n:]
	a.count -= len(messages)
	if n > 0 {
		signal(a.room)
	}
	return messages, a.lost
}

// full reports whether no more are to be received.
func (a *acks) full() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count >= mostUnacknowledged
}

func (a *acks) empty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.waiting) == 0
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
