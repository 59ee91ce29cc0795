package buffer

import (
	"cmp"
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
//
// Only files that this process began are written. A file that turns out to be
// damaged keeps its place until what can be read of it is released.
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
	state    []byte // as last committed
	nextSeq  uint64 // of this epoch
	released Position
	grown    chan struct{}   // closed and replaced at every commit
	newest   record.Identity // of an earlier epoch, as found when it was opened
	broken   int

	reading     *bolt.DB // the reader's, of a segment that is complete
	readingPath string
	handedOut   Position        // by Read, at most
	handedID    record.Identity // of the record there
	gaps        []telemetry.Loss
}

const (
	segmentPrefix = "q-"
	segmentSuffix = ".db"
	brokenSuffix  = ".unreadable"
)

// openChain surveys the chain in dir and begins a new segment in it.
func openChain(dir string, gateway string, epoch record.Epoch, stream record.Stream, released Position, segmentSize int64, log *slog.Logger) (*Chain, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	c := &Chain{
		dir: dir, gateway: gateway, epoch: epoch, stream: stream,
		segmentSize: segmentSize, released: released, handedOut: released,
		log: log.With("stream", stream), grown: make(chan struct{}),
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	for _, entry := range names {
		if strings.HasSuffix(entry.Name(), unfinishedSuffix) {
			os.Remove(filepath.Join(dir, entry.Name()))
			continue
		}
		number, ok := strings.CutPrefix(entry.Name(), segmentPrefix)
		if number, isSegment := strings.CutSuffix(number, segmentSuffix); ok && isSegment {
			if err := c.take(filepath.Join(dir, entry.Name()), number); err != nil {
				return nil, err
			}
		}
		if strings.Contains(entry.Name(), brokenSuffix) {
			c.broken++
		}
	}
	slices.SortFunc(c.segments, func(a, b segment) int { return cmp.Compare(a.first, b.first) })
	c.recall()
	last := c.released
	if n := len(c.segments); n > 0 {
		last = max(last, c.segments[n-1].last)
	}
	if err := c.begin(last + 1); err != nil {
		return nil, err
	}
	return c, c.Release(c.released)
}

// take surveys one file of an earlier process.
func (c *Chain) take(path, number string) error {
	first, err := strconv.ParseUint(number, 10, 64)
	if err != nil || first == 0 {
		return nil
	}
	s, err := survey(path, Position(first))
	switch {
	case errors.Is(err, errDamaged):
		return c.setAside(s, err)
	case err != nil:
		return err
	}
	c.segments = append(c.segments, s)
	return nil
}

// recall finds the newest record and the newest state that earlier processes
// left.
func (c *Chain) recall() {
	for i := len(c.segments) - 1; i >= 0 && c.newest.Gateway == ""; i-- {
		s := c.segments[i]
		if s.last < s.first {
			continue
		}
		db, err := openDB(s.path, true)
		if err != nil {
			c.log.Error("segment can't be read", "path", s.path, "error", err)
			continue
		}
		_, err = scan(db, s.last-1, func(e Entry) bool { c.newest = e.Record.Identity; return true })
		if closeUnless(db, err); err != nil {
			c.log.Error("segment can't be read", "path", s.path, "error", err)
		}
	}
	for i := len(c.segments) - 1; i >= 0 && len(c.state) == 0; i-- {
		state, err := readState(c.segments[i].path)
		if err != nil {
			c.log.Error("the newest state can't be read, an older one is used", "path", c.segments[i].path, "error", err)
		}
		c.state = state
	}
}

// setAside renames a segment that can't be read, so that a person can look at
// it and the chain goes on without it. It is never deleted.
func (c *Chain) setAside(s segment, cause error) error {
	to := s.path + brokenSuffix
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s%s-%d", s.path, brokenSuffix, n)
	}
	if err := os.Rename(s.path, to); err != nil {
		return fmt.Errorf("buffer: set aside unreadable segment: %w", err)
	}
	c.broken++
	c.log.Error("segment is unreadable and was set aside", "path", to, "error", cause)
	return nil
}

// begin starts a new segment whose first record will be at position first, and
// carries the state over into it. On an error the chain is as before.
func (c *Chain) begin(first Position) error {
	path := filepath.Join(c.dir, fmt.Sprintf("%s%020d%s", segmentPrefix, first, segmentSuffix))
	if n := len(c.segments); n > 0 && c.segments[n-1].path == path {
		return c.replaceEmpty(path)
	}
	db, err := createSegment(path, c.state)
	if err != nil {
		return err
	}
	if err := syncDir(c.dir); err != nil {
		db.Close()
		os.Remove(path)
		return err
	}
	c.swap(db)
	c.segments = append(c.segments, segment{path: path, first: first, last: first - 1})
	return nil
}

// replaceEmpty begins a segment in the place of one that holds nothing.
func (c *Chain) replaceEmpty(path string) error {
	db, err := createSegment(path, c.state)
	if err != nil {
		return err
	}
	c.swap(db)
	current := c.current()
	*current = segment{path: path, first: current.first, last: current.last}
	return nil
}

func (c *Chain) swap(db *bolt.DB) {
	if c.writing != nil {
		if err := c.writing.Close(); err != nil {
			c.log.Warn("closing a segment", "error", err)
		}
	}
	c.writing = db
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
	if c.writing == nil || c.current().size >= c.segmentSize {
		if err := c.begin(c.current().last + 1); err != nil {
			return err
		}
	}
	position, seq, err := c.write(items, state)
	if errors.Is(err, errDamaged) {
		c.giveUp(len(c.segments)-1, err)
		if err := c.begin(c.current().last + 1); err != nil {
			return err
		}
		position, seq, err = c.write(items, state)
	}
	if err != nil {
		return fmt.Errorf("buffer: commit to %s: %w", c.current().path, err)
	}
	current := c.current()
	current.last, c.nextSeq = position, seq
	if state != nil {
		c.state = state
	}
	if info, err := os.Stat(current.path); err == nil {
		current.size = info.Size()
	}
	close(c.grown)
	c.grown = make(chan struct{})
	return nil
}

func (c *Chain) current() *segment { return &c.segments[len(c.segments)-1] }

func (c *Chain) write(items []Item, state []byte) (position Position, seq uint64, err error) {
	position, seq = c.current().last, c.nextSeq
	err = guard(func() error {
		return c.writing.Update(func(tx *bolt.Tx) error {
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
	})
	return position, seq, err
}

// State is what the newest commit with a state wrote, nil if there was none.
func (c *Chain) State() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

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
				SeqFirst: before.Last + 1, SeqLast: id.First - 1, Reason: "unreadable",
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
	losses, err := unacknowledged(s, c.released)
	if errors.Is(err, errDamaged) {
		c.segments[0].damaged = err
	} else if err != nil {
		return err
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

// Stats is a chain's size.
type Stats struct {
	Waiting   uint64 // records committed and not released
	Bytes     int64  // on disk, in all segments
	Segments  int
	Broken    int    // files that were set aside as unreadable and are still there
	Committed uint64 // sequence numbers committed in this epoch
}

func (c *Chain) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Segments: len(c.segments), Broken: c.broken, Committed: c.nextSeq}
	if last := c.current().last; last > c.released {
		s.Waiting = uint64(last - c.released)
	}
	for _, seg := range c.segments {
		s.Bytes += seg.size
		if seg.damaged != nil {
			s.Broken++
		}
	}
	return s
}

func (c *Chain) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeReading()
	if c.writing == nil {
		return nil
	}
	return c.writing.Close()
}
