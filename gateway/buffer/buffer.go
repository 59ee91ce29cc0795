// Package buffer keeps what the gateway has accepted on disk until the log has
// acknowledged it. It is a directory of bbolt files: one chain of segments for
// each stream and a small file for what outlives them. A file that can't be
// read is set aside and reported, never deleted.
package buffer

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Options says where and how large a buffer is.
type Options struct {
	Dir     string
	Gateway string
	// MaxSize bounds the bytes of both chains' files. When they reach it, the
	// oldest telemetry segment is given up. 0 means 1 GiB.
	MaxSize int64
	// SegmentSize is when a new file is begun; 0 chooses a sixteenth of MaxSize,
	// at most 256 MiB, and 64 MiB on 32-bit machines.
	SegmentSize int64
	Log         *slog.Logger
}

// Buffer is an open buffer directory, which belongs to one process at a time.
type Buffer struct {
	Events    *Chain
	Telemetry *Chain

	epoch   record.Epoch
	starts  uint64
	earlier []telemetry.Committed
	table   *Table
	maxSize int64
	log     *slog.Logger
	meta    *bolt.DB

	mu        sync.Mutex
	persisted map[record.Stream]Position
	saved     time.Time
}

var (
	bucketMeta     = []byte("meta")
	bucketReleased = []byte("released") // stream → position
	bucketSignals  = []byte("signals")  // id → definition
	keyStarts      = []byte("starts")
	keyTable       = []byte("table")
)

// saveEvery bounds how often the released positions are written: they cost a
// write to flash, and losing them costs only a repeated transfer.
const saveEvery = 30 * time.Second

// Open opens or creates the buffer in o.Dir and begins a new epoch. It fails if
// another process holds the directory.
func Open(o Options) (*Buffer, error) {
	if o.MaxSize == 0 {
		o.MaxSize = 1 << 30
	}
	if o.SegmentSize == 0 {
		largest := int64(256 << 20)
		if bits.UintSize == 32 {
			largest = 64 << 20
		}
		o.SegmentSize = min(largest, o.MaxSize/16)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	meta, err := createDB(filepath.Join(o.Dir, "meta.db"), bucketMeta, bucketReleased, bucketSignals)
	if err != nil {
		return nil, err
	}
	b := &Buffer{
		epoch: record.Epoch(random64()), maxSize: o.MaxSize, log: o.Log, meta: meta,
		persisted: map[record.Stream]Position{}, saved: time.Now(),
	}
	if err := b.open(o); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func random64() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

func (b *Buffer) open(o Options) error {
	err := b.meta.Update(func(tx *bolt.Tx) error {
		m := tx.Bucket(bucketMeta)
		if v := m.Get(keyStarts); len(v) == 8 {
			b.starts = binary.BigEndian.Uint64(v)
		}
		b.starts++
		for _, stream := range []record.Stream{record.Events, record.Telemetry} {
			if v := tx.Bucket(bucketReleased).Get([]byte(stream)); len(v) == 8 {
				b.persisted[stream] = positionOf(v)
			}
		}
		return m.Put(keyStarts, binary.BigEndian.AppendUint64(nil, b.starts))
	})
	if err != nil {
		return fmt.Errorf("buffer: %s: %w", b.meta.Path(), err)
	}
	if b.table, err = openTable(b.meta); err != nil {
		return err
	}
	chain := func(s record.Stream) (*Chain, error) {
		return openChain(filepath.Join(o.Dir, string(s)), o.Gateway, b.epoch, s, b.persisted[s], o.SegmentSize, o.Log)
	}
	if b.Events, err = chain(record.Events); err != nil {
		return err
	}
	if b.Telemetry, err = chain(record.Telemetry); err != nil {
		return err
	}
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		if id, ok := c.newest(); ok {
			b.earlier = append(b.earlier, telemetry.Committed{
				Epoch: id.Epoch.String(), Stream: string(id.Stream), Count: id.Last + 1,
			})
		}
	}
	return nil
}

// Epoch is the random number of this opening; sequence numbers count within it.
func (b *Buffer) Epoch() record.Epoch { return b.epoch }

// Starts counts the openings of this directory, this one included.
func (b *Buffer) Starts() uint64 { return b.starts }

// Earlier says how far the newest earlier epoch of each stream had been
// committed when the directory was opened.
func (b *Buffer) Earlier() []telemetry.Committed { return b.earlier }

// Committed says how far this epoch has been committed.
func (b *Buffer) Committed() []telemetry.Committed {
	var out []telemetry.Committed
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		out = append(out, telemetry.Committed{
			Epoch: b.epoch.String(), Stream: string(c.stream), Count: c.Stats().Committed,
		})
	}
	return out
}

// Table is the signal table that the telemetry chain's blocks refer to.
func (b *Buffer) Table() *Table { return b.table }

// MakeRoom gives up the oldest telemetry until the buffer is within its size
// again, and returns what was lost by it: usually nothing.
func (b *Buffer) MakeRoom() ([]telemetry.Loss, error) {
	var losses []telemetry.Loss
	for b.Events.Stats().Bytes+b.Telemetry.Stats().Bytes+b.Telemetry.segmentSize/4 > b.maxSize {
		lost, err := b.Telemetry.dropOldest()
		losses = append(losses, lost...)
		if err != nil {
			return losses, err
		}
		if b.Telemetry.Stats().Waiting == 0 {
			break
		}
	}
	if len(losses) > 0 {
		b.log.Warn("the buffer is full; the oldest samples were given up", "max_size", b.maxSize, "ranges", len(losses))
	}
	return losses, nil
}

// Save writes the released positions if they have changed and the last time
// was long enough ago.
func (b *Buffer) Save() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.saved) < saveEvery {
		return nil
	}
	return b.save()
}

func (b *Buffer) save() error {
	b.saved = time.Now()
	now := map[record.Stream]Position{}
	changed := false
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		now[c.stream] = c.Released()
		changed = changed || now[c.stream] != b.persisted[c.stream]
	}
	if !changed {
		return nil
	}
	err := b.meta.Update(func(tx *bolt.Tx) error {
		for stream, p := range now {
			if err := tx.Bucket(bucketReleased).Put([]byte(stream), keyOf(p)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("buffer: save released positions: %w", err)
	}
	b.persisted = now
	return nil
}

// Close saves the released positions and closes every file.
func (b *Buffer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	if b.Events != nil && b.Telemetry != nil {
		errs = append(errs, b.save())
	}
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(append(errs, b.meta.Close())...)
}
