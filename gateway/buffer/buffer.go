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
	broken  int // files of bookkeeping that were set aside

	mu    sync.Mutex
	saved map[record.Stream]mark
	next  time.Time // when the marks may be saved again
}

// mark is how far a stream has come, as meta.db knows it.
type mark struct {
	released  Position
	epoch     record.Epoch
	committed uint64
}

var (
	bucketMeta    = []byte("meta")
	bucketMarks   = []byte("marks")   // stream → released position, epoch, committed, 8 bytes each
	bucketSignals = []byte("signals") // id → definition
	keyStarts     = []byte("starts")
	keyTable      = []byte("table")
)

// saveEvery bounds how often the marks are written: they cost a write to flash,
// and losing them costs a repeated transfer.
const saveEvery = 30 * time.Second

// Open opens or creates the buffer in o.Dir and begins a new epoch. It fails if
// another process holds the directory, if the directory can't be used, or if a
// newer version of the program wrote it; damaged files don't make it fail.
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
	if err := makeDir(o.Dir); err != nil {
		return nil, err
	}
	b := &Buffer{
		epoch: record.Epoch(random64()), maxSize: o.MaxSize, log: o.Log,
		saved: map[record.Stream]mark{}, next: time.Now().Add(saveEvery),
	}
	err := b.openMeta(filepath.Join(o.Dir, "meta.db"))
	if err == nil {
		err = b.openChains(o)
	}
	if err != nil {
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

// openMeta opens the bookkeeping. If it is damaged, it is set aside and begun
// anew: everything that is still on disk is then sent once more, and signals
// get ids of a new table.
func (b *Buffer) openMeta(path string) error {
	err := b.readMeta(path)
	if !errors.Is(err, errDamaged) {
		return err
	}
	b.meta = nil
	aside := fmt.Sprintf("%s%s-%d", path, brokenSuffix, time.Now().UnixNano())
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("buffer: set aside %s: %w", path, err)
	}
	b.broken++
	b.log.Error("the buffer's bookkeeping was unreadable and was set aside; what is on disk is sent again", "path", aside, "error", err)
	return b.readMeta(path)
}

func (b *Buffer) readMeta(path string) (err error) {
	_, err = os.Stat(path)
	if fresh := errors.Is(err, os.ErrNotExist); fresh {
		db, err := createDB(path)
		if err != nil {
			return err
		}
		b.meta = db
	} else if b.meta, err = openDB(path, false); err != nil {
		return err
	}
	if err := prepare(b.meta, bucketMeta, bucketMarks, bucketSignals); err != nil {
		return fmt.Errorf("buffer: %s: %w", path, err)
	}
	err = guard(func() error {
		return b.meta.Update(func(tx *bolt.Tx) error {
			m := tx.Bucket(bucketMeta)
			if v := m.Get(keyStarts); len(v) == 8 {
				b.starts = binary.BigEndian.Uint64(v)
			}
			b.starts++
			for _, stream := range []record.Stream{record.Events, record.Telemetry} {
				if v := tx.Bucket(bucketMarks).Get([]byte(stream)); len(v) == 24 {
					b.saved[stream] = mark{
						positionOf(v), record.Epoch(binary.BigEndian.Uint64(v[8:])), binary.BigEndian.Uint64(v[16:]),
					}
				}
			}
			return m.Put(keyStarts, binary.BigEndian.AppendUint64(nil, b.starts))
		})
	})
	if err == nil {
		b.table, err = openTable(b.meta)
	}
	if err != nil {
		return fmt.Errorf("buffer: %s: %w", path, err)
	}
	return nil
}

func (b *Buffer) openChains(o Options) (err error) {
	chain := func(s record.Stream) (*Chain, error) {
		return openChain(filepath.Join(o.Dir, string(s)), o.Gateway, b.epoch, s, b.saved[s].released, o.SegmentSize, o.Log)
	}
	if b.Events, err = chain(record.Events); err != nil {
		return err
	}
	if b.Telemetry, err = chain(record.Telemetry); err != nil {
		return err
	}
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		b.earlier = append(b.earlier, earlier(c, b.saved[c.stream])...)
	}
	return nil
}

// earlier is how far the newest earlier epochs of a stream had come: as its
// newest record shows, or as the bookkeeping knows where that record is gone.
func earlier(c *Chain, m mark) (list []telemetry.Committed) {
	counts := map[record.Epoch]uint64{}
	if m.committed > 0 {
		counts[m.epoch] = m.committed
	}
	if c.newest.Gateway != "" {
		counts[c.newest.Epoch] = max(counts[c.newest.Epoch], c.newest.Last+1)
	}
	for epoch, count := range counts {
		list = append(list, telemetry.Committed{Epoch: epoch.String(), Stream: string(c.stream), Count: count})
	}
	return list
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

// Broken counts the files that were set aside as unreadable.
func (b *Buffer) Broken() int {
	return b.broken + b.Events.Stats().Broken + b.Telemetry.Stats().Broken
}

// MakeRoom gives up the oldest telemetry until the buffer is within its size
// again, which it usually is. declare records what is lost before it is gone; if
// it can't, nothing is given up.
func (b *Buffer) MakeRoom(declare func([]telemetry.Loss) error) error {
	for b.Events.Stats().Bytes+b.Telemetry.Stats().Bytes+b.Telemetry.segmentSize/4 > b.maxSize {
		if b.Telemetry.Stats().Waiting == 0 {
			break
		}
		if err := b.Telemetry.dropOldest(declare); err != nil {
			return err
		}
		b.log.Warn("the buffer is full; the oldest samples were given up", "max_size", b.maxSize)
	}
	return nil
}

// Save writes how far the streams have come, if the last time was long enough
// ago.
func (b *Buffer) Save() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().Before(b.next) {
		return nil
	}
	return b.save()
}

func (b *Buffer) save() error {
	b.next = time.Now().Add(saveEvery)
	marks := map[record.Stream]mark{}
	changed := false
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		m := mark{c.Released(), b.epoch, c.Stats().Committed}
		if m.committed == 0 {
			m.epoch, m.committed = b.saved[c.stream].epoch, b.saved[c.stream].committed
		}
		marks[c.stream] = m
		changed = changed || m != b.saved[c.stream]
	}
	if !changed {
		return nil
	}
	err := guard(func() error {
		return b.meta.Update(func(tx *bolt.Tx) error {
			for stream, m := range marks {
				value := keyOf(m.released)
				value = binary.BigEndian.AppendUint64(value, uint64(m.epoch))
				value = binary.BigEndian.AppendUint64(value, m.committed)
				if err := tx.Bucket(bucketMarks).Put([]byte(stream), value); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("buffer: save how far the streams have come: %w", err)
	}
	b.saved = marks
	return nil
}

// Close saves how far the streams have come and closes every file.
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
	if b.meta != nil {
		errs = append(errs, b.meta.Close())
	}
	return errors.Join(errs...)
}
