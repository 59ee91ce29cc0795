package buffer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Reader hands out a chain's records that aren't acknowledged. Until it is closed
// or they are acknowledged, their files are neither thinned nor rewritten. It
// opens a file for each call, and is safe for concurrent use with everything else
// but itself.
type Reader struct {
	chain   *Chain
	out     ranges   // positions handed out; the chain's to guard, as is
	reading *segment // the one being read
}

// Newest is behind every record: the bound for a Reader that takes all.
const Newest Position = 1<<64 - 1

// Reader makes a reader of the chain.
func (c *Chain) Reader() *Reader {
	r := &Reader{chain: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readers = append(c.readers, r)
	return r
}

// Close says that nothing that the reader handed out is under way any more.
func (r *Reader) Close() {
	r.chain.mu.Lock()
	defer r.chain.mu.Unlock()
	r.chain.readers = slices.DeleteFunc(r.chain.readers, func(other *Reader) bool { return other == r })
}

// PutBack says that the record at position p, which the reader handed out, isn't
// under way.
func (r *Reader) PutBack(p Position) {
	r.chain.mu.Lock()
	defer r.chain.mu.Unlock()
	r.out.remove(p, p)
}

// Read returns the records behind position after and up to position upTo that
// aren't acknowledged, in order, up to about maxBytes of payload but at least one
// if there is one. What is damaged is passed over and declared as lost. An error
// may pass, and the same records can be asked for again.
func (r *Reader) Read(after, upTo Position, maxBytes int) ([]Entry, error) {
	c := r.chain
	defer c.putDown(r)
	for {
		s, wanted, held := c.wanted(r, after, upTo, maxBytes)
		if s == nil {
			return held, nil
		}
		p, err := c.readSegment(s, wanted, maxBytes)
		switch {
		case errors.Is(err, bolterrors.ErrDatabaseNotOpen), errors.Is(err, os.ErrNotExist) && !c.holds(s):
			continue // it was completed, or everything in it was acknowledged meanwhile
		case errors.Is(err, os.ErrNotExist) && !isThere(c.dir):
			return nil, err // the file system is away, not the file
		case errors.Is(err, errDamaged), errors.Is(err, os.ErrNotExist):
			c.markUnreadable(s, &p, err)
			c.abandonIf(s, err)
		case err != nil:
			return nil, err
		}
		c.handOut(r, p)
		if len(p.entries) > 0 {
			return p.entries, nil
		}
	}
}

// wanted finds the first segment with positions that are to be read, and these,
// or if there is none what is held behind the segments. Until the reader puts it down, the segment's file isn't replaced; one that is
// being replaced is waited for.
func (c *Chain) wanted(r *Reader, after, upTo Position, maxBytes int) (s *segment, positions ranges, held []Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		s, positions = c.unread(after, upTo)
		if s == nil {
			held = c.heldFor(r, after, upTo, maxBytes)
		}
		if s == nil || s.replaced == nil {
			r.reading = s
			return s, positions, held
		}
		replaced := s.replaced
		c.mu.Unlock()
		<-replaced
		c.mu.Lock()
	}
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (c *Chain) putDown(r *Reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.reading = nil
}

func (c *Chain) unread(after, upTo Position) (*segment, ranges) {
	for _, s := range c.segments {
		if upTo <= after {
			break
		}
		if positions := c.unreadIn(max(s.first, after+1), min(s.last, upTo)); len(positions) > 0 {
			return s, positions
		}
	}
	return nil, nil
}

// unreadIn are the positions from first to last that are neither done
// nor missing.
func (c *Chain) unreadIn(first, last Position) (positions ranges) {
	for _, free := range c.done.without(first, last) {
		positions = append(positions, c.missing.without(free.first, free.last)...)
	}
	return positions
}

// isOut reports whether a reader holds records of the segment that aren't
// acknowledged.
func (c *Chain) isOut(s *segment) bool {
	for _, r := range c.readers {
		if r.reading == s {
			return true
		}
		for _, o := range r.out {
			if first, last := max(o.first, s.first), min(o.last, s.last); first <= last && !c.done.has(first, last) {
				return true
			}
		}
	}
	return false
}

func (c *Chain) holds(s *segment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.segments, s)
}

// part is what was read of a segment.
type part struct {
	entries   []Entry
	missing   ranges   // positions that nobody can read
	merged    ranges   // positions that thinning merged into others
	damagedAt Position // where reading failed, if the file is damaged
}

// readSegment reads the wanted positions of a segment.
func (c *Chain) readSegment(s *segment, wanted ranges, maxBytes int) (p part, err error) {
	p.damagedAt = s.first
	err = c.withSegment(s, func(db *bolt.DB) error {
		absent := &p.missing
		if s.generation > 0 {
			absent = &p.merged
		}
		for _, w := range wanted {
			p.damagedAt = w.first
			err := scan(db, w.first, w.last, func(e Entry) bool {
				absent.add(p.damagedAt, e.Position-1)
				p.damagedAt = e.Position + 1
				if !e.readable() {
					p.missing.add(e.Position, e.Position)
					return true
				}
				e.Record.Payload = bytes.Clone(e.Record.Payload)
				p.entries = append(p.entries, e)
				maxBytes -= len(e.Record.Payload)
				return maxBytes > 0
			})
			if err != nil || maxBytes <= 0 {
				return err
			}
			absent.add(p.damagedAt, w.last)
		}
		return nil
	})
	return p, err
}

// withSegment calls f with the segment's file, opened for it unless it is being
// written.
func (c *Chain) withSegment(s *segment, f func(*bolt.DB) error) (err error) {
	c.mu.Lock()
	var writing *file
	if n := len(c.segments); n > 0 && c.segments[n-1] == s {
		writing = c.writing
	}
	c.mu.Unlock()
	if writing != nil {
		return f(writing.DB)
	}
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	open, err := openFile(s.path)
	if err != nil {
		return err
	}
	defer func() { open.end(err) }()
	return f(open.DB)
}

// markUnreadable gives up what is behind the place where reading the segment
// failed.
func (c *Chain) markUnreadable(s *segment, p *part, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.unreadable == 0 {
		c.log.Error("segment is damaged; what can be read of it is sent", "path", s.path, "error", cause)
	}
	if s.unreadable == 0 || p.damagedAt < s.unreadable {
		s.unreadable, s.cause = p.damagedAt, cause
	}
	p.missing.add(p.damagedAt, s.last)
}

// abandonIf ends the writing of a segment that was found to be damaged.
func (c *Chain) abandonIf(s *segment, cause error) {
	c.commits.Lock()
	defer c.commits.Unlock()
	if c.holds(s) && c.writingTo() == s {
		c.abandon(cause)
	}
}

// handOut notes what a reader has been given, and what it couldn't be given.
func (c *Chain) handOut(r *Reader, p part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range p.merged {
		c.done.add(m.first, m.last)
	}
	for _, m := range p.missing {
		for _, gone := range c.done.without(m.first, m.last) {
			c.missing.add(gone.first, gone.last)
		}
	}
	for _, e := range p.entries {
		r.out.add(e.Position, e.Position)
	}
	r.out = slices.DeleteFunc(r.out, func(s span) bool { return c.done.has(s.first, s.last) })
}

// Wait returns when a record after position after is there, or with ctx's error.
func (c *Chain) Wait(ctx context.Context, after Position) error {
	for {
		c.mu.Lock()
		last, grown := c.end(), c.grown
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

// filesForReading is how many segments' files may be open at once beside the two
// that are being written.
const filesForReading = 2
