package buffer

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// Release gives up everything up to and including position p, which the log
// has acknowledged: complete segments are unlinked.
func (c *Chain) Release(p Position) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = max(c.released, p)
	for len(c.segments) > 1 && c.segments[0].last <= c.released {
		if err := c.removeFirst(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chain) removeFirst() error {
	s := c.segments[0]
	if c.readingPath == s.path {
		c.closeReading()
	}
	c.segments = slices.Delete(c.segments, 0, 1)
	if s.damaged != nil {
		return c.setAside(s, s.damaged)
	}
	if err := os.Remove(s.path); err != nil {
		return fmt.Errorf("buffer: remove a released segment: %w", err)
	}
	return syncDir(c.dir)
}

// dropOldest gives up the oldest segment, sent or not, once declare has recorded
// which sequence numbers go unacknowledged with it.
func (c *Chain) dropOldest(declare func([]telemetry.Loss) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.segments) == 1 {
		if err := c.begin(c.current().last + 1); err != nil {
			return err
		}
	}
	s := c.segments[0]
	var losses []telemetry.Loss
	if s.damaged == nil { // else nothing in this process can open it
		var err error
		losses, err = unacknowledged(s, c.released)
		if errors.Is(err, errDamaged) {
			c.segments[0].damaged = err
		} else if err != nil {
			return err
		}
	}
	if len(losses) > 0 {
		if err := declare(losses); err != nil {
			return err
		}
	}
	c.released = max(c.released, s.last)
	return c.removeFirst()
}

func unacknowledged(s segment, released Position) (losses []telemetry.Loss, err error) {
	db, err := openDB(s.path, true)
	if err != nil {
		return nil, err
	}
	defer func() { closeUnless(db, err) }()
	_, err = scan(db, max(released, s.first-1), func(e Entry) bool {
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
	return losses, err
}
