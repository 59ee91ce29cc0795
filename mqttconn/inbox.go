package mqttconn

import (
	"context"
	"sync"
)

const (
	// maxWaiting bounds how many messages wait to be received; then nothing more is read
	// of the broker.
	maxWaiting = 10_000
	// maxWaitingBytes bounds their topics and payloads together, the last of which may go
	// beyond it.
	maxWaitingBytes = 8 << 20
)

// inbox is the messages that have come and haven't been received.
type inbox struct {
	came   chan struct{}
	room   chan struct{}
	closed chan struct{}

	mu      sync.Mutex
	waiting []Received
	spare   []Received // what was received before
	bytes   int
	ended   bool
}

func newInbox() *inbox {
	return &inbox{came: make(chan struct{}, 1), room: make(chan struct{}, 1), closed: make(chan struct{})}
}

// put is false if there is no room.
func (b *inbox) put(m Received) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) >= maxWaiting || b.bytes >= maxWaitingBytes {
		return false
	}
	b.waiting = append(b.waiting, m)
	b.bytes += len(m.Topic) + len(m.Payload)
	if len(b.waiting) == 1 {
		signal(b.came)
	}
	return true
}

// take is what waits.
func (b *inbox) take() []Received {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.waiting
	clear(b.spare) // their payloads aren't needed any more
	b.waiting, b.spare, b.bytes = b.spare[:0], taken, 0
	signal(b.room)
	return taken
}

// wait waits until something has come. It fails when ctx ends, or it is closed.
func (b *inbox) wait(ctx context.Context) error {
	select {
	case <-b.came:
		return nil
	case <-b.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.ended = true
		close(b.closed)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
