package buffer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Position counts the records of a chain from 1, across restarts.
type Position uint64

// Item is a payload that has no sequence numbers yet.
type Item struct {
	Format  string
	Payload []byte
	Count   uint64 // sequence numbers it takes: its samples, or 1 for an event
}

// Chain is one stream's sequence of segment files. It is safe for concurrent
// use, but has one reader: Read keeps a file open between calls.
type Chain struct {
	dir         string
	gateway     string
	epoch       record.Epoch
	stream      record.Stream
	segmentSize int64
	log         *slog.Logger

	mu       sync.Mutex
	segments []segment // ascending; the last one is being written
	writing  *bolt.DB
	nextSeq  uint64 // of this epoch
	released Position
	grown    chan struct{} // closed and replaced at every commit
	broken   int           // segments set aside as unreadable

	reading     *bolt.DB // the reader's, of a segment that is complete
	readingPath string
}

const (
	segmentPrefix = "q-"
	segmentSuffix = ".db"
	brokenSuffix  = ".unreadable"
)

// openChain opens the chain in dir and makes it ready to commit.
func openChain(dir string, gateway string, epoch record.Epoch, stream record.Stream, released Position, segmentSize int64, log *slog.Logger) (*Chain, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	c := &Chain{
		dir: dir, gateway: gateway, epoch: epoch, stream: stream,
		segmentSize: segmentSize, released: released,
		log: log.With("stream", stream), grown: make(chan struct{}),
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	for _, entry := range names {
		number, ok := strings.CutPrefix(entry.Name(), segmentPrefix)
		number, isSegment := strings.CutSuffix(number, segmentSuffix)
		first, err := strconv.ParseUint(number, 10, 64)
		if !ok || !isSegment || err != nil || first == 0 {
			continue
		}
		s, err := survey(filepath.Join(dir, entry.Name()), Position(first))
		if err != nil {
			if err := c.setAside(s, err); err != nil {
				return nil, err
			}
			continue
		}
		c.segments = append(c.segments, s)
	}
	slices.SortFunc(c.segments, func(a, b segment) int { return int(int64(a.first) - int64(b.first)) })
	if err := c.openLast(); err != nil {
		return nil, err
	}
	return c, nil
}

// setAside renames a segment that can't be read, so that a person can look at
// it and the chain goes on without it. It is never deleted.
func (c *Chain) setAside(s segment, cause error) error {
	to := s.path + brokenSuffix
	if err := os.Rename(s.path, to); err != nil {
		return fmt.Errorf("buffer: set aside unreadable segment: %w", err)
	}
	c.broken++
	c.log.Error("segment is unreadable and was set aside", "path", to, "error", cause)
	return nil
}

// openLast opens the newest segment for writing, or begins the first.
func (c *Chain) openLast() error {
	if len(c.segments) == 0 {
		return c.begin(c.released + 1)
	}
	last := &c.segments[len(c.segments)-1]
	db, err := createDB(last.path, bucketRecords, bucketState)
	if err != nil {
		broken := *last
		c.segments = c.segments[:len(c.segments)-1]
		if err := c.setAside(broken, err); err != nil {
			return err
		}
		return c.begin(max(broken.last, c.released) + 1)
	}
	c.writing = db
	return nil
}

// begin starts a new segment whose first record will be at position first, and
// carries the state over into it.
func (c *Chain) begin(first Position) error {
	path := filepath.Join(c.dir, fmt.Sprintf("%s%020d%s", segmentPrefix, first, segmentSuffix))
	db, err := createDB(path, bucketRecords, bucketState)
	if err != nil {
		return err
	}
	if c.writing != nil {
		state, err := readState(c.writing)
		if err == nil && state != nil {
			err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketState).Put(keyState, state) })
		}
		if err != nil {
			db.Close()
			os.Remove(path)
			return fmt.Errorf("buffer: carry state over to %s: %w", path, err)
		}
		if err := c.writing.Close(); err != nil {
			c.log.Warn("closing a full segment", "error", err)
		}
	}
	if err := syncDir(c.dir); err != nil {
		db.Close()
		return err
	}
	c.writing = db
	c.segments = append(c.segments, segment{path: path, first: first, last: first - 1})
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("buffer: sync %s: %w", dir, err)
	}
	return nil
}

// Commit writes items, and state if it isn't nil, in one transaction, and
// returns when they are on disk. They take the next sequence numbers of the
// epoch. On an error nothing was written and the same items can be committed
// again.
func (c *Chain) Commit(items []Item, state []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.segments[len(c.segments)-1].size >= c.segmentSize {
		if err := c.begin(c.lastLocked() + 1); err != nil {
			return err
		}
	}
	current := &c.segments[len(c.segments)-1]
	position, seq := current.last, c.nextSeq
	err := c.writing.Update(func(tx *bolt.Tx) error {
		records := tx.Bucket(bucketRecords)
		records.FillPercent = 1 // keys only grow
		for _, item := range items {
			r := record.Record{
				Identity: record.Identity{
					Gateway: c.gateway, Epoch: c.epoch, Stream: c.stream,
					First: seq, Last: seq + item.Count - 1,
				},
				Format: item.Format, Payload: item.Payload,
			}
			value, err := r.AppendBinary(nil)
			if err != nil {
				return err
			}
			position++
			seq += item.Count
			if err := put(records, keyOf(position), value); err != nil {
				return err
			}
		}
		if state != nil {
			return tx.Bucket(bucketState).Put(keyState, state)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("buffer: commit to %s: %w", current.path, err)
	}
	current.last, c.nextSeq = position, seq
	if info, err := os.Stat(current.path); err == nil {
		current.size = info.Size()
	}
	close(c.grown)
	c.grown = make(chan struct{})
	return nil
}

// State is what the newest commit with a state wrote, nil if there was none.
func (c *Chain) State() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return readState(c.writing)
}

func readState(db *bolt.DB) (state []byte, err error) {
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			state = append(state, tx.Bucket(bucketState).Get(keyState)...)
			return nil
		})
	})
	return state, err
}

// Read returns the records after position after, in order, up to about maxBytes
// of payload but at least one if there is one. A segment that turns out to be
// unreadable is set aside and skipped.
func (c *Chain) Read(after Position, maxBytes int) ([]Entry, error) {
	for {
		db, seg, err := c.segmentAfter(after)
		if err != nil || db == nil {
			return nil, err
		}
		var entries []Entry
		room := maxBytes
		err = scan(db, after, func(e Entry) bool {
			entries = append(entries, e)
			room -= len(e.Record.Payload)
			return room > 0
		})
		if len(entries) > 0 {
			return entries, nil // what stands before the damage is good
		}
		if err == nil {
			return nil, nil
		}
		if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			continue // it was completed and closed meanwhile
		}
		if err := c.abandon(seg, err); err != nil {
			return nil, err
		}
		after = max(after, seg.last)
	}
}

// segmentAfter opens the segment that holds the first record after position
// after; db is nil if there is none.
func (c *Chain) segmentAfter(after Position) (*bolt.DB, segment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i < len(c.segments); {
		s := c.segments[i]
		switch {
		case s.last <= after:
			i++
			continue
		case i == len(c.segments)-1:
			return c.writing, s, nil
		case c.readingPath == s.path:
			return c.reading, s, nil
		}
		c.closeReading()
		db, err := openDB(s.path, true)
		if err == nil {
			c.reading, c.readingPath = db, s.path
			return db, s, nil
		}
		c.segments = slices.Delete(c.segments, i, i+1)
		if err := c.setAside(s, err); err != nil {
			return nil, s, err
		}
	}
	return nil, segment{}, nil
}

func (c *Chain) closeReading() {
	if c.reading != nil {
		c.reading.Close()
		c.reading, c.readingPath = nil, ""
	}
}

// abandon sets a segment aside in which reading met damage.
func (c *Chain) abandon(s segment, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.segments, func(t segment) bool { return t.path == s.path })
	if i < 0 {
		return nil
	}
	if i == len(c.segments)-1 {
		last := c.segments[i].last
		if err := c.begin(last + 1); err != nil {
			return err
		}
	}
	c.closeReading()
	c.segments = slices.Delete(c.segments, i, i+1)
	return c.setAside(s, cause)
}

// Wait returns when a record after position after is there, or with ctx's error.
func (c *Chain) Wait(ctx context.Context, after Position) error {
	for {
		c.mu.Lock()
		last, grown := c.lastLocked(), c.grown
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

// Release gives up everything up to and including position p, which the log
// has acknowledged: complete segments are unlinked.
func (c *Chain) Release(p Position) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = max(c.released, p)
	var errs []error
	for len(c.segments) > 1 && c.segments[0].last <= c.released {
		errs = append(errs, c.unlinkFirst())
	}
	return errors.Join(errs...)
}

func (c *Chain) unlinkFirst() error {
	s := c.segments[0]
	if c.readingPath == s.path {
		c.closeReading()
	}
	c.segments = slices.Delete(c.segments, 0, 1)
	if err := os.Remove(s.path); err != nil {
		return fmt.Errorf("buffer: remove a released segment: %w", err)
	}
	return nil
}

// dropOldest gives up the oldest segment, sent or not, and says which sequence
// numbers went unacknowledged with it.
func (c *Chain) dropOldest() ([]telemetry.Loss, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.segments) == 1 {
		if err := c.begin(c.lastLocked() + 1); err != nil {
			return nil, err
		}
	}
	s := c.segments[0]
	losses, err := unacknowledged(s, c.released)
	if err != nil {
		c.segments = slices.Delete(c.segments, 0, 1)
		c.closeReading()
		return losses, c.setAside(s, err)
	}
	c.released = max(c.released, s.last)
	return losses, c.unlinkFirst()
}

func unacknowledged(s segment, released Position) (losses []telemetry.Loss, err error) {
	db, err := openDB(s.path, true)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	err = scan(db, max(released, s.first-1), func(e Entry) bool {
		id := e.Record.Identity
		if n := len(losses); n > 0 && losses[n-1].Epoch == id.Epoch.String() && losses[n-1].SeqLast+1 == id.First {
			losses[n-1].SeqLast = id.Last
			return true
		}
		losses = append(losses, telemetry.Loss{
			Epoch: id.Epoch.String(), Stream: string(id.Stream),
			SeqFirst: id.First, SeqLast: id.Last, Reason: "buffer-full",
		})
		return true
	})
	return losses, err
}

// Released is the position up to which everything was released.
func (c *Chain) Released() Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.released
}

func (c *Chain) lastLocked() Position { return c.segments[len(c.segments)-1].last }

// Stats is a chain's size.
type Stats struct {
	Waiting   uint64 // records committed and not released
	Bytes     int64  // on disk, in all segments
	Segments  int
	Broken    int    // segments set aside as unreadable since the start
	Committed uint64 // sequence numbers committed in this epoch
}

func (c *Chain) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Segments: len(c.segments), Broken: c.broken, Committed: c.nextSeq}
	if last := c.lastLocked(); last > c.released {
		s.Waiting = uint64(last - c.released)
	}
	for _, seg := range c.segments {
		s.Bytes += seg.size
	}
	return s
}

// newest is the identity of the chain's newest record, ok false if the chain
// holds none.
func (c *Chain) newest() (id record.Identity, ok bool) {
	for i := len(c.segments) - 1; i >= 0; i-- {
		s := c.segments[i]
		if s.last < s.first {
			continue
		}
		db := c.writing
		if i < len(c.segments)-1 {
			var err error
			if db, err = openDB(s.path, true); err != nil {
				return id, false
			}
			defer db.Close()
		}
		err := scan(db, s.last-1, func(e Entry) bool {
			id, ok = e.Record.Identity, true
			return false
		})
		return id, ok && err == nil
	}
	return id, false
}

func (c *Chain) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeReading()
	return c.writing.Close()
}
