package ft12

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/wire"
)

// Why a link or a line has failed. Errors wrap one of these, or are those of Parse or of
// the port.
var (
	ErrSilent     = errors.New("ft12: no answer in time")
	ErrHalf       = errors.New("ft12: the answer has begun and not ended in time")
	ErrUnexpected = errors.New("ft12: that is no answer to what was asked")
	ErrRefused    = errors.New("ft12: the station says that its link doesn't work")
)

// Between attempts the wait doubles from the first to the last of these, each drawn between
// half of it and all of it.
const (
	firstWait = time.Second
	lastWait  = 10 * time.Second
	// settled is how long a port has to have been open for the next wait to be the first.
	settled = time.Minute
)

func draw(wait time.Duration) time.Duration { return wait/2 + rand.N(wait/2) }

// port is an open serial port, or a connection to a server.
type port interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
}

// opener opens what an endpoint is reached by.
func opener(e modbus.Endpoint) func(context.Context) (port, error) {
	if e.Transport == modbus.RTU {
		return func(context.Context) (port, error) { return modbus.OpenSerial(e.Address, e.Line) }
	}
	return func(ctx context.Context) (port, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", e.Address) }
}

// line is an endpoint with the stations on it. Its goroutine is the only one that talks
// there: a line carries one conversation.
type line struct {
	config Config
	tap    *wire.Tap
	open   func(context.Context) (port, error)
	woken  chan struct{}
	stop   context.CancelFunc
	ended  chan struct{} // closed when the port is free again

	mu    sync.Mutex
	links []*Link

	// Of run's goroutine.
	port   port
	chunks chan chunk
	buf    []byte // what has come and isn't read
	silent int    // requests in a row after which nothing at all came
}

// chunk is octets that came together, or why there are no more.
type chunk struct {
	octets []byte
	at     time.Time
	err    error
}

func (n *line) add(k *Link) {
	n.mu.Lock()
	n.links = append(n.links, k)
	n.mu.Unlock()
	n.wake()
}

// remove returns how many are left.
func (n *line) remove(k *Link) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = slices.DeleteFunc(n.links, func(other *Link) bool { return other == k })
	return len(n.links)
}

func (n *line) all() []*Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.links)
}

func (n *line) wake() {
	select {
	case n.woken <- struct{}{}:
	default:
	}
}

// run keeps the port open and talks over it until ctx ends.
func (n *line) run(ctx context.Context) {
	defer close(n.ended)
	wait := firstWait
	for ctx.Err() == nil {
		opening, cancel := context.WithTimeout(ctx, lastWait)
		p, err := n.open(opening)
		cancel()
		if err == nil {
			began := time.Now()
			err = n.over(ctx, p)
			if time.Since(began) > settled {
				wait = firstWait
			}
		}
		for _, k := range n.all() {
			k.down(fmt.Errorf("%v: %w", n.config.Endpoint, err))
		}
		select {
		case <-time.After(draw(wait)):
		case <-ctx.Done():
		}
		wait = min(2*wait, lastWait)
	}
}

// over talks over a port until that fails, and closes it.
func (n *line) over(ctx context.Context, p port) error {
	over, cancel := context.WithCancel(ctx)
	n.port, n.chunks, n.buf, n.silent = p, make(chan chunk), nil, 0
	var reading sync.WaitGroup
	reading.Go(func() { n.read(over) })
	defer reading.Wait()
	defer p.Close()
	defer cancel()
	if n.config.Balanced {
		return n.balanced(ctx)
	}
	return n.unbalanced(ctx)
}

// read hands over what comes, and ends when the port does or ctx.
func (n *line) read(ctx context.Context) {
	b := make([]byte, 2*MaxLen)
	for {
		size, err := n.port.Read(b)
		if err == io.EOF {
			err = fmt.Errorf("ft12: the other end has closed the line: %w", err)
		}
		select {
		case n.chunks <- chunk{slices.Clone(b[:size]), time.Now(), err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// dead is an error if nobody has answered for so long that a connection to a server may be
// none any more.
func (n *line) dead() error {
	if n.config.Endpoint.Transport != modbus.RTU && n.silent > n.config.Retries+len(n.all())+1 {
		return fmt.Errorf("%w by anybody, so the connection is made anew", ErrSilent)
	}
	return nil
}

// write sends a frame.
func (n *line) write(f Frame) error {
	b, err := f.Append(nil, n.config.Octets)
	if err != nil {
		return err
	}
	n.port.SetWriteDeadline(time.Now().Add(n.takes(len(b)) + 5*time.Second))
	n.tap.Tell(wire.Octets{Sent: true, Data: b})
	if _, err := n.port.Write(b); err != nil {
		return fmt.Errorf("ft12: send: %w", err)
	}
	return nil
}

func (n *line) takes(octets int) time.Duration { return n.config.Endpoint.Line.Takes(octets) }

// flush discards what has come without having been asked for.
func (n *line) flush() error {
	n.buf = nil
	for {
		select {
		case c := <-n.chunks:
			if c.err != nil {
				return c.err
			}
		default:
			return nil
		}
	}
}

// quiet discards what comes until nothing has for a while. It fails if the port does.
func (n *line) quiet(ctx context.Context, while time.Duration) error {
	discarded := n.buf
	n.buf = nil
	defer func() { n.tap.Tell(wire.Octets{Data: discarded}) }()
	limit := time.NewTimer(while + n.takes(2*MaxLen) + n.config.Timeout) // somebody may never be silent
	defer limit.Stop()
	silence := time.NewTimer(while)
	defer silence.Stop()
	for {
		select {
		case c := <-n.chunks:
			if c.err != nil {
				return c.err
			}
			discarded = append(discarded, c.octets...)
			silence.Reset(while)
		case <-silence.C:
			return nil
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// frame takes the frame that what has come begins with; ok is false if it isn't there as a
// whole.
func (n *line) frame() (f Frame, ok bool, err error) {
	f, size, err := Parse(n.buf, n.config.Octets)
	n.tap.Tell(wire.Octets{Data: n.buf[:size]})
	n.buf = n.buf[size:]
	return f, size > 0, err
}

// gap is a silence behind which a frame may begin: of 33 bits by the standard, and longer,
// since neither servers nor operating systems pass octets on at once.
func (n *line) gap() time.Duration { return n.takes(3) + 20*time.Millisecond }
