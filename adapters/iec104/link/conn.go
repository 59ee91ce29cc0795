package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/adapters/iec104/apdu"
)

// Message is what comes over a connection, in its order.
type Message struct {
	Event    Event // Data, Started or Stopped
	ASDU     []byte
	Received time.Time
	Number   uint64 // of Data: counted over the connection from 1
}

// longestQueue is how many messages wait for who takes them. Then nothing is read any
// more, and the other end has to wait.
const longestQueue = 1024

// Conn is a connection that is driven. One goroutine owns its state; its methods are safe
// for concurrent use.
type Conn struct {
	net     net.Conn
	state   *State
	config  Config
	frames  chan arrived
	sends   chan []byte
	asks    chan ask
	out     chan Message
	closing chan struct{}
	dead    chan struct{} // closed when it has failed or was closed
	ended   chan struct{} // and when all that came before was taken, too
	closed  atomic.Bool
	err     error // why it is dead; set before

	started   atomic.Bool
	confirmed atomic.Uint64
	confirms  chan struct{} // holds one when confirmed has changed
	received  uint64        // ASDUs

	released  atomic.Uint64
	atOnce    atomic.Bool
	releasing chan struct{} // holds one when something was released
}

type arrived struct {
	frame apdu.Frame
	at    time.Time
	err   error
}

type ask struct {
	start bool
	done  chan struct{} // closed when it is confirmed
}

// ErrClosed is that the connection was closed from this end.
var ErrClosed = errors.New("iec104: the connection is closed")

// Drive takes a connection that has been made, which it closes in the end.
func Drive(c net.Conn, config Config, role Role) *Conn {
	if err := config.Check(); err != nil {
		panic(err) // it has been checked
	}
	l := &Conn{
		net: c, state: New(config, role, time.Now()), config: config, frames: make(chan arrived), sends: make(chan []byte),
		asks: make(chan ask), out: make(chan Message), closing: make(chan struct{}), dead: make(chan struct{}), ended: make(chan struct{}),
		confirms: make(chan struct{}, 1), releasing: make(chan struct{}, 1),
	}
	go l.read()
	go l.own()
	return l
}

// Messages are those that come. The channel is never closed: see Ended.
func (c *Conn) Messages() <-chan Message { return c.out }

// Ended is closed when the connection has ended and all of its messages were taken.
func (c *Conn) Ended() <-chan struct{} { return c.ended }

// Err is why nothing comes or goes any more; nil as long as something may.
func (c *Conn) Err() error {
	select {
	case <-c.dead:
		return c.err
	default:
		return nil
	}
}

// IsStarted reports whether ASDUs may be sent, or could a moment ago.
func (c *Conn) IsStarted() bool { return c.started.Load() }

// Confirmed is how many ASDUs the other end says to have got, of all that were sent over
// this connection. It is up to date with each message, and final when the connection has
// ended.
func (c *Conn) Confirmed() uint64 { return c.confirmed.Load() }

// Confirms holds something when Confirmed has changed since it was looked at.
func (c *Conn) Confirms() <-chan struct{} { return c.confirms }

// Config is what the connection was made with.
func (c *Conn) Config() Config { return c.config }

// Release says that the messages up to a number may be acknowledged, of a connection that is
// to Hold; at once, or when it is time. It doesn't block.
func (c *Conn) Release(number uint64, atOnce bool) {
	for was := c.released.Load(); was < number && !c.released.CompareAndSwap(was, number); was = c.released.Load() {
	}
	if atOnce {
		c.atOnce.Store(true)
	}
	select {
	case c.releasing <- struct{}{}:
	default:
	}
}

// Remote is the other end.
func (c *Conn) Remote() net.Addr { return c.net.RemoteAddr() }

// Net is the connection below.
func (c *Conn) Net() net.Conn { return c.net }

// Close ends the connection at once.
func (c *Conn) Close() {
	if !c.closed.Swap(true) {
		close(c.closing)
		c.net.Close()
	}
}

// Start starts the transfer of data, and returns when the controlled station has
// confirmed that.
func (c *Conn) Start(ctx context.Context) error { return c.ask(ctx, true) }

// Stop stops it. What the station has sent before comes as messages, and Stopped is the last.
func (c *Conn) Stop(ctx context.Context) error { return c.ask(ctx, false) }

func (c *Conn) ask(ctx context.Context, start bool) error {
	a := ask{start, make(chan struct{})}
	select {
	case c.asks <- a:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dead:
		return c.err
	}
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dead:
		return c.err
	}
}

// Send sends an ASDU. It waits while as many as k aren't acknowledged, or the transfer is
// stopped. That it returns nil says that the ASDU is on its way, not that it has arrived.
func (c *Conn) Send(ctx context.Context, asdu []byte) error {
	select {
	case c.sends <- asdu:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dead:
		return c.err
	}
}

// Sends takes ASDUs as Send does, for who waits for other things, too. Nothing is taken
// any more when the connection has ended.
func (c *Conn) Sends() chan<- []byte { return c.sends }

// read hands over what comes, and ends when the connection does.
func (c *Conn) read() {
	r := apdu.NewReader(c.net)
	for {
		f, err := r.Next()
		if f.ASDU != nil {
			f.ASDU = append([]byte(nil), f.ASDU...)
		}
		select {
		case c.frames <- arrived{f, time.Now(), err}:
		case <-c.dead:
			return
		}
		if err != nil {
			return
		}
	}
}

// own owns the state.
func (c *Conn) own() {
	var queue []Message
	defer func() {
		c.Close()
		close(c.ended)
	}()
	asked := map[bool][]ask{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var deaf time.Time // since when nothing is taken
	for c.err == nil {
		frames, sends, out := c.frames, c.sends, c.out
		var head Message
		if len(queue) > 0 {
			head = queue[0]
		} else {
			out = nil
		}
		now := time.Now()
		switch full := len(queue) >= longestQueue; {
		case full:
			frames = nil
			if deaf.IsZero() {
				deaf = now
			}
		case !deaf.IsZero():
			c.state.Postpone(now.Sub(deaf))
			deaf = time.Time{}
		}
		if !c.state.CanSend() {
			sends = nil
		}
		if deaf.IsZero() {
			timer.Reset(time.Until(c.state.Deadline()))
		} else {
			timer.Stop()
		}
		select {
		case f := <-frames:
			queue = c.take(queue, f, asked)
		case asdu := <-sends:
			c.err = c.state.Send(asdu, time.Now())
		case out <- head:
			queue = queue[1:]
			if len(queue) == 0 {
				queue = nil // an array that was long is let go
			}
		case a := <-c.asks:
			if a.start == c.state.IsStarted() && len(asked[a.start]) == 0 {
				close(a.done)
				break
			}
			asked[a.start] = append(asked[a.start], a)
			if a.start {
				c.state.Start(time.Now())
			} else {
				c.state.Stop(time.Now())
			}
		case <-c.releasing:
			c.state.Release(c.released.Load(), c.atOnce.Swap(false))
		case <-timer.C:
			c.err = c.state.Tick(time.Now())
		case <-c.closing:
			c.err = ErrClosed
		}
		c.started.Store(c.state.IsStarted())
		if err := c.write(); c.err == nil {
			c.err = err
		}
	}
	c.started.Store(false)
	c.net.Close()
	close(c.dead)
	for len(queue) > 0 { // what came before the end is handed out
		select {
		case c.out <- queue[0]:
			queue = queue[1:]
		case <-c.closing:
			return
		}
	}
}

// take takes what the other end has sent.
func (c *Conn) take(queue []Message, a arrived, asked map[bool][]ask) []Message {
	if a.err != nil {
		c.err = a.err
		switch {
		case c.closed.Load():
			c.err = ErrClosed
		case errors.Is(a.err, io.EOF):
			c.err = fmt.Errorf("iec104: the other end has closed the connection: %w", io.EOF)
		}
		return queue
	}
	was, acked := c.state.started, c.state.acked
	event, err := c.state.Receive(a.frame, time.Now())
	if n := distance(acked, c.state.acked); n > 0 {
		c.confirmed.Add(uint64(n))
		select {
		case c.confirms <- struct{}{}:
		default:
		}
	}
	if err != nil {
		c.err = err
		return queue
	}
	switch event {
	case Data:
		c.received++
		queue = append(queue, Message{Data, a.frame.ASDU, a.at, c.received})
		if was && !c.state.started { // with the acknowledgement in it
			queue = append(queue, Message{Event: Stopped, Received: a.at})
		}
	case Started, Stopped:
		for _, done := range asked[event == Started] {
			close(done.done)
		}
		delete(asked, event == Started)
		queue = append(queue, Message{Event: event, Received: a.at})
	}
	return queue
}

// write sends what the state has to say. The other end has t1 to take it.
func (c *Conn) write() error {
	out := c.state.Output()
	if len(out) == 0 {
		return nil
	}
	c.net.SetWriteDeadline(time.Now().Add(c.config.T1))
	if _, err := c.net.Write(out); err != nil {
		return fmt.Errorf("iec104: send: %w", err)
	}
	return nil
}
