package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry/record"
)

const metaName = "meta.db"

// metaAllocation is by how much the bookkeeping's file grows at a time.
const metaAllocation = 64 << 10

var (
	bucketMeta    = []byte("meta")
	bucketMarks   = []byte("marks")   // stream → mark
	bucketSignals = []byte("signals") // id → definition
	keyStarts     = []byte("starts")
	keyTable      = []byte("table")
	keySum        = []byte("sum") // of the table and its signals
)

// meta is the bookkeeping: what outlives the segments. All of it is in memory, and
// in meta.db as soon as the disk takes it; a gateway runs without that. But nothing
// is committed whose signals aren't in the file, and nothing at all before it is
// this process that holds the file, and no older marks can be taken for those of new
// records.
type meta struct {
	path  string
	space *space
	table *Table
	log   *slog.Logger
	// damaged is told of a file that was set aside.
	damaged func(file string, cause error)

	mu     sync.Mutex // held through each access to the disk
	file   *file      // nil while there is none that is written
	unread error      // why the file that is there couldn't be read; nil if memory goes on from it
	starts uint64
	marks  map[record.Stream]mark
	notes  map[string][]byte // by key

	// opened says that the file has been opened to write: no other process has it, and
	// memory goes on from it. complete says that it has everything that blocks refer to.
	opened, complete atomic.Bool
	refused          atomic.Pointer[refusal]
	broken           atomic.Int32 // files that were set aside
}

// refusal is that a file can't be written.
type refusal struct {
	since time.Time
	cause error
}

// load reads the file, if there is one. On an error the buffer isn't to be opened.
// A file that can't be read is replaced later; signals then get ids of a new table,
// and everything that is on disk is sent once more.
func (m *meta) load() error {
	err := m.read()
	switch {
	case errors.Is(err, errLocked), errors.Is(err, errNewer):
		return err
	case err != nil && !errors.Is(err, os.ErrNotExist):
		m.unread, m.starts, m.marks, m.notes = err, 0, map[record.Stream]mark{}, map[string][]byte{}
		m.table.clear()
	}
	m.starts++
	m.table.name()
	return nil
}

func (m *meta) read() (err error) {
	if err := checkSize(m.path); err != nil {
		return err
	}
	if err := checkBranches(m.path); err != nil {
		return err
	}
	f, err := openFile(m.path)
	if err != nil {
		return err
	}
	defer func() { f.end(err) }()
	err = guard(func() error { return f.View(m.take) })
	if err != nil {
		return fmt.Errorf("buffer: read %s: %w", m.path, err)
	}
	return nil
}

// take takes what the file has into memory.
func (m *meta) take(tx *bolt.Tx) error {
	format := tx.Bucket(bucketFormat)
	if format == nil {
		return fmt.Errorf("%w: it names no format version", errDamaged)
	}
	if err := checkVersion(format.Get(keyVersion)); err != nil {
		return err
	}
	if b := tx.Bucket(bucketMeta); b != nil {
		if v := b.Get(keyStarts); len(v) == 8 {
			m.starts = binary.BigEndian.Uint64(v)
		}
		for _, key := range [][]byte{keyClock, keyLinks, keyMains} {
			notes := b.Get(key)
			if int64(len(notes)) > tx.Size() {
				return fmt.Errorf("%w: notes of %d bytes", errDamaged, len(notes))
			}
			if notes != nil {
				m.notes[string(key)] = bytes.Clone(notes)
			}
		}
		m.table.take(b.Get(keyTable), b.Get(keySum))
	}
	if b := tx.Bucket(bucketMarks); b != nil {
		for _, stream := range []record.Stream{record.Events, record.Telemetry} {
			if v := b.Get([]byte(stream)); int64(len(v)) <= tx.Size() {
				m.marks[stream] = markIn(v)
			}
		}
	}
	return m.table.load(tx.Bucket(bucketSignals))
}

// settle puts what is in memory on disk, as far as it isn't there.
func (m *meta) settle() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.update(m.fill)
}

// update puts a change of what is in memory on disk. If the file doesn't take it,
// all that is in memory goes into a file that does.
func (m *meta) update(change func(*bolt.Tx) error) (err error) {
	if m.file != nil && !m.file.isAt(m.path) { // what is written to it is gone when it is closed
		m.file.end(nil)
		m.file = nil
	}
	if m.refused.Load() != nil {
		change = m.fill // what was refused before isn't on disk either
	}
	if m.file != nil {
		if err = guard(func() error { return m.file.Update(change) }); err != nil && !errors.Is(err, syscall.ENOSPC) {
			// What the kernel believes to be on the disk may not be there.
			m.file.end(err)
			m.file = nil
		}
	}
	if m.file == nil {
		err = m.open()
	}
	if err != nil {
		r := refusal{time.Now(), err}
		if before := m.refused.Load(); before != nil {
			r.since = before.since
		}
		if m.refused.Swap(&r) == nil {
			m.log.Error("the buffer's bookkeeping can't be written; it is kept in memory and tried again", "error", err)
		}
		return err
	}
	m.complete.Store(true)
	m.opened.Store(true)
	m.table.saved()
	m.space.setMeta(sizeAt(m.path))
	if m.refused.Swap(nil) != nil {
		m.log.Info("the buffer's bookkeeping is written again")
	}
	return nil
}

// open opens the file, or makes it, and writes into it what it lacks.
func (m *meta) open() error {
	if err := makeDir(filepath.Dir(m.path)); err != nil {
		return err
	}
	_, err := os.Lstat(m.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return m.make()
	case err != nil:
		return fmt.Errorf("buffer: %w", err)
	case m.unread != nil:
		return m.replace(m.unread)
	}
	f, err := openToWrite(m.path)
	if err == nil {
		if err = guard(func() error { return f.Update(m.fill) }); err == nil {
			m.file = f
			return nil
		}
		f.end(err)
	}
	switch {
	case errors.Is(err, errDamaged):
		return m.replace(err)
	case errors.Is(err, errLocked), errors.Is(err, errNewer), errors.Is(err, errOthers), errors.Is(err, syscall.ENOSPC):
		return err
	}
	if m.make() == nil { // in the place of one that may only be read
		return nil
	}
	return err
}

func openToWrite(path string) (*file, error) {
	if err := checkSize(path); err != nil {
		return nil, err
	}
	if err := checkPages(path); err != nil {
		return nil, err
	}
	return openForWriting(path, metaAllocation)
}

// replace sets the file aside and begins a new one.
func (m *meta) replace(cause error) error {
	aside := fmt.Sprintf("%s%s-%d", m.path, brokenSuffix, time.Now().UnixNano())
	if err := os.Rename(m.path, aside); err != nil {
		return fmt.Errorf("buffer: set aside %s: %w: %w", m.path, err, cause)
	}
	m.space.settleAside(sizeAt(aside))
	m.broken.Add(1)
	m.damaged(filepath.Base(aside), cause)
	if m.unread != nil {
		m.log.Error("the buffer's bookkeeping was unreadable and was set aside; what is on disk is sent again", "path", aside, "error", cause)
	} else {
		m.log.Error("the buffer's bookkeeping was damaged and was set aside; it is written anew", "path", aside, "error", cause)
	}
	m.unread = nil
	return m.make()
}

func (m *meta) make() (err error) {
	m.file, err = create(m.path, metaAllocation, m.fill)
	return err
}

// errOthers is what writing fails with where the file isn't the one that was there
// when the buffer was opened.
var errOthers = errors.New("it has another signal table than this process: another file system was mounted here")

// fill puts into a file what is in memory.
func (m *meta) fill(tx *bolt.Tx) error {
	if err := checkVersion(tx.Bucket(bucketFormat).Get(keyVersion)); err != nil {
		return err
	}
	if err := tx.Bucket(bucketFormat).Put(keyVersion, []byte{formatVersion}); err != nil {
		return err
	}
	for _, name := range [][]byte{bucketMeta, bucketMarks, bucketSignals} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	b := tx.Bucket(bucketMeta)
	table := binary.BigEndian.AppendUint64(nil, m.table.Ref().Table)
	if there := b.Get(keyTable); len(there) == 8 && !bytes.Equal(there, table) {
		return errOthers
	}
	if err := b.Put(keyTable, table); err != nil {
		return err
	}
	if err := b.Put(keyStarts, binary.BigEndian.AppendUint64(nil, m.starts)); err != nil {
		return err
	}
	for key, notes := range m.notes {
		if err := b.Put([]byte(key), notes); err != nil {
			return err
		}
	}
	if err := m.putMarks(tx); err != nil {
		return err
	}
	return m.table.put(tx)
}

func (m *meta) putMarks(tx *bolt.Tx) error {
	for stream, mark := range m.marks {
		if err := tx.Bucket(bucketMarks).Put([]byte(stream), mark.append(nil)); err != nil {
			return err
		}
	}
	return nil
}

// saveMarks replaces the marks.
func (m *meta) saveMarks(marks map[record.Stream]mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marks = marks
	if err := m.update(m.putMarks); err != nil {
		return fmt.Errorf("buffer: save how far the streams have come: %w", err)
	}
	return nil
}

// close ends the writing of the file.
func (m *meta) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil
	}
	file := m.file
	m.file = nil
	return file.end(nil)
}

// Refused says since when the buffer's bookkeeping can't be written, and why; since
// is zero while it can. Commits may succeed all the same.
func (b *Buffer) Refused() (since time.Time, cause error) {
	if r := b.meta.refused.Load(); r != nil {
		return r.since, r.cause
	}
	return time.Time{}, nil
}

// readyFor says whether records of a stream may be committed, after another try
// where they may not.
func (m *meta) readyFor(stream record.Stream) error {
	ready := &m.complete
	if stream == record.Events { // they name no signals
		ready = &m.opened
	}
	if ready.Load() {
		return nil
	}
	return m.settle()
}
