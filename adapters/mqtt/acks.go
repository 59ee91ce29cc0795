package mqtt

import (
	"hash/maphash"
	"slices"
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
	kept    [lastKept]kept // the last that are on disk
	at      int            // of the next in kept
}

// delivery is the messages whose samples are committed together.
type delivery struct {
	messages  []mqttconn.Received // without their payloads
	sums      []uint64            // of these
	committed bool
}

// kept is a message that is on disk.
type kept struct {
	id  uint16
	sum uint64
}

// lastKept is how many of the messages are remembered that the broker may not know to be
// acknowledged, and so send again: brokers have some 20 to 1,000 underway.
const lastKept = 1024

var seed = maphash.MakeSeed()

// sum tells messages with one id apart.
func sum(m mqttconn.Received) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(m.Topic)
	h.WriteByte(0)
	h.Write(m.Payload)
	return h.Sum64()
}

// has reports whether a message is on disk that comes again over a later connection.
func (a *acks) has(m mqttconn.Received) bool {
	if !m.Duplicate || m.QoS == 0 {
		return false
	}
	is := kept{m.ID, sum(m)}
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.kept[:], is) {
		return true
	}
	for _, d := range a.waiting {
		for i, sum := range d.sums {
			if d.committed && is == (kept{d.messages[i].ID, sum}) {
				return true
			}
		}
	}
	return false
}

// mostUnacknowledged bounds the messages that wait; then no more are received.
const mostUnacknowledged = 50_000

func newAcks() *acks { return &acks{ready: make(chan struct{}, 1), room: make(chan struct{}, 1)} }

// expect takes up messages, and returns what is to be called when their samples are on
// disk, or never will be. nil: nobody waits for them to be.
func (a *acks) expect(messages []mqttconn.Received, sums []uint64) func(bool) {
	if len(messages) == 0 {
		return nil
	}
	d := &delivery{messages: messages, sums: sums}
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
		d := a.waiting[n]
		messages = append(messages, d.messages...)
		for i, sum := range d.sums {
			a.kept[a.at] = kept{d.messages[i].ID, sum}
			a.at = (a.at + 1) % lastKept
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
