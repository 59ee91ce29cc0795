package controlling

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// Command is a command for one object.
type Command struct {
	Station uint16
	Type    asdu.Type
	Object  asdu.Object // with a time, if the type has one; zero: the present
}

// RefusedError is that the station has said no: nothing is executed.
type RefusedError struct {
	Cause asdu.Cause
}

func (e RefusedError) Error() string {
	if e.Cause.Rejects() {
		return fmt.Sprintf("the station refuses it: %v", e.Cause)
	}
	return "the station refuses it"
}

// How else a command may end. After errUnanswered and errLost it may have been executed.
var (
	errUnanswered = errors.New("the station hasn't answered in time")
	errLost       = errors.New("the link has ended before the answer")
	errBusy       = errors.New("another command for the same object is under way")
	errGone       = errors.New("there is no link to the station")
)

// NotSent reports whether an error of Command says that the station has got nothing.
func NotSent(err error) bool {
	var refused RefusedError
	return errors.Is(err, errBusy) || errors.Is(err, errGone) || errors.As(err, &refused)
}

// key is what an answer is known by.
type key struct {
	t       asdu.Type
	station uint16
	object  uint32
}

// pending is what was sent and waits for its answer.
type pending struct {
	object    asdu.Object
	cause     asdu.Cause // it was sent with
	confirmed chan error // takes one
	done      chan error // takes one; the end of an execution, after it was confirmed
	deadline  time.Time
	runs      bool // it is confirmed
}

// echo is how long rejections are taken for those of a command that was refused: some
// stations refuse twice.
const echo = time.Second

// Command sends a command, and returns nil when the station has confirmed it. What it says
// at the end of an execution comes by done, if it says anything: many stations don't, so
// that the end has to be seen otherwise. nil says that it has terminated it.
func (c *Client) Command(ctx context.Context, cmd Command) (done <-chan error, err error) {
	return c.request(ctx, cmd, asdu.Activation)
}

// Deselect gives up a selection. It is said as the selection was: a station that took S/E
// as 0 for an execution would execute it.
func (c *Client) Deselect(ctx context.Context, cmd Command) error {
	cmd.Object.Select = true
	_, err := c.request(ctx, cmd, asdu.Deactivation)
	return err
}

// Read asks for one object, which is then told to the handler, before this returns nil.
func (c *Client) Read(ctx context.Context, station uint16, object uint32) error {
	_, err := c.request(ctx, Command{Station: station, Type: asdu.Read, Object: asdu.Object{Address: object}}, asdu.Requested)
	return err
}

// Test asks the station to confirm a test, with a time.
func (c *Client) Test(ctx context.Context, station uint16) error {
	_, err := c.request(ctx, Command{Station: station, Type: asdu.TestCommandTime, Object: asdu.Object{Value: 1}}, asdu.Activation)
	return err
}

func (c *Client) request(ctx context.Context, cmd Command, cause asdu.Cause) (<-chan error, error) {
	p := &pending{object: cmd.Object, cause: cause, confirmed: make(chan error, 1), done: make(chan error, 1)}
	k := key{cmd.Type, cmd.Station, cmd.Object.Address}
	if !c.Do(ctx, func() error {
		if ctx.Err() != nil { // who asked has gone
			return nil
		}
		if before, busy := c.pending[k]; busy {
			if !before.runs {
				p.confirmed <- errBusy
				return nil
			}
			c.finish(k, before, errUnanswered)
		}
		now := time.Now()
		if cmd.Type.Timed() > 0 && cmd.Object.Time.Form == asdu.NoTime {
			cmd.Object.Time = asdu.TimeOf(now.In(c.config.Zone))
		}
		h := asdu.Header{Type: cmd.Type, Cause: cause, Originator: c.config.Originator, Address: cmd.Station}
		b, err := c.config.Params.Append(nil, h, []asdu.Object{cmd.Object})
		if err != nil {
			p.confirmed <- fmt.Errorf("%w: %w", errGone, err)
			return nil
		}
		p.deadline = now.Add(c.config.Respond)
		c.pending[k] = p
		return c.conn.Send(ctx, b)
	}) {
		return nil, errGone
	}
	select {
	case err := <-p.confirmed:
		return p.done, err
	case <-ctx.Done():
		return p.done, fmt.Errorf("%w: %w", errUnanswered, ctx.Err())
	}
}

// finish ends what is pending.
func (c *Client) finish(k key, p *pending, err error) {
	delete(c.pending, k)
	select {
	case p.confirmed <- err:
	default:
	}
	select {
	case p.done <- err:
	default:
	}
}

// replied takes the answer to a command, a reading or a test.
func (c *Client) replied(a *asdu.ASDU) {
	o := a.Object(0)
	k := key{a.Type, a.Address, o.Address}
	p, waits := c.pending[k]
	now := time.Now()
	if until, refused := c.echoes[k]; refused && a.Cause.Rejects() {
		delete(c.echoes, k)
		if now.Before(until) {
			return
		}
	}
	if !waits {
		c.strange++ // the end of a selection, of an execution, or of what somebody else asks for
		return
	}
	switch {
	case a.Cause.Rejects():
		c.finish(k, p, RefusedError{a.Cause})
	case a.Negative:
		c.echoes[k] = now.Add(echo)
		c.finish(k, p, RefusedError{a.Cause})
	case a.Type == asdu.Read: // some confirm that they will tell it
	case a.Cause == asdu.DeactivationCon && p.cause == asdu.Deactivation:
		c.finish(k, p, nil)
	case a.Cause == asdu.ActivationCon && o.Select == p.object.Select && !p.runs:
		if o.Select || p.cause != asdu.Activation || !a.Type.Commands() {
			c.finish(k, p, nil)
			return
		}
		p.runs = true
		p.confirmed <- nil
	case a.Cause == asdu.ActivationTermin && p.runs: // some say it with the S/E of the selection
		c.finish(k, p, nil)
	default:
		c.strange++
	}
}

// readBack ends readings of what is told.
func (c *Client) readBack(a *asdu.ASDU) {
	if len(c.pending) == 0 || a.Cause != asdu.Requested {
		return
	}
	for i := range a.Len() {
		k := key{asdu.Read, a.Address, a.Object(i).Address}
		if p, waits := c.pending[k]; waits {
			c.finish(k, p, nil)
		}
	}
}
