package buffer

import (
	"context"
	"errors"
	"slices"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/busbar/busbar/telemetry"
)

// Read returns the records after position after, in order, up to about maxBytes
// of payload but at least one if there is one. What is damaged is passed over;
// Gaps then tells which sequence numbers it were. An error may pass, and the same
// records can be asked for again.
func (c *Chain) Read(after Position, maxBytes int) ([]Entry, error) {
	for {
		db, seg, err := c.segmentAfter(after)
		if err != nil || db == nil {
			return nil, err
		}
		var entries []Entry
		room := maxBytes
		_, err = scan(db, after, func(e Entry) bool {
			entries = append(entries, e)
			room -= len(e.Record.Payload)
			return room > 0
		})
		if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			continue // it was completed and closed meanwhile
		}
		if errors.Is(err, errDamaged) {
			c.markDamaged(seg, err)
		} else if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			c.findGaps(entries)
			return entries, nil
		}
		after = max(after, seg.last)
	}
}

// segmentAfter opens the segment that holds the first record after position
// after; db is nil if there is none.
func (c *Chain) segmentAfter(after Position) (*bolt.DB, segment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.segments {
		switch {
		case s.last <= after || s.damaged != nil:
			continue
		case i == len(c.segments)-1:
			return c.writing, s, nil
		case c.readingPath == s.path:
			return c.reading, s, nil
		}
		c.closeReading()
		db, err := openDB(s.path, true)
		switch {
		case err == nil:
			c.reading, c.readingPath = db, s.path
			return db, s, nil
		case !errors.Is(err, errDamaged):
			return nil, s, err
		}
		c.giveUp(i, err)
	}
	return nil, segment{}, nil
}

func (c *Chain) closeReading() {
	if c.reading != nil {
		c.reading.Close()
		c.reading, c.readingPath = nil, ""
	}
}

func (c *Chain) markDamaged(s segment, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.segments, func(t segment) bool { return t.path == s.path })
	if i >= 0 && c.segments[i].damaged == nil {
		c.giveUp(i, cause)
	}
}

// giveUp ends all use of a segment's file in this process: bbolt may have kept a
// lock when it panicked, so not even closing it would return.
func (c *Chain) giveUp(i int, cause error) {
	s := &c.segments[i]
	s.damaged = cause
	if i == len(c.segments)-1 {
		c.writing = nil
	}
	if c.readingPath == s.path {
		c.reading, c.readingPath = nil, ""
	}
	c.log.Error("segment is damaged; what could be read of it was sent", "path", s.path, "error", cause)
}

// findGaps compares records that are handed out for the first time with their
// predecessors. Within an epoch, a sequence number that is missing was lost here.
func (c *Chain) findGaps(entries []Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if e.Position <= c.handedOut {
			continue
		}
		before, id := c.handedID, e.Record.Identity
		if before.Epoch == id.Epoch && before.Gateway != "" && before.Last+1 < id.First {
			c.gaps = append(c.gaps, telemetry.Loss{
				Epoch: id.Epoch.String(), Stream: string(c.stream),
				SeqFirst: before.Last + 1, SeqLast: id.First - 1, Reason: telemetry.LostUnreadable,
			})
		}
		c.handedOut, c.handedID = e.Position, id
	}
}

// Gaps returns, once, the sequence numbers that Read has found missing.
func (c *Chain) Gaps() []telemetry.Loss {
	c.mu.Lock()
	defer c.mu.Unlock()
	gaps := c.gaps
	c.gaps = nil
	return gaps
}

// Wait returns when a record after position after is there, or with ctx's error.
func (c *Chain) Wait(ctx context.Context, after Position) error {
	for {
		c.mu.Lock()
		last, grown := c.current().last, c.grown
		c.mu.Unlock()
		if last > after {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}
