package buffer

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Acknowledge says that the log has the records from position first to last.
// Files of which everything is acknowledged are unlinked, also in the middle of
// the chain. After a crash the acknowledgements of up to 30 s are forgotten, and
// those records are handed out once more. An error says that a file couldn't be
// removed, which is tried again.
func (c *Chain) Acknowledge(first, last Position) error {
	c.mu.Lock()
	c.done.add(first, min(last, c.end()))
	retired := c.retire()
	c.mu.Unlock()
	if !retired {
		return nil
	}
	return c.sweep()
}

// retire takes complete segments out of the chain of which everything is done.
// The last one stays, because it has the state, unless it had to make room.
func (c *Chain) retire() (any bool) {
	var current *segment
	if len(c.segments) > 0 {
		current = c.current()
	}
	c.segments = slices.DeleteFunc(c.segments, func(s *segment) bool {
		if s == current && !s.dropped || s.replaced != nil || !c.done.has(s.first, s.last) {
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
		err := c.setAside(s.path, s.cause)
		if err == nil {
			c.space.setAside(c.lane, s.size)
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("buffer: remove a segment that isn't needed any more: %w", err)
	}
	c.space.settle(c.lane, s.size, 0)
	return nil
}
