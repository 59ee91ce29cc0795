package mqtt

import (
	"sync"

	"github.com/busbar/busbar/mqttconn"
)

// acks are the messages of one connection that wait for the disk, in the order in which
// they came and are acknowledged.
type acks struct {
	ready chan struct{} // tells that some can be acknowledged, or that one never will be
	room  chan struct{} // tells that some were

	mu      sync.Mutex
	waiting []*delivery
	count   int // messages
	lost    bool
}

// delivery is the messages whose samples are committed together.
type delivery struct {
	messages  []mqttconn.Received // without their payloads
	committed bool
}

// mostUnacknowledged bounds the messages that wait; then no more are received.
const mostUnacknowledged = 50_000

func newAcks() *acks { return &acks{ready: make(chan struct{}, 1), room: make(chan struct{}, 1)} }

// expect takes up messages, and returns what is to be called when their samples are on
// disk, or never will be. nil: nobody waits for them to be.
func (a *acks) expect(messages []mqttconn.Received) func(bool) {
	if len(messages) == 0 {
		return nil
	}
	d := &delivery{messages: messages}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, d)
	a.count += len(messages)
	return func(committed bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		d.committed = committed
		a.lost = a.lost || !committed
		signal(a.ready)
	}
}

// due are the messages that can be acknowledged now; lost is that some never will be.
func (a *acks) due() (messages []mqttconn.Received, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for n < len(a.waiting) && a.waiting[n].committed {
		messages = append(messages, a.waiting[n].messages...)
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
