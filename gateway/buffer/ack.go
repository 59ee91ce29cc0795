package buffer

import (
	"errors"
	"fmt"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
)

// Acknowledge says that the log has the records from position first to last.
// Files of which everything is acknowledged are unlinked, also in the middle of
// the chain. After a crash the acknowledgements of up to 30 s are forgotten, and
// those records are handed out once more. An error says that a file couldn't be
// removed, which is tried again.
func (c *Chain) Acknowledge(first, last Position) error {
	c.mu.Lock()
	c.done.add(first, min(last, c.last))
	retired := c.retire()
	c.mu.Unlock()
	if !retired {
		return nil
	}
	return c.sweep()
}

// retire takes complete segments out of the chain of which everything is done.
// The last one stays: it has the state.
func (c *Chain) retire() (any bool) {
	last := len(c.segments) - 1
	if last < 1 {
		return false
	}
	current := c.segments[last]
	c.segments = slices.DeleteFunc(c.segments, func(s *segment) bool {
		if s == current || !c.done.has(s.first, s.last) {
			return false
		}
		c.leaving = append(c.leaving, s)
		any = true
		return true
	})
	return any
}

// sweep removes the files of segments that have left the chain, or sets them
// aside. What fails is tried again the next time.
func (c *Chain) sweep() error {
	c.mu.Lock()
	leaving := c.leaving
	c.leaving = nil
	c.mu.Unlock()
	if len(leaving) == 0 {
		return nil
	}
	var errs []error
	var stay []*segment
	for _, s := range leaving {
		if err := c.remove(s); err != nil {
			errs = append(errs, err)
			stay = append(stay, s)
		}
	}
	if len(stay) < len(leaving) {
		errs = append(errs, syncDir(c.dir))
	}
	c.mu.Lock()
	c.leaving = append(c.leaving, stay...)
	c.mu.Unlock()
	return errors.Join(errs...)
}

func (c *Chain) remove(s *segment) error {
	if s.unreadable > 0 {
		if err := c.setAside(s.path, s.cause); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("buffer: remove a segment that isn't needed any more: %w", err)
	}
	return nil
}

// dropOldest gives up the oldest segment, sent or not, once declare has recorded
// which sequence numbers go unacknowledged with it.
func (c *Chain) dropOldest(declare func([]telemetry.Loss) error) error {
	c.mu.Lock()
	var s *segment
	if len(c.segments) > 0 {
		s = c.segments[0]
	}
	alone := len(c.segments) == 1
	c.mu.Unlock()
	if s == nil {
		return nil
	}
	if alone {
		c.commits.Lock()
		err := c.begin()
		c.commits.Unlock()
		if err != nil {
			return err
		}
	}
	losses, err := c.unacknowledged(s)
	if err != nil && !errors.Is(err, errDamaged) {
		return err
	}
	if len(losses) > 0 {
		if err := declare(losses); err != nil {
			return err
		}
	}
	c.mu.Lock()
	if err != nil && s.unreadable == 0 {
		s.unreadable, s.cause = s.first, err
	}
	c.done.add(s.first, s.last)
	c.retire()
	c.mu.Unlock()
	return c.sweep()
}

func (c *Chain) unacknowledged(s *segment) (losses []telemetry.Loss, err error) {
	c.mu.Lock()
	wanted := c.done.without(s.first, s.last)
	c.mu.Unlock()
	err = c.withSegment(s, func(db *bolt.DB) error {
		for _, w := range wanted {
			err := scan(db, w.first, w.last, func(e Entry) bool {
				id := e.Record.Identity
				if n := len(losses); n > 0 && losses[n-1].Epoch == id.Epoch.String() && losses[n-1].SeqLast+1 == id.First {
					losses[n-1].SeqLast = id.Last
					return true
				}
				losses = append(losses, telemetry.Loss{
					Epoch: id.Epoch.String(), Stream: string(id.Stream),
					SeqFirst: id.First, SeqLast: id.Last, Reason: telemetry.LostBufferFull,
				})
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return losses, err
}
