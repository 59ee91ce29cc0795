package buffer

import (
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
	chain *Chain
	out   ranges // positions handed out; the chain's to guard
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

// Read returns the records behind position after and up to position upTo that
// aren't acknowledged, in order, up to about maxBytes of payload but at least one
// if there is one. What is damaged is passed over and declared as lost. An error
// may pass, and the same records can be asked for again.
func (r *Reader) Read(after, upTo Position, maxBytes int) ([]Entry, error) {
	c := r.chain
	for {
		s, wanted := c.wanted(after, upTo)
		if s == nil {
			return nil, nil
		}
		entries, missing, err := c.readSegment(s, wanted, maxBytes)
		switch {
		case errors.Is(err, bolterrors.ErrDatabaseNotOpen), errors.Is(err, os.ErrNotExist) && !c.holds(s):
			continue // it was completed, or everything in it was acknowledged meanwhile
		case errors.Is(err, errDamaged), errors.Is(err, os.ErrNotExist):
			missing = c.markUnreadable(s, missing, err)
			c.abandonIf(s, err)
		case err != nil:
			return nil, err
		}
		c.handOut(r, entries, missing)
		if len(entries) > 0 {
			return entries, nil
		}
	}
}

// wanted finds the first segment with positions that are to be read, and these.
func (c *Chain) wanted(after, upTo Position) (*segment, ranges) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.segments {
		var positions ranges
		for _, free := range c.done.without(max(s.first, after+1), min(s.last, upTo)) {
			positions = append(positions, c.missing.without(free.first, free.last)...)
		}
		if len(positions) > 0 {
			return s, positions
		}
	}
	return nil, nil
}

func (c *Chain) holds(s *segment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.segments, s)
}

// readSegment reads the wanted positions of a segment. Those that are missing
// before the last one read are told too; with an error that says damaged, the
// last of them begins where the damage does.
func (c *Chain) readSegment(s *segment, wanted ranges, maxBytes int) (entries []Entry, missing ranges, err error) {
	err = c.withSegment(s, func(db *bolt.DB) error {
		entries, missing = nil, nil
		for _, w := range wanted {
			next := w.first
			err := scan(db, w.first, w.last, func(e Entry) bool {
				missing.add(next, e.Position-1)
				next = e.Position + 1
				entries = append(entries, e)
				maxBytes -= len(e.Record.Payload)
				return maxBytes > 0
			})
			if err != nil {
				if errors.Is(err, errDamaged) {
					missing.add(next, next)
				}
				return err
			}
			if maxBytes <= 0 {
				return nil
			}
			missing.add(next, w.last)
		}
		return nil
	})
	return entries, missing, err
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
	open, err := openFile(s.path, true)
	if err != nil {
		return err
	}
	defer func() { open.end(err) }()
	return f(open.DB)
}

// markUnreadable gives up what is behind the last position of missing, or all of
// the segment if it couldn't even be opened.
func (c *Chain) markUnreadable(s *segment, missing ranges, cause error) ranges {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := s.first
	if n := len(missing); n > 0 {
		from = missing[n-1].last
	}
	if s.unreadable == 0 {
		c.log.Error("segment is damaged; what can be read of it is sent", "path", s.path, "error", cause)
	}
	if s.unreadable == 0 || from < s.unreadable {
		s.unreadable, s.cause = from, cause
	}
	for _, gone := range c.done.without(from, s.last) {
		missing.add(gone.first, gone.last)
	}
	return missing
}

// abandonIf ends the writing of a segment that was found to be damaged.
func (c *Chain) abandonIf(s *segment, cause error) {
	c.commits.Lock()
	defer c.commits.Unlock()
	if c.holds(s) && c.current() == s {
		c.abandon(cause)
	}
}

// handOut notes what a reader has been given, and what it couldn't be given.
func (c *Chain) handOut(r *Reader, entries []Entry, missing ranges) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range missing {
		for _, gone := range c.done.without(m.first, m.last) {
			c.missing.add(gone.first, gone.last)
		}
	}
	for _, e := range entries {
		r.out.add(e.Position, e.Position)
	}
	r.out = slices.DeleteFunc(r.out, func(s span) bool { return c.done.has(s.first, s.last) })
}

// Wait returns when a record after position after is there, or with ctx's error.
func (c *Chain) Wait(ctx context.Context, after Position) error {
	for {
		c.mu.Lock()
		last, grown := c.last, c.grown
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
