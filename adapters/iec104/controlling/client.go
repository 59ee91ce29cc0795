package controlling

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
)

// Config is how a station is asked.
type Config struct {
	Params     asdu.Params
	Stations   []uint16 // common addresses
	Originator uint8
	// Interrogate is how often everything is asked for, beside whenever a link is started
	// and when the station says that it has been; 0: only then.
	Interrogate time.Duration
	Counters    time.Duration // the same of counters; 0: never
	Sync        time.Duration // how often the station's clock is set, the first time at once; 0: never
	Zone        *time.Location
	// Respond is how long the station may take to confirm what it is asked for, and
	// between two parts of the answer.
	Respond time.Duration
	// Keep says of which ASDUs the station is to have an acknowledgement only when the Handler
	// has kept them, over a link that is to Hold.
	Keep func(*asdu.ASDU) bool
}

// Link is what a station is asked over: a connection that is started (link.Conn), or a link
// of 60870-5-101 (ft12.Conn).
type Link interface {
	// Messages are those that come, and Ended is closed when the link has ended and all of
	// them were taken. Then Err says why.
	Messages() <-chan link.Message
	Ended() <-chan struct{}
	Err() error
	// Send returns when the ASDU is on its way.
	Send(ctx context.Context, asdu []byte) error
	// Stop has the station send no more; link.Stopped comes as the last message.
	Stop(ctx context.Context) error
	Close()
	Remote() net.Addr
	// Config says whether it is to Hold what it acknowledges; then Release says how far it may.
	Config() link.Config
	Release(number uint64, atOnce bool)
}

// Handler takes what a station tells. It is called by the goroutine of Run, which it may
// hold up: then the station has to wait.
type Handler interface {
	// Told is an ASDU in monitoring direction.
	Told(a *asdu.ASDU, received time.Time) error
	// Idle is that all that has come was told.
	Idle() error
	// Ended is that what was asked for has ended. Of an interrogation that is Complete,
	// what hasn't been told isn't there.
	Ended(of asdu.Type, station uint16, e Ending, objects int) error
	// Keep has all that was told before kept, and calls done when it is, or with false when it
	// won't be, on any goroutine; not if it fails. It is called only of links that Hold.
	Keep(done func(bool)) error
}

// Client asks a station over one link that is started.
type Client struct {
	config     Config
	conn       Link
	log        *slog.Logger
	procedures []*procedure
	active     *procedure
	posts      chan func() error
	pending    map[key]*pending
	echoes     map[key]time.Time // until when rejections are those of what was refused
	ended      chan struct{}     // closed when Run returns
	hold       hold

	// Stats are what was not as it should be.
	malformed, unknown, strange uint64
}

// NewClient is a client of a link that is started.
func NewClient(c Link, config Config, log *slog.Logger) *Client {
	client := &Client{config: config, conn: c, log: log, posts: make(chan func() error), pending: map[key]*pending{}, echoes: map[key]time.Time{}, ended: make(chan struct{}), hold: hold{lost: make(chan struct{}), further: make(chan struct{}, 1)}}
	now := time.Now()
	add := func(station uint16, t asdu.Type, every time.Duration, whole bool) {
		client.procedures = append(client.procedures, &procedure{
			header: asdu.Header{Type: t, Cause: asdu.Activation, Originator: config.Originator, Address: station}, every: every, whole: whole, due: now,
		})
	}
	for _, s := range config.Stations {
		if config.Sync > 0 {
			add(s, asdu.ClockSync, config.Sync, false)
		}
		add(s, asdu.Interrogation, config.Interrogate, true)
		if config.Counters > 0 {
			add(s, asdu.CounterInterrogation, config.Counters, true)
		}
	}
	return client
}

// Run asks and takes until the link ends, ctx does, the handler fails, or something isn't kept
// that is to be. When ctx ends it stops the transfer, tells the handler all that came before
// that, and has it kept: the station gets an acknowledgement of it, and doesn't tell it again.
// Leaving is how long that may take; of what isn't kept by then it gets none.
func (c *Client) Run(ctx context.Context, h Handler) (err error) {
	defer func() {
		close(c.ended)
		for k, p := range c.pending {
			c.finish(k, p, errLost)
		}
		if ctx.Err() != nil {
			c.leave(h)
		}
		c.conn.Close()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for err == nil {
		if err = c.drain(h); err != nil {
			break
		}
		if err = c.keep(h, false); err != nil {
			break
		}
		timer.Reset(time.Until(c.deadline(time.Now())))
		select {
		case m := <-c.conn.Messages():
			err = c.take(m, h)
		case <-c.conn.Ended():
			err = c.conn.Err()
		case do := <-c.posts:
			err = do()
		case <-c.hold.lost:
			err = ErrUnkept
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err == nil {
			err = c.tick(ctx, h)
		}
	}
	return err
}

// mostAtOnce is how much is taken before it is looked what else there is to do.
const mostAtOnce = 64

// drain takes what has come, and tells the handler when that is all.
func (c *Client) drain(h Handler) error {
	for range mostAtOnce {
		select {
		case m := <-c.conn.Messages():
			if err := c.take(m, h); err != nil {
				return err
			}
		default:
			return h.Idle()
		}
	}
	return h.Idle()
}

// Leaving is how long a transfer may take to be stopped.
const Leaving = 2 * time.Second

// leave has everything kept, tells the station that nothing is taken any more, and takes and
// keeps what it has sent before it confirms that.
func (c *Client) leave(h Handler) {
	ctx, cancel := context.WithTimeout(context.Background(), Leaving)
	defer cancel()
	err := errors.Join(c.drain(h), c.keep(h, true))
	before, stopping := c.hold.asked, false
	for err == nil {
		if !stopping && c.hold.kept(before) {
			stopping = true
			go c.conn.Stop(ctx)
		}
		select {
		case m := <-c.conn.Messages():
			err = c.take(m, h)
		case <-c.conn.Ended():
			err = c.conn.Err()
		case <-c.hold.further:
		case <-c.hold.lost:
			err = ErrUnkept
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err == nil {
			err = errors.Join(c.drain(h), c.keep(h, true))
		}
	}
	h.Idle()
}

// Do has the goroutine of Run do something. It returns false if that has ended, or ctx.
func (c *Client) Do(ctx context.Context, f func() error) bool {
	select {
	case c.posts <- f:
		return true
	case <-ctx.Done():
		return false
	case <-c.ended:
		return false
	}
}

// Interrogate has everything asked for now, of all stations; those that are being asked
// aren't asked again. It is for the goroutine of Run: see Do.
func (c *Client) Interrogate() {
	for _, p := range c.procedures {
		if p.header.Type == asdu.Interrogation && p.phase == idle {
			p.due = time.Now()
		}
	}
}

// Done is closed when Run has ended.
func (c *Client) Done() <-chan struct{} { return c.ended }

// deadline is when tick has something to do.
func (c *Client) deadline(now time.Time) time.Time {
	first := now.Add(time.Hour)
	if at := c.keepBy(); !at.IsZero() && at.Before(first) {
		first = at
	}
	for _, p := range c.procedures {
		switch {
		case p.phase != idle && p.deadline.Before(first):
			first = p.deadline
		case c.active == nil && !p.due.IsZero() && p.due.Before(first):
			first = p.due
		}
	}
	for _, p := range c.pending {
		if p.deadline.Before(first) {
			first = p.deadline
		}
	}
	return first
}

// tick does what is due: one procedure at a time, as many stations take no more.
func (c *Client) tick(ctx context.Context, h Handler) error {
	now := time.Now()
	for k, p := range c.pending {
		if !now.Before(p.deadline) {
			c.finish(k, p, errUnanswered)
		}
	}
	if p := c.active; p != nil && !now.Before(p.deadline) {
		c.active = nil
		e, ended := p.late(now)
		c.log.Warn("an answer is missing", "asked", p.header.Type, "station", p.header.Address, "ended", e, "objects", p.objects, "again", !ended)
		if ended {
			if err := h.Ended(p.header.Type, p.header.Address, e, p.objects); err != nil {
				return err
			}
		}
	}
	for _, p := range c.procedures {
		if c.active != nil || p.phase != idle || p.due.IsZero() || now.Before(p.due) {
			continue
		}
		if err := c.send(ctx, p.header, c.objectOf(p.header.Type)); err != nil {
			return err
		}
		p.begin(now, c.config.Respond)
		c.active = p
	}
	return nil
}

// objectOf is what a station is asked for by a procedure.
func (c *Client) objectOf(t asdu.Type) asdu.Object {
	switch t {
	case asdu.Interrogation:
		return asdu.Object{Qualifier: asdu.StationInterrogation}
	case asdu.CounterInterrogation:
		return asdu.Object{Qualifier: asdu.GeneralCounters}
	}
	return asdu.Object{Time: asdu.TimeOf(time.Now().In(c.config.Zone))}
}

func (c *Client) send(ctx context.Context, h asdu.Header, o asdu.Object) error {
	b, err := c.config.Params.Append(nil, h, []asdu.Object{o})
	if err != nil {
		return err
	}
	return c.conn.Send(ctx, b)
}

// take takes an ASDU. One that is wrong is dropped, and the link goes on.
func (c *Client) take(m link.Message, h Handler) error {
	switch m.Event {
	case link.Data:
	case link.Stopped:
		return errors.New("iec104: the transfer was stopped")
	default:
		return nil
	}
	a, err := c.config.Params.Parse(m.ASDU)
	c.holdBack(m, &a, err)
	if err != nil {
		if c.malformed++; c.malformed == 1 {
			c.log.Warn("an ASDU is left out; further ones are only counted", "error", err)
		}
		return nil
	}
	switch {
	case a.Type.Monitors():
		if a.Cause.Interrogated() && c.active != nil && c.active.header.Address == a.Address && c.active.whole {
			c.active.progress(a.Len(), time.Now(), c.config.Respond)
		}
		err := h.Told(&a, m.Received)
		c.readBack(&a)
		return err
	case a.Type == asdu.EndOfInitialization:
		c.log.Info("the station has started", "station", a.Address, "cause", a.Object(0).Qualifier)
		for _, p := range c.procedures {
			if p.header.Address == a.Address && p.phase == idle {
				p.due = time.Now()
			}
		}
		return nil
	}
	return c.answered(&a, h)
}

// answered takes an answer to what was asked for.
func (c *Client) answered(a *asdu.ASDU, h Handler) error {
	p := c.active
	switch {
	case p != nil && a.Type == p.header.Type && a.Address == p.header.Address:
		e, ended := p.answer(a.Header, time.Now(), c.config.Respond)
		if !ended {
			return nil
		}
		c.active = nil
		if e == Refused {
			c.log.Warn("the station refuses what it is asked for", "asked", a.Type, "station", a.Address, "cause", a.Cause)
		}
		return h.Ended(a.Type, a.Address, e, p.objects)
	case a.Type.Commands(), a.Type == asdu.Read, a.Type == asdu.TestCommand, a.Type == asdu.TestCommandTime:
		c.replied(a)
	default:
		c.strange++
	}
	return nil
}
