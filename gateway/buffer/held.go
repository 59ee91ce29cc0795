package buffer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// What is held is bounded, by more than any burst of alarms while a commit takes its
// time. Beyond that the oldest goes: what the log has acknowledged without a loss,
// anything else is declared as discarded.
const (
	mostHeld      = 8192    // records
	mostHeldBytes = 8 << 20 // of payloads
)

// heldTogether bounds the records of one transaction that writes what is held.
const heldTogether = 1024

// ErrHeld says that items couldn't be committed and are held: the next commit
// writes them, and readers have them.
var ErrHeld = errors.New("held in memory until the disk takes it")

// told reports whether what a declaration tells will be told: it is on disk, or held
// and with the readers.
func told(err error) bool { return err == nil || errors.Is(err, ErrHeld) }

// Hold gives items their numbers and lets readers have them at once, signed as they
// will be committed: in this order, by a CommitHeld or a Commit to come, together
// with the newest state if that isn't nil. It never waits for the disk, nor for a
// commit that is under way. A process that ends before the commit leaves no trace
// of them on disk. On an error, which is that of signing, nothing is held.
func (c *Chain) Hold(items []Item, state []byte) error {
	c.numbering.Lock()
	defer c.numbering.Unlock()
	entries, err := c.numbered(items)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, entries...)
	for _, e := range entries {
		c.heldBytes += len(e.Record.Payload)
	}
	if state != nil {
		c.heldState = state
	}
	c.boundHeld()
	if len(entries) > 0 {
		c.wake()
	}
	select {
	case c.holding <- struct{}{}:
	default:
	}
	return nil
}

// boundHeld gives up the oldest that are held too many. What is being written
// stays, and so does the newest, whose numbers the next ones follow.
func (c *Chain) boundHeld() {
	for len(c.held) > c.underway+1 && (len(c.held) > mostHeld || c.heldBytes > mostHeldBytes) {
		e := c.held[c.underway]
		c.held = slices.Delete(c.held, c.underway, c.underway+1)
		c.heldBytes -= len(e.Record.Payload)
		if c.done.has(e.Position, e.Position) {
			continue
		}
		if len(c.discarded) == 0 {
			c.log.Error("memory holds no more while the disk takes nothing; the oldest records that wait are discarded", "seq", e.Record.First)
		}
		c.done.add(e.Position, e.Position)
		c.discarded.add(Position(e.Record.First), Position(e.Record.Last))
	}
}

// CommitHeld writes what is held when it is called, and the state that was held
// with it, and returns when that is on disk. More than heldTogether records take
// several transactions, of which the last has the state: after a crash between
// them it is older than the records, never newer. On an error, what isn't written
// stays held.
func (c *Chain) CommitHeld() error {
	if !c.anyHeld() {
		return nil
	}
	upTo := c.End()
	return c.persist(func() error {
		c.commits.Lock()
		defer c.commits.Unlock()
		return c.writeHeld(upTo)
	})
}

// Enter commits items behind what is held, in the way of CommitHeld. With ErrHeld
// they weren't committed and will be; on any other error nothing was done with
// them: while commits fail, no more are held.
func (c *Chain) Enter(items []Item) error {
	if !c.Stats().FailingSince.IsZero() {
		if err := c.CommitHeld(); err != nil {
			return err
		}
	}
	if err := c.Hold(items, nil); err != nil {
		return err
	}
	if err := c.CommitHeld(); err != nil {
		return fmt.Errorf("%w: %w", ErrHeld, err)
	}
	return nil
}

// retryHeld is how often a commit is tried again that failed.
const retryHeld = time.Second

// KeepCommitting commits what is held, as it comes, until ctx ends, and then once
// more; what comes during a commit goes into the next one together. It tells when
// commits begin to fail, with why, and when they succeed again, with nil.
func (c *Chain) KeepCommitting(ctx context.Context, tell func(error)) {
	failing := false
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-c.holding:
		}
		for {
			err := c.CommitHeld()
			if failed := err != nil; failed != failing && !errors.Is(err, errMakingRoom) {
				failing = failed
				tell(err)
			}
			if err == nil || ended {
				break
			}
			select {
			case <-ctx.Done():
				ended = true
			case <-time.After(retryHeld):
			}
		}
	}
}

// anyHeld reports whether anything is held.
func (c *Chain) anyHeld() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held) > 0 || c.heldState != nil
}

// writeHeld writes what is held, at least up to position upTo. What is added
// meanwhile may go with it. c.commits is held.
func (c *Chain) writeHeld(upTo Position) error {
	for most := heldTogether; ; {
		entries, state := c.takeHeld(most)
		if len(entries) == 0 && state == nil {
			return nil
		}
		written, err := c.put(entries, state)
		if err != nil {
			c.putBackHeld(state)
		}
		switch {
		case err == nil && written >= upTo:
			return nil
		case err == nil:
		case errors.Is(err, errNoRoom) && len(entries) > 1:
			most = len(entries) / 2 // the room may be enough for a part
		default:
			return err
		}
	}
}

// takeHeld is what the next transaction writes: the oldest that are held, as far as
// their numbers have no gap, and the state if they are all.
func (c *Chain) takeHeld(most int) (entries []Entry, state []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < min(most, len(c.held)) && (n == 0 || c.held[n].Position == c.held[n-1].Position+1) {
		n++
	}
	c.underway = n
	if n == len(c.held) {
		state, c.heldState = c.heldState, nil
	}
	return slices.Clone(c.held[:n]), state
}

// putBackHeld says that what takeHeld returned wasn't written.
func (c *Chain) putBackHeld(state []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underway = 0
	if c.heldState == nil { // else there is a newer one
		c.heldState = state
	}
	c.boundHeld()
}

// dropHeld forgets what is on disk now.
func (c *Chain) dropHeld() {
	n := 0
	for n < len(c.held) && c.held[n].Position <= c.last {
		c.heldBytes -= len(c.held[n].Record.Payload)
		n++
	}
	c.held, c.underway = slices.Delete(c.held, 0, n), 0
}

// heldFor gives a reader the records behind position after and up to position upTo
// that aren't on disk, up to about maxBytes.
func (c *Chain) heldFor(r *Reader, after, upTo Position, maxBytes int) (entries []Entry) {
	for _, e := range c.held {
		if e.Position > after && e.Position <= upTo && maxBytes > 0 && !c.done.has(e.Position, e.Position) {
			entries = append(entries, e)
			r.out.add(e.Position, e.Position)
			maxBytes -= len(e.Record.Payload)
		}
	}
	return entries
}

// declareDiscarded enters into the ledger what memory couldn't hold, once.
func (c *Chain) declareDiscarded(declare func([]telemetry.Loss) error) error {
	c.mu.Lock()
	discarded := c.discarded
	c.discarded = nil
	c.mu.Unlock()
	if len(discarded) == 0 {
		return nil
	}
	var losses []telemetry.Loss
	for _, d := range discarded {
		losses = append(losses, telemetry.Loss{
			Epoch: c.epoch.String(), Stream: string(c.stream),
			SeqFirst: uint64(d.first), SeqLast: uint64(d.last), Reason: telemetry.LostDiscarded,
		})
	}
	err := declare(losses)
	if told(err) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range discarded {
		c.discarded.add(d.first, d.last)
	}
	return err
}
