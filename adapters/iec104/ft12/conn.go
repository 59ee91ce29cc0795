package ft12

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/adapters/iec104/link"
)

// longestQueue is how many ASDUs of a station wait for who takes them. Then it isn't asked
// for more.
const longestQueue = 64

// Conn is the link to a station as long as it is available. It is a controlling.Link, and
// safe for concurrent use.
type Conn struct {
	at       address
	wake     func()
	in       chan link.Message // of the line, which closes it when the link has failed
	out      chan link.Message
	sends    chan []byte
	stopping atomic.Bool
	closing  chan struct{}
	close    sync.Once
	dead     chan struct{}
	ended    chan struct{}
	err      error // set before dead is closed

	told bool // of the line: that it is stopped
}

// address is where a station is.
type address string

func (address) Network() string  { return "ft12" }
func (a address) String() string { return string(a) }

// ErrClosed is that the link was closed from this end.
var ErrClosed = errors.New("ft12: the link is closed")

func newConn(at address, wake func()) *Conn {
	c := &Conn{
		at: at, wake: wake, in: make(chan link.Message, longestQueue), out: make(chan link.Message), sends: make(chan []byte, 1),
		closing: make(chan struct{}), dead: make(chan struct{}), ended: make(chan struct{}),
	}
	go c.forward()
	return c
}

// forward hands over what has come, also when the link has failed since.
func (c *Conn) forward() {
	defer close(c.ended)
	for {
		select {
		case m, more := <-c.in:
			if !more {
				return
			}
			select {
			case c.out <- m:
			case <-c.closing:
				return
			}
		case <-c.closing:
			return
		}
	}
}

// Messages are those that come. The channel is never closed: see Ended.
func (c *Conn) Messages() <-chan link.Message { return c.out }

// Ended is closed when the link has ended and all of its messages were taken.
func (c *Conn) Ended() <-chan struct{} { return c.ended }

// Err is why nothing comes or goes any more; nil as long as something may.
func (c *Conn) Err() error {
	select {
	case <-c.dead:
		return c.err
	case <-c.closing:
		return ErrClosed
	default:
		return nil
	}
}

// Send takes an ASDU, and waits while another one waits for the station. That it returns
// nil doesn't say that the ASDU has arrived.
func (c *Conn) Send(ctx context.Context, asdu []byte) error {
	if err := c.Err(); err != nil {
		return err
	}
	select {
	case c.sends <- asdu:
		c.wake()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dead:
		return c.err
	case <-c.closing:
		return ErrClosed
	}
}

// Stop has the station not be asked any more. link.Stopped is the last message.
func (c *Conn) Stop(context.Context) error {
	c.stopping.Store(true)
	c.wake()
	return nil
}

// Close ends the link at once.
func (c *Conn) Close() {
	c.close.Do(func() {
		close(c.closing)
		c.wake()
	})
}

// Remote is where the station is.
func (c *Conn) Remote() net.Addr { return c.at }

// Config is that it doesn't hold anything: a frame of a line has to be answered at once.
func (c *Conn) Config() link.Config { return link.Config{} }

// Release does nothing.
func (c *Conn) Release(uint64, bool) {}

// The rest is for the line's goroutine.

func (c *Conn) isClosed() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// hasRoom reports whether one more ASDU may come; there is always room for the end.
func (c *Conn) hasRoom() bool { return len(c.in) < longestQueue-1 }

func (c *Conn) take(asdu []byte, at time.Time) {
	c.in <- link.Message{Event: link.Data, ASDU: append([]byte(nil), asdu...), Received: at}
}

// stop tells the end of what comes.
func (c *Conn) stop() {
	if !c.told {
		c.told = true
		c.in <- link.Message{Event: link.Stopped, Received: time.Now()}
	}
}

func (c *Conn) fail(err error) {
	c.err = err
	close(c.dead)
	close(c.in)
}
