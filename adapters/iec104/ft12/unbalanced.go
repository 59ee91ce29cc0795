package ft12

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// state is what the line's goroutine knows of a station.
type state struct {
	phase   phase
	link    *Conn   // as long as phase is available
	fcb     Control // of the last frame that had FCV
	acd     bool    // it has data of class 1
	dfc     bool    // it takes nothing
	request *Frame  // what was sent and has to be repeated
	failed  int     // attempts in a row
	wait    time.Duration
	due     time.Time // when it is asked next
	served  time.Time
}

type phase uint8

const (
	unavailable phase = iota
	answering         // it has told its status, and its link has to be reset
	available
)

// busy is how long a station that takes nothing, or whose data nobody takes, is left alone.
const busy = 200 * time.Millisecond

// unbalanced asks one station after another until the port fails or ctx ends. Who has
// something to be sent goes first, and then who has waited longest; what isn't answered is
// repeated when the others have had their turn.
func (n *line) unbalanced(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		k, due := n.next(time.Now())
		if k != nil {
			if err := n.serve(ctx, k); err != nil {
				return err
			}
			continue
		}
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-n.woken:
		case c := <-n.chunks: // nobody was asked
			if c.err != nil {
				return c.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next is who is asked now; nil: nobody before the returned time.
func (n *line) next(now time.Time) (next *Link, due time.Time) {
	due = now.Add(time.Hour)
	urgent := false
	for _, k := range n.all() {
		if !k.settle(now) {
			continue
		}
		hurry := k.phase == available && len(k.link.sends) > 0 && !k.dfc && k.request == nil
		switch {
		case !hurry && now.Before(k.due):
			if k.due.Before(due) {
				due = k.due
			}
		case next == nil, hurry && !urgent, hurry == urgent && k.served.Before(next.served):
			next, urgent = k, hurry
		}
	}
	return next, due
}

// settle does what was asked of a link, and reports whether its station is asked further.
func (k *Link) settle(now time.Time) bool {
	c := k.state.link
	switch {
	case c == nil:
	case c.isClosed():
		k.state = state{due: now}
		c.fail(ErrClosed)
		k.mu.Lock()
		k.conn = nil
		k.mu.Unlock()
	case c.stopping.Load():
		c.stop()
		return false
	case !c.hasRoom() && !now.Before(k.due):
		k.due = now.Add(busy)
	}
	return true
}

// serve asks a station once. It fails only if the port does.
func (n *line) serve(ctx context.Context, k *Link) error {
	repeated := k.request != nil
	request := k.next()
	answer, err := n.exchange(ctx, k, request)
	k.served = time.Now()
	var failure *failure
	switch {
	case err == nil:
		n.silent = 0
		if repeated { // the first answer may only be late, and must not be taken for the next one
			answer.ASDU = append([]byte(nil), answer.ASDU...)
			err = n.quiet(ctx, n.config.Timeout)
		}
		k.answered(n, request, answer)
		return err
	case errors.As(err, &failure):
		if n.silent++; !errors.Is(err, ErrSilent) {
			n.silent = 0
		}
		k.missed(request, failure.error)
		return n.dead()
	}
	return err
}

// failure is that of one station: the line goes on.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

// next is what the station is asked.
func (k *Link) next() Frame {
	if k.request != nil {
		return *k.request
	}
	f := Frame{Control: PRM, Address: k.station.Address}
	switch {
	case k.phase == unavailable, k.dfc && k.phase == available:
		f.Control |= RequestStatus
		return f
	case k.phase == answering:
		f.Control |= ResetLink
		return f
	}
	k.fcb ^= FCB
	f.Control |= FCV | k.fcb
	select {
	case f.ASDU = <-k.state.link.sends:
		f.Control |= UserData
	default:
		if k.acd {
			f.Control |= RequestClass1
		} else {
			f.Control |= RequestClass2
		}
	}
	return f
}

// exchange sends a request and awaits its answer. The error is a failure if the station
// hasn't answered, or wrongly; else the port's or ctx's. The answer is good until the next
// exchange.
func (n *line) exchange(ctx context.Context, k *Link, request Frame) (Frame, error) {
	if err := n.flush(); err != nil {
		return Frame{}, err
	}
	if err := n.write(request); err != nil {
		return Frame{}, err
	}
	b, _ := request.Append(nil, n.config.Octets)
	begin := time.Now().Add(n.takes(len(b)) + n.config.Timeout)
	limit := time.NewTimer(time.Until(begin))
	defer limit.Stop()
	for {
		f, whole, err := n.frame()
		switch {
		case err != nil:
			if err := n.quiet(ctx, n.gap()); err != nil {
				return Frame{}, err
			}
			return Frame{}, &failure{err}
		case whole:
			if f.Single || f.Control&PRM == 0 && f.Address == k.station.Address {
				return f, nil
			}
			continue // what we have sent, on a line that has an echo, or somebody's late answer
		}
		select {
		case c := <-n.chunks:
			if c.err != nil {
				return Frame{}, c.err
			}
			if len(n.buf) == 0 {
				limit.Reset(time.Until(begin.Add(n.takes(MaxLen))))
			}
			n.buf = append(n.buf, c.octets...)
		case <-limit.C:
			if len(n.buf) == 0 {
				return Frame{}, &failure{ErrSilent}
			}
			if err := n.quiet(ctx, n.gap()); err != nil {
				return Frame{}, err
			}
			return Frame{}, &failure{ErrHalf}
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// answered takes the answer to a request.
func (k *Link) answered(n *line, request, f Frame) {
	says := f.Control.Function()
	if !f.Single {
		k.acd, k.dfc = f.Control&ACD != 0, f.Control&DFC != 0
	}
	now := time.Now()
	k.due = now
	acknowledges := f.Single || says == Ack
	switch asked := request.Control.Function(); {
	case !f.Single && (says == NotFunctioning || says == NotImplemented):
		k.down(fmt.Errorf("%w: %v", ErrRefused, says))
		return
	case asked == RequestStatus && says == Status && !f.Single:
		if k.phase == unavailable {
			k.phase = answering
		} else if k.dfc {
			k.due = now.Add(busy)
		}
	case asked == ResetLink && acknowledges:
		k.up(n)
	case asked == UserData && acknowledges:
	case asked == UserData && says == Nack: // it hasn't taken it
		k.missed(request, fmt.Errorf("%w: it takes nothing", ErrRefused))
		k.due = now.Add(busy)
		return
	case asked != RequestClass1 && asked != RequestClass2:
		k.missed(request, fmt.Errorf("%w: %v", ErrUnexpected, f))
		return
	case says == Respond && f.ASDU != nil:
		k.state.link.take(f.ASDU, now)
	case f.Single, says == NoData, says == Nack:
		if asked == RequestClass1 && f.Single {
			k.acd = false
		}
		if !k.acd {
			k.due = now.Add(k.station.Poll)
		}
	default:
		k.missed(request, fmt.Errorf("%w: %v", ErrUnexpected, f))
		return
	}
	k.failed, k.request = 0, nil
}

// missed notes that a request had no answer, or a wrong one.
func (k *Link) missed(request Frame, err error) {
	if k.failed++; k.phase == available && k.failed <= k.station.Retries {
		k.request, k.due = &request, time.Now()
		return
	}
	k.down(err)
}

// up makes the station available, with its link reset.
func (k *Link) up(n *line) {
	c := newConn(address(k.station.String()), n.wake)
	k.state = state{phase: available, link: c, acd: k.acd, dfc: k.dfc, due: time.Now(), served: k.served}
	k.set(c, nil)
}

// down makes it unavailable, for a while before it is tried again.
func (k *Link) down(err error) {
	wait := min(max(2*k.wait, firstWait), lastWait)
	c := k.state.link
	if c != nil {
		wait = firstWait
	}
	k.state = state{wait: wait, due: time.Now().Add(draw(wait)), served: time.Now()}
	k.set(nil, err)
	if c != nil {
		c.fail(err)
	}
}
