package buffer

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

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
// use.
//
// Only files that this process began are written. A file that turns out to be
// damaged keeps its place until what can be read of it is acknowledged and the
// rest is declared as lost.
type Chain struct {
	dir         string
	gateway     string
	epoch       record.Epoch
	stream      record.Stream
	segmentSize int64
	lane        lane
	space       *space
	sign        func(*record.Record) error
	ready       func() error // whether anything may be committed
	saved       ranges       // what was done when the buffer was opened
	damaged     func(file string, cause error)
	log         *slog.Logger
	reading     chan struct{}           // holds a token for each file that may be open for reading
	counts      map[record.Epoch]uint64 // of sequence numbers of earlier epochs, as found when it was opened

	// numbering is held while records get the numbers behind all others. It is taken
	// before commits, and that before mu.
	numbering sync.Mutex
	// commits is held through a commit and while files come and go, so that
	// nothing else waits for the disk.
	commits sync.Mutex
	values  []byte // the records of a commit, one behind the other
	nextSeq uint64 // of this epoch, behind what is on disk; changed under commits and mu
	blind   error  // why the chain couldn't be read; changed under commits and mu
	absent  bool   // the directory couldn't be made yet
	begun   string // the file that was begun last, or failed to be

	mu       sync.Mutex
	segments []*segment // ascending
	leaving  []*segment // done, and still to be removed
	writing  *file      // the last segment's, nil if it isn't to be written; changed under commits and mu
	state    []byte     // as last committed
	last     Position   // of the newest record on disk; changed under commits and mu
	done     ranges     // positions acknowledged, declared as lost, or gone with their files
	missing  ranges     // positions that nobody can read, to be declared
	apart    ranges     // positions in files that can't be opened
	readers  []*Reader
	grown    chan struct{} // closed and replaced at every commit, and when something is held
	broken   int
	latency  latency
	grew     int64 // bytes that commits have taken since the start

	// What readers have before it is committed. It is added to under numbering.
	held      []Entry // behind last, in order; with gaps where the oldest was given up
	heldBytes int
	heldState []byte        // to be committed with the last of them; nil: none
	underway  int           // how many of them, the oldest, a commit is writing
	holding   chan struct{} // holds one when something was held
	discarded ranges        // sequence numbers that memory couldn't hold, to be declared

	// makeRoom gives up the oldest; nil while nobody could declare it.
	makeRoom   func(telemetry.LossReason) (dropped bool, err error)
	dropped    atomic.Uint64 // segments, as is
	thinned    atomic.Uint64
	declaring  atomic.Bool // a commit declares what is given up, and may take the last room
	allocation int         // by which files grow
}

const (
	segmentPrefix = "q-"
	segmentSuffix = ".db"
	brokenSuffix  = ".unreadable"
)

// Commit writes items, and state if it isn't nil, in one transaction, and
// returns when they are on disk; readers have them then. They take the next
// sequence numbers of the epoch, so a Hold waits meanwhile, and what is held is
// written before. On an error nothing of them was written and the same items can
// be committed again. If the stream's share of the buffer or the disk is full, the oldest that
// the stream has is given up first; beside a Writer that runs, the commit doesn't wait for
// that, and fails.
func (c *Chain) Commit(items []Item, state []byte) error {
	return c.persist(func() error { return c.commit(items, state) })
}

// persist makes a commit, and room for it if need be.
func (c *Chain) persist(commit func() error) error {
	for attempt := 1; ; attempt++ {
		started := time.Now()
		err := commit()
		c.note(time.Since(started), err)
		reason := telemetry.LostBufferFull
		switch {
		case errors.Is(err, syscall.ENOSPC):
			reason = telemetry.LostDiskFull
		case !errors.Is(err, errNoRoom):
			return err
		}
		if c.makeRoom == nil || c.declaring.Load() || attempt == attemptsForRoom {
			return err
		}
		if dropped, cause := c.makeRoom(reason); !dropped {
			return errors.Join(err, cause)
		}
	}
}

// wake tells whoever waits that there are new records.
func (c *Chain) wake() {
	close(c.grown)
	c.grown = make(chan struct{})
}

// attemptsForRoom bounds how many segments are given up for one commit.
const attemptsForRoom = 64

// commit is Commit without making room.
func (c *Chain) commit(items []Item, state []byte) error {
	c.numbering.Lock()
	defer c.numbering.Unlock()
	c.commits.Lock()
	defer c.commits.Unlock()
	if err := c.writeHeld(Newest); err != nil {
		return err
	}
	entries, err := c.numbered(items)
	if err == nil && (len(entries) > 0 || state != nil) {
		_, err = c.put(entries, state)
	}
	return err
}

// numbered makes signed records of items, with the numbers behind all others.
func (c *Chain) numbered(items []Item) ([]Entry, error) {
	c.mu.Lock()
	position, seq := c.end(), c.nextSeq
	if n := len(c.held); n > 0 {
		seq = c.held[n-1].Record.Last + 1
	}
	c.mu.Unlock()
	entries := make([]Entry, len(items))
	for i, item := range items {
		position++
		r := record.Record{
			Identity: record.Identity{Gateway: c.gateway, Epoch: c.epoch, Stream: c.stream, First: seq, Last: seq + item.Count - 1},
			Format:   item.Format, Payload: item.Payload,
		}
		if c.sign != nil {
			if err := c.sign(&r); err != nil {
				return nil, fmt.Errorf("buffer: sign record %s: %w", r.Identity, err)
			}
		}
		seq += item.Count
		entries[i] = Entry{position, r}
	}
	return entries, nil
}

// put writes records and state in one transaction; c.commits is held. It returns
// the position of the newest record on disk.
func (c *Chain) put(entries []Entry, state []byte) (Position, error) {
	if err := c.prepare(); err != nil {
		return 0, fmt.Errorf("buffer: commit to %s: %w", c.dir, err)
	}
	if len(entries) > 0 {
		c.passOver(entries[0])
	}
	if c.mustBegin() {
		if err := c.begin(); err != nil {
			return 0, err
		}
	}
	current := c.writingTo()
	err := c.claimAndWrite(current, entries, state)
	if errors.Is(err, errDamaged) {
		c.log.Error("the segment that was being written is damaged; a new one is begun", "path", current.path, "error", err)
		c.abandon(err)
		if err := c.begin(); err != nil {
			return 0, err
		}
		current = c.writingTo()
		err = c.claimAndWrite(current, entries, state)
	}
	if err != nil {
		// After a failed write or flush, the kernel may believe that pages are on the
		// disk which aren't. What was committed before stays readable.
		if !errors.Is(err, errNoRoom) && !errors.Is(err, syscall.ENOSPC) {
			c.abandon(err)
		}
		return 0, fmt.Errorf("buffer: commit to %s: %w", current.path, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(entries); n > 0 {
		current.last, c.last, c.nextSeq = entries[n-1].Position, entries[n-1].Position, entries[n-1].Record.Last+1
		current.end.seq = c.nextSeq
	}
	if state != nil {
		c.state = state
	}
	c.dropHeld()
	c.wake()
	return c.last, nil
}

// passOver goes on at the record if what came before it was given up instead of
// being written. That is a gap, which only the bounds of a file can tell.
func (c *Chain) passOver(e Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last+1 < e.Position {
		c.last, c.nextSeq = e.Position-1, e.Record.First
	}
}

// claimAndWrite claims the room that the file may need, writes, and gives back
// what it didn't need.
func (c *Chain) claimAndWrite(current *segment, entries []Entry, state []byte) error {
	claimed := growth(entries, state, c.writing.AllocSize)
	if err := c.space.claim(c.lane, claimed, c.keep()); err != nil {
		return err
	}
	c.writing.MaxSize = int(current.size + claimed)
	err := c.write(entries, state)
	if errors.Is(err, bolterrors.ErrMaxSizeReached) {
		err = fmt.Errorf("%w: %w", errNoRoom, err)
	}
	c.resize(current, claimed)
	return err
}

// keep is how much of the room a commit has to leave free.
func (c *Chain) keep() int64 {
	if c.lane == eventsLane && !c.declaring.Load() {
		return c.space.declarations()
	}
	return 0
}

// resize looks how large a segment's file is, which had claimed more.
func (c *Chain) resize(s *segment, claimed int64) {
	size := sizeAt(s.path)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.space.settle(c.lane, claimed, size-s.size)
	c.grew += size - s.size
	s.size = size
}

// current is the segment that is being written, or the last one.
func (c *Chain) current() *segment { return c.segments[len(c.segments)-1] }

// writingTo is the segment that a commit writes to.
func (c *Chain) writingTo() *segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current()
}

func (c *Chain) mustBegin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writing == nil || c.current().size >= c.segmentSize || c.current().last != c.last
}

// abandon ends the writing of the current segment after a failure. It is read as
// far as it goes.
func (c *Chain) abandon(cause error) {
	c.mu.Lock()
	old := c.writing
	c.writing = nil
	c.mu.Unlock()
	if old == nil {
		return
	}
	if err := old.end(cause); err != nil {
		c.log.Warn("closing a segment", "error", err)
	}
}

// begin starts a new segment and carries the state over into it. On an error the
// chain is as before.
func (c *Chain) begin() error {
	c.mu.Lock()
	first, state := c.last+1, c.state
	var before edge
	if len(c.segments) > 0 && c.current().last+1 == first { // else what is between was given up
		before = c.current().start
	}
	path := filepath.Join(c.dir, fmt.Sprintf("%s%020d%s", segmentPrefix, first, segmentSuffix))
	replaces := len(c.segments) > 0 && c.current().path == path // which holds nothing
	c.mu.Unlock()
	err := c.ready()
	if err == nil && c.absent {
		if err = makeDir(c.dir); err == nil {
			c.absent = false
		}
	}
	if err == nil && !replaces {
		err = c.vacate(path)
	}
	if err != nil {
		return fmt.Errorf("buffer: begin %s: %w", path, err)
	}
	c.begun = path
	start := edge{c.epoch, c.nextSeq, true}
	claimed := beginning(state, c.allocation)
	if err := c.space.claim(c.lane, claimed, c.keep()); err != nil {
		return fmt.Errorf("buffer: begin %s: %w", path, err)
	}
	f, err := createSegment(path, c.allocation, start, before, state)
	if err != nil {
		c.space.settle(c.lane, claimed, 0)
		if replaces { // the file that is being written may have lost its name
			c.abandon(nil)
		}
		return err
	}
	size := sizeAt(path)
	c.space.settle(c.lane, claimed, size)
	c.mu.Lock()
	old := c.writing
	if replaces {
		c.space.settle(c.lane, c.current().size, 0)
		c.segments = c.segments[:len(c.segments)-1]
	}
	c.grew += size
	c.segments = append(c.segments, &segment{path: path, first: first, last: first - 1, size: size, start: start, end: start, before: before})
	c.writing = f
	c.retire()
	c.mu.Unlock()
	if old != nil {
		if err := old.end(nil); err != nil {
			c.log.Warn("closing a segment", "error", err)
		}
	}
	c.sweep()
	return nil
}

// vacate makes sure that a new file takes no other one's place. One that is still
// there from a failure to begin it may go.
func (c *Chain) vacate(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) || path == c.begun {
		return nil
	}
	if err := c.sweep(); err != nil {
		return err
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("a file is there that wasn't when the buffer was opened (%v): another file system was mounted here", err)
	}
	return nil
}

func (c *Chain) write(entries []Entry, state []byte) error {
	c.values = c.values[:0]
	return guard(func() error {
		return c.writing.Update(func(tx *bolt.Tx) error {
			records := tx.Bucket(bucketRecords)
			records.FillPercent = 1 // keys only grow
			for _, e := range entries {
				start := len(c.values)
				var err error
				if c.values, err = e.Record.AppendBinary(c.values); err != nil {
					return err
				}
				if err := put(records, keyOf(e.Position), c.values[start:len(c.values):len(c.values)]); err != nil {
					return err
				}
			}
			if state != nil {
				return tx.Bucket(bucketState).Put(keyState, state)
			}
			return nil
		})
	})
}

// State is what the newest commit with a state wrote, nil if there was none.
func (c *Chain) State() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Released is the position up to which everything was acknowledged, dropped or
// damaged.
func (c *Chain) Released() Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done.through()
}

// End is the position of the newest record, committed or held; 0 if there never
// was one.
func (c *Chain) End() Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end()
}

func (c *Chain) end() Position {
	if n := len(c.held); n > 0 {
		return c.held[n-1].Position
	}
	return c.last
}

// mark is how far the chain has come, to be saved.
func (c *Chain) mark() mark {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blind != nil {
		return mark{done: slices.Clone(c.saved)}
	}
	return mark{slices.Clone(c.done), c.epoch, c.nextSeq}
}

func (c *Chain) close() error {
	c.commits.Lock()
	defer c.commits.Unlock()
	c.mu.Lock()
	writing := c.writing
	c.writing = nil
	c.mu.Unlock()
	if writing == nil {
		return nil
	}
	return writing.end(nil)
}
