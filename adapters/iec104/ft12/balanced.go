package ft12

import (
	"context"
	"fmt"
	"time"
)

// balanced talks with the one station of the line until the port fails or ctx ends. Each
// end asks and answers, as it likes: there are two links over one line.
type balanced struct {
	*line
	*Link
	deadline time.Time // of the answer to request, or when it is repeated
	refused  bool      // it was answered, and has to be repeated all the same
	heard    time.Time
	began    time.Time // when what is in buf began to come
	// Of the station's own link to us.
	expected Control // FCB of the next frame; 0xFF: its link isn't reset
	reply    Frame   // to the frame before it
}

const notReset Control = 0xFF

func (n *line) balanced(ctx context.Context) error {
	b := &balanced{line: n, expected: notReset, heard: time.Now()}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		links := n.all()
		if len(links) == 0 { // it is about to end
			<-ctx.Done()
			return ctx.Err()
		}
		b.Link = links[0]
		now := time.Now()
		asks := b.settle(now)
		if asks {
			if err := b.ask(now); err != nil {
				return err
			}
		}
		timer.Reset(time.Until(b.next(asks)))
		select {
		case c := <-n.chunks:
			if c.err != nil {
				return c.err
			}
			if len(n.buf) == 0 {
				b.began = c.at
			}
			n.buf = append(n.buf, c.octets...)
			if err := b.receive(ctx); err != nil {
				return err
			}
		case <-timer.C:
			if err := b.tick(ctx, time.Now()); err != nil {
				return err
			}
		case <-n.woken:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask sends what is due, if nothing waits for an answer.
func (b *balanced) ask(now time.Time) error {
	if b.request != nil {
		return nil
	}
	f := Frame{Control: DIR | PRM, Address: b.station.Address}
	switch {
	case b.phase == answering:
		f.Control |= ResetLink
	case b.phase == available && len(b.state.link.sends) > 0 && !b.dfc:
		b.fcb ^= FCB
		f.Control |= UserData | FCV | b.fcb
		f.ASDU = <-b.state.link.sends
	case now.Before(b.due):
		return nil
	case b.phase == available && !b.dfc:
		if quiet := now.Sub(b.heard); quiet < b.config.Poll {
			b.due = now.Add(b.config.Poll - quiet)
			return nil
		}
		b.fcb ^= FCB
		f.Control |= TestLink | FCV | b.fcb
	default:
		f.Control |= RequestStatus
	}
	b.request = &f
	return b.send()
}

// send sends the request, the first time or again.
func (b *balanced) send() error {
	b.refused = false
	b.deadline = time.Now().Add(b.takes(len(b.request.ASDU)+8+MaxLen) + b.config.Timeout)
	return b.write(*b.request)
}

// next is when tick has something to do.
func (b *balanced) next(asks bool) time.Time {
	at := time.Now().Add(b.config.Poll)
	if asks {
		at = b.due
	}
	if b.request != nil {
		at = b.deadline
	}
	if end := b.whole(); len(b.buf) > 0 && end.Before(at) {
		at = end
	}
	return at
}

// whole is when a frame that has begun has to be there.
func (b *balanced) whole() time.Time { return b.began.Add(b.takes(MaxLen) + b.config.Timeout) }

// tick does what a time asks for that has come.
func (b *balanced) tick(ctx context.Context, now time.Time) error {
	if len(b.buf) > 0 && !now.Before(b.whole()) {
		if err := b.quiet(ctx, b.gap()); err != nil {
			return err
		}
	}
	if b.request == nil || now.Before(b.deadline) {
		return nil
	}
	if b.refused { // that has been counted
		return b.send()
	}
	b.silent++
	b.missed(*b.request, ErrSilent)
	if err := b.dead(); err != nil {
		return err
	}
	if b.request == nil { // it has been given up
		return nil
	}
	return b.send()
}

// receive takes the frames that have come.
func (b *balanced) receive(ctx context.Context) error {
	for {
		f, whole, err := b.frame()
		switch {
		case err != nil:
			return b.quiet(ctx, b.gap())
		case !whole:
			return nil
		}
		b.began = time.Now()
		if !f.Single && (f.Control&DIR != 0 || f.Address != b.station.Address) {
			continue // what we have sent, or isn't for us
		}
		b.heard, b.silent = time.Now(), 0
		if f.Single || f.Control&PRM == 0 {
			b.take(f)
			continue
		}
		if err := b.answer(f); err != nil {
			return err
		}
	}
}

// take takes the answer to our request.
func (b *balanced) take(f Frame) {
	if b.request == nil {
		return
	}
	request := *b.request
	if request.Control.Function() == TestLink { // it is confirmed as data is
		request.Control ^= TestLink ^ UserData
	}
	b.answered(b.line, request, f)
	b.acd = false // there are no classes
	if b.phase == available && b.request == nil {
		b.due = time.Now().Add(b.config.Poll)
		if b.dfc {
			b.due = time.Now().Add(busy)
		}
	} else if b.request != nil {
		b.refused, b.deadline = true, time.Now().Add(busy)
	}
}

// answer answers what the station asks. A frame that comes twice, by its FCB, is answered as
// it was before.
func (b *balanced) answer(f Frame) error {
	reply := Frame{Control: DIR, Address: b.station.Address}
	asked := f.Control.Function()
	fresh := true
	if f.Control&FCV != 0 {
		switch {
		case b.expected == notReset:
			return nil // its link has to be reset first
		case f.Control&FCB != b.expected:
			return b.write(b.reply)
		}
	}
	c := b.state.link
	switch {
	case asked == ResetLink:
		b.expected, b.reply = FCB, reply // with the other FCB comes what was before
		return b.write(reply)
	case asked == RequestStatus:
		reply.Control |= Status
		return b.write(reply)
	case asked == TestLink:
	case asked == UserData || asked == UserDataPlain:
		if c == nil || !c.hasRoom() || c.told {
			reply.Control |= Nack | DFC
			fresh = false
		} else if f.ASDU != nil {
			c.take(f.ASDU, b.heard)
		}
	default:
		reply.Control |= NotImplemented
	}
	if asked == UserDataPlain {
		return nil
	}
	if fresh && f.Control&FCV != 0 {
		b.expected ^= FCB
		b.reply = reply
	}
	if err := b.write(reply); err != nil {
		return fmt.Errorf("answer %v: %w", f, err)
	}
	return nil
}
