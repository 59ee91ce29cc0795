package buffer

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"

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
	sign        func(*record.Record) error // nil: don't
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
				if c.sign != nil {
					if err := c.sign(&r); err != nil {
						return err
					}
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
