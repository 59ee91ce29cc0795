// Package buffer keeps what the gateway has accepted on disk until the log has
// acknowledged it. It is a directory of bbolt files: one chain of segments for
// each stream and a small file for what outlives them. A file that can't be
// read is set aside and reported, never deleted.
package buffer

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Options says where and how large a buffer is.
type Options struct {
	Dir     string
	Gateway string
	// MaxSize bounds the bytes of everything in Dir. Before they reach it, telemetry
	// is thinned, and then the oldest is given up. Files that were set aside as
	// unreadable count, but at most three quarters. 0 means 1 GiB.
	MaxSize int64
	// ReserveForEvents is the part of MaxSize that telemetry never takes. Events
	// take it and what is free. 0 means 64 MiB; it is at most a quarter of MaxSize.
	ReserveForEvents int64
	// SegmentSize is when a new file is begun; 0 chooses a sixteenth of MaxSize,
	// at most 256 MiB, and 64 MiB on 32-bit machines.
	SegmentSize int64
	// Sign signs each record as it is committed or thinned; nil leaves them
	// unsigned. On its error nothing is committed.
	Sign func(*record.Record) error
	// Damaged is told, on a Writer's goroutine, of each file that was set aside; nil
	// for nobody. On its error it is told again.
	Damaged func(telemetry.Damage) error
	// Now is the present, which the loss of samples is told under that count from the
	// boot; nil: there are none. Open doesn't call it.
	Now func() telemetry.Micros
	// Progress, unless it is nil, is called by Open after each file that it has looked
	// through, however long that took.
	Progress func()
	Log      *slog.Logger
}

// Buffer is an open buffer directory, which belongs to one process at a time.
type Buffer struct {
	Events    *Chain
	Telemetry *Chain

	epoch   record.Epoch
	earlier []telemetry.Committed
	table   *Table
	space   *space
	reading chan struct{} // see Chain.reading
	log     *slog.Logger
	declare func([]telemetry.Loss) error // nil until there is a Writer

	filling    rate
	relief     relief
	dropping   sync.Mutex       // held while something is given up
	pressed    func() bool      // whether memory can't take much more; nil: nobody knows
	fullSince  time.Time        // of the full disk that was met last
	fullMet    time.Time        // when it was
	undeclared []telemetry.Loss // given up, and the disk was too full to say so
	meta       *meta
	damaged    func(telemetry.Damage) error
	now        func() telemetry.Micros

	damagesMu sync.Mutex
	damages   []telemetry.Damage // to be told

	mu    sync.Mutex
	saved map[record.Stream]mark
	next  time.Time // when the marks may be saved again
}

// The marks cost a write to flash, and losing them costs a repeated transfer: they
// are saved at most every saveEvery, and when that would be of so many records or
// the last time is long ago.
const (
	saveEvery  = 30 * time.Second
	saveAtLast = 5 * time.Minute
	worthSave  = 256 // records
)

// Open opens or creates the buffer in o.Dir and begins a new epoch. It fails if
// another process holds the directory, if o.Dir can't be a directory, or if a newer
// version of the program wrote it. Damaged files don't make it fail, nor does a disk
// that can't be written, or not even read: then commits fail, until it can.
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
	if o.ReserveForEvents == 0 {
		o.ReserveForEvents = 64 << 20
	}
	o.ReserveForEvents = min(o.ReserveForEvents, o.MaxSize/4)
	if err := makeDir(o.Dir); errors.Is(err, syscall.ENOTDIR) {
		return nil, err
	} else if info, err := os.Stat(o.Dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("buffer: %s is no directory", o.Dir)
	}
	if o.Now == nil {
		o.Now = func() telemetry.Micros { return 0 }
	}
	if o.Progress == nil {
		o.Progress = func() {}
	}
	b := &Buffer{
		epoch: record.Epoch(random64()), log: o.Log, damaged: o.Damaged, now: o.Now,
		space: &space{limit: o.MaxSize, reserve: o.ReserveForEvents}, reading: make(chan struct{}, filesForReading),
		next: time.Now().Add(saveEvery), relief: relief{wake: make(chan struct{}, 1)},
	}
	err := b.openMeta(filepath.Join(o.Dir, metaName))
	if err == nil {
		b.countOthers(o.Dir)
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

// openMeta opens the bookkeeping. That the disk doesn't take it is no error.
func (b *Buffer) openMeta(path string) error {
	m := &meta{path: path, space: b.space, log: b.log, damaged: b.noteDamage, marks: map[record.Stream]mark{}, notes: map[string][]byte{}}
	m.table = newTable(m)
	b.meta, b.table = m, m.table
	if err := m.load(); err != nil {
		return err
	}
	if err := m.settle(); errors.Is(err, errLocked) || errors.Is(err, errNewer) {
		return err
	}
	b.saved = maps.Clone(m.marks)
	b.space.setMeta(sizeAt(path))
	return nil
}

// countOthers counts what else is in the directory.
func (b *Buffer) countOthers(dir string) {
	b.space.aside, b.space.other = 0, 0
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.log.Error("the buffer's directory can't be read", "path", dir, "error", err)
	}
	for _, e := range entries {
		switch size := sizeAt(filepath.Join(dir, e.Name())); {
		case !e.Type().IsRegular() || e.Name() == metaName:
		case strings.Contains(e.Name(), brokenSuffix):
			b.space.aside += size
		default:
			b.space.other += size
		}
	}
}

// noteDamage keeps the news of a file that was set aside until it is told.
func (b *Buffer) noteDamage(file string, cause error) {
	b.damagesMu.Lock()
	defer b.damagesMu.Unlock()
	b.damages = append(b.damages, telemetry.Damage{File: file, Cause: cause.Error()})
}

// tellDamages tells of the files that were set aside.
func (b *Buffer) tellDamages() error {
	b.damagesMu.Lock()
	damages := b.damages
	b.damagesMu.Unlock()
	for _, d := range damages {
		if b.damaged != nil {
			if err := b.damaged(d); err != nil {
				return fmt.Errorf("buffer: report that %s was set aside: %w", d.File, err)
			}
		}
		b.damagesMu.Lock()
		b.damages = b.damages[1:]
		b.damagesMu.Unlock()
	}
	return nil
}

func (b *Buffer) openChains(o Options) (err error) {
	chain := func(s record.Stream) (*Chain, error) { return openChain(filepath.Join(o.Dir, string(s)), s, b, o) }
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

// earlier is how far earlier epochs of a stream had come: as their newest records
// show, or as the bookkeeping knows of the newest epoch where that record is gone.
func earlier(c *Chain, m mark) (list []telemetry.Committed) {
	counts := maps.Clone(c.counts)
	if m.committed > 0 {
		counts[m.epoch] = max(counts[m.epoch], m.committed)
	}
	for epoch, count := range counts {
		list = append(list, telemetry.Committed{Epoch: epoch.String(), Stream: string(c.stream), Count: count})
	}
	slices.SortFunc(list, func(a, b telemetry.Committed) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return list
}

// Epoch is the random number of this opening; sequence numbers count within it.
func (b *Buffer) Epoch() record.Epoch { return b.epoch }

// Starts counts the openings of this directory, this one included, since its
// bookkeeping could be read last.
func (b *Buffer) Starts() uint64 { return b.meta.starts }

// Earlier says how far the earlier epochs of each stream of which records are on
// disk, and the newest one, had been committed when the directory was opened.
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
	return int(b.meta.broken.Load()) + b.Events.Stats().Broken + b.Telemetry.Stats().Broken
}

// Save writes how far the streams have come, if it is worth it.
func (b *Buffer) Save() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.meta.complete.Load() {
		if err := b.meta.settle(); err != nil {
			return err
		}
	}
	late := time.Since(b.next)
	if late < 0 || late < saveAtLast-saveEvery && b.unsaved() < worthSave {
		return nil
	}
	return b.save()
}

// unsaved is how many records were done since the marks were saved.
func (b *Buffer) unsaved() (n uint64) {
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		n += c.mark().done.count() - b.saved[c.stream].done.count()
	}
	return n
}

func (b *Buffer) save() error {
	b.next = time.Now().Add(saveEvery)
	marks := map[record.Stream]mark{}
	changed := false
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		m := c.mark()
		if m.committed == 0 {
			m.epoch, m.committed = b.saved[c.stream].epoch, b.saved[c.stream].committed
		}
		marks[c.stream] = m
		changed = changed || !m.equal(b.saved[c.stream])
	}
	if !changed {
		return nil
	}
	if err := b.meta.saveMarks(marks); err != nil {
		return err
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
		errs = append(errs, b.meta.close())
	}
	return errors.Join(errs...)
}
