package modbus

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/busbar/busbar/adapters"
)

// bus is one endpoint with the units behind it, and decides who talks on it. Its
// goroutine is the only one that does: many meters accept one client, and a line
// carries one conversation.
//
// Commands go first. Of the units whose slots have come it serves the one whose
// slot ends first, and between two requests of a poll it serves those whose slots
// end before this one's. A unit that didn't answer, while others do, has until
// MaxBackOff, so that they go first: each attempt may cost them a timeout.
type bus struct {
	endpoint Endpoint
	units    []*unit
	stats    busCounters
	commands chan command
	pauses   chan pause
	stop     context.CancelFunc // ends run; nil before it begins
	ended    chan struct{}      // closed when nobody takes commands any more

	// Of run's goroutine.
	ctx    context.Context
	link   *link
	sink   adapters.Sink
	timer  *time.Timer
	silent int       // units that didn't answer their last poll
	slot   time.Time // the end of that of the poll in progress; zero: nothing goes on
	depth  int       // polls and commands in progress; all but one let others go
	obeys  bool      // one of them is a command
}

// command is something to be done on the bus ahead of all polls.
type command struct {
	ctx  context.Context
	do   func(*link) error
	done chan<- error // takes one without a receiver
}

func newBus(e Endpoint) *bus {
	return &bus{endpoint: e, commands: make(chan command), pauses: make(chan pause), ended: make(chan struct{})}
}

var errStopped = errors.New("the gateway has stopped reading")

// do has something done with the bus's link. It waits for an exchange that is
// under way, at most. If ctx ends first, what has begun goes on, and must not
// touch what the caller goes on using.
func (b *bus) do(ctx context.Context, do func(*link) error) error {
	b.stats.commands.Add(1)
	defer b.stats.commands.Add(-1)
	done := make(chan error, 1)
	select {
	case b.commands <- command{ctx, do, done}:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.ended:
		return errStopped
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause is something to be done while no poll is in progress.
type pause struct {
	do   func()
	done chan<- struct{} // closed when it has been
}

// between has something done between two polls, on the bus's goroutine. It isn't done
// if ctx or the bus ends before.
func (b *bus) between(ctx context.Context, do func()) error {
	done := make(chan struct{})
	select {
	case b.pauses <- pause{do, done}:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-b.ended:
		return errStopped
	}
}

func (b *bus) run(ctx context.Context, l *link, sink adapters.Sink) {
	b.ctx, b.link, b.sink, b.timer = ctx, l, sink, time.NewTimer(0)
	l.bus = b
	defer close(b.ended)
	defer l.close()
	defer b.timer.Stop()
	for b.serve(ctx, time.Time{}) == nil {
	}
}

// serve lets whoever is due have the bus until a moment; the zero time means for
// good. It fails only when ctx ends, or that of run.
func (b *bus) serve(ctx context.Context, until time.Time) error {
	var pauses <-chan pause // none: a poll is in progress
	if b.depth == 0 {
		pauses = b.pauses
	}
	for {
		select {
		case p := <-pauses:
			p.do()
			close(p.done)
		default:
		}
		now := time.Now()
		if !until.IsZero() && !now.Before(until) {
			return ctx.Err()
		}
		u, waiting := b.next(now)
		if u != nil && !u.due.After(now) {
			b.stats.waiting.Store(int64(waiting - 1))
			if err := b.poll(u, now); err != nil {
				return err
			}
			continue
		}
		b.stats.waiting.Store(0)
		wake := until
		if u != nil && (wake.IsZero() || u.due.Before(wake)) {
			wake = u.due
		}
		idle := time.Duration(math.MaxInt64)
		if !wake.IsZero() {
			idle = wake.Sub(now)
		}
		b.timer.Reset(idle)
		var caller <-chan struct{} // none: it is that of run
		if ctx != b.ctx {
			caller = ctx.Done()
		}
		select {
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-caller:
			return ctx.Err()
		case c := <-b.commands:
			b.obey(c)
		case p := <-pauses:
			p.do()
			close(p.done)
		case <-b.timer.C:
		}
	}
}

// yield lets those go who are more urgent than the poll in progress: of commands one
// before each poll, since many who ask without end would keep polls from getting any
// further.
func (b *bus) yield() error {
	if b.obeys {
		return nil
	}
	for {
		select {
		case c := <-b.commands:
			b.obey(c)
		default:
		}
		if len(b.units) == 1 {
			return nil
		}
		now := time.Now()
		u, waiting := b.next(now)
		b.stats.waiting.Store(int64(waiting))
		if u == nil || u.due.After(now) || !u.slotEnd().Before(b.slot) {
			return nil
		}
		if err := b.poll(u, now); err != nil {
			return err
		}
	}
}

// next is whose turn it is, or will be first if nobody is due, and how many are
// due. It leaves out those whose poll is in progress, and while one is, those that
// may cost a timeout.
func (b *bus) next(now time.Time) (first *unit, due int) {
	for _, u := range b.units {
		if u.polling || b.depth > 0 && u.costly() {
			continue
		}
		isDue := !u.due.After(now)
		if isDue {
			due++
		}
		switch {
		case first == nil:
			first = u
		case isDue && !first.due.After(now):
			if u.slotEnd().Before(first.slotEnd()) {
				first = u
			}
		case u.due.Before(first.due):
			first = u
		}
	}
	return first, due
}

func (b *bus) poll(u *unit, now time.Time) error {
	outer := b.slot
	defer func() { b.slot = outer }()
	u.skipMissed(now)
	b.slot = u.slotEnd()
	b.depth++
	u.polling = true
	batch, err := u.read(b.ctx, b.link)
	u.polling = false
	b.depth--
	if err != nil {
		return err
	}
	// Fails only when the context ends.
	return b.sink.Deliver(b.ctx, batch)
}

func (b *bus) obey(c command) {
	if err := c.ctx.Err(); err != nil {
		c.done <- err
		return
	}
	obeyed, outer := b.obeys, b.slot
	b.obeys, b.slot = true, time.Time{}
	b.depth++
	c.done <- c.do(b.link)
	b.depth--
	b.obeys, b.slot = obeyed, outer
}

// inSlot reports whether a moment lies before the end of the slot of the poll in
// progress. A command has no slot.
func (b *bus) inSlot(t time.Time) bool { return b.obeys || t.Before(b.slot) }
