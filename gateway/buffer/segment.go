package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/busbar/busbar/telemetry/record"
)

// formatVersion is written into every file. A file of a newer version is left
// alone, and opening the buffer is refused.
const formatVersion = 1

var (
	bucketFormat  = []byte("format")
	bucketRecords = []byte("records") // position, 8 bytes big-endian → record, or a bucket with it
	bucketState   = []byte("state")   // what was committed together with records
	keyVersion    = []byte("version")
	keyState      = []byte("rules")
	keyRecord     = []byte("record")
)

// segment is one file of a chain: consecutive records from position first on.
type segment struct {
	path  string
	first Position
	last  Position // first−1 while it holds none
	size  int64    // bytes of the file
	// damaged is why the records behind the readable ones can't be read. Such a
	// file is set aside, not removed, when it is released.
	damaged error
}

// errDamaged is what reading a file fails with because of the file's content. Any
// other error is the machine's, and may pass.
var errDamaged = errors.New("the file is damaged")

// guard turns the panics and page faults with which bbolt meets a damaged file
// into errors.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}

// closeUnless closes db unless err says that it is damaged: bbolt may then have
// kept a lock that closing would wait for.
func closeUnless(db *bolt.DB, err error) {
	if !errors.Is(err, errDamaged) {
		db.Close()
	}
}

// openDB opens a file that is there.
func openDB(path string, readOnly bool) (*bolt.DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	if info.Size() < 4*int64(os.Getpagesize()) {
		return nil, fmt.Errorf("buffer: open %s: %w: %d bytes", path, errDamaged, info.Size())
	}
	return boltOpen(path, readOnly)
}

// newDB makes an empty file, in the place of any that is there.
func newDB(path string) (*bolt.DB, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	db, err := boltOpen(path, false)
	if err != nil {
		os.Remove(path)
	}
	return db, err
}

func boltOpen(path string, readOnly bool) (db *bolt.DB, err error) {
	err = guard(func() error {
		// The free list is written along: without it, opening and rolling back walk
		// the whole file in goroutines, where a panic can't be caught.
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: time.Second, ReadOnly: readOnly, FreelistType: bolt.FreelistMapType, NoStatistics: true,
		})
		return err
	})
	for _, verdict := range []error{bolterrors.ErrInvalid, bolterrors.ErrVersionMismatch, bolterrors.ErrChecksum} {
		if errors.Is(err, verdict) {
			err = fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("buffer: %s is in use by another process", path)
	}
	if err != nil {
		return nil, fmt.Errorf("buffer: open %s: %w", path, err)
	}
	db.AllocSize = 1 << 20
	return db, nil
}

// prepare makes a file's buckets and checks its version.
func prepare(db *bolt.DB, buckets ...[]byte) error {
	return guard(func() error {
		return db.Update(func(tx *bolt.Tx) error {
			format, err := tx.CreateBucketIfNotExists(bucketFormat)
			if err != nil {
				return err
			}
			if v := format.Get(keyVersion); v == nil {
				err = format.Put(keyVersion, []byte{formatVersion})
			} else {
				err = checkVersion(v)
			}
			for _, name := range buckets {
				if err == nil {
					_, err = tx.CreateBucketIfNotExists(name)
				}
			}
			return err
		})
	})
}

func checkVersion(v []byte) error {
	if len(v) != 1 {
		return fmt.Errorf("%w: it names no format version", errDamaged)
	}
	if v[0] > formatVersion {
		return fmt.Errorf("it has format version %d, this program knows up to %d", v[0], formatVersion)
	}
	return nil
}

// unfinishedSuffix marks a file that was being made when its process ended.
const unfinishedSuffix = ".new"

// createDB makes a file, whole or not at all.
func createDB(path string) (*bolt.DB, error) {
	return create(path, func(*bolt.Tx) error { return nil })
}

// createSegment makes a segment's file with the state in it.
func createSegment(path string, state []byte) (*bolt.DB, error) {
	return create(path, func(tx *bolt.Tx) error {
		if state == nil {
			return nil
		}
		return tx.Bucket(bucketState).Put(keyState, state)
	}, bucketRecords, bucketState)
}

func create(path string, fill func(*bolt.Tx) error, buckets ...[]byte) (*bolt.DB, error) {
	temporary := path + unfinishedSuffix
	db, err := newDB(temporary)
	if err != nil {
		return nil, err
	}
	if err = prepare(db, buckets...); err == nil {
		err = guard(func() error { return db.Update(fill) })
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path)) // or what is committed to it may have no name after a power failure
	}
	if err != nil {
		closeUnless(db, err)
		os.Remove(temporary)
		return nil, fmt.Errorf("buffer: begin %s: %w", path, err)
	}
	return db, nil
}

// survey reads which positions the file holds.
func survey(path string, first Position) (s segment, err error) {
	s = segment{path: path, first: first, last: first - 1}
	info, err := os.Stat(path)
	if err != nil {
		return s, fmt.Errorf("buffer: %w", err)
	}
	s.size = info.Size()
	db, err := openDB(path, true)
	if err != nil {
		return s, err
	}
	defer func() { closeUnless(db, err) }()
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			format, records := tx.Bucket(bucketFormat), tx.Bucket(bucketRecords)
			if format == nil || records == nil {
				return fmt.Errorf("%w: it has no records", errDamaged)
			}
			if err := checkVersion(format.Get(keyVersion)); err != nil {
				return err
			}
			if k, _ := records.Cursor().Last(); k != nil {
				s.last = positionOf(k)
			}
			return nil
		})
	})
	if err != nil {
		return s, fmt.Errorf("buffer: read %s: %w", path, err)
	}
	return s, nil
}

// Entry is a committed record and its place in its chain.
type Entry struct {
	Position Position
	Record   record.Record
}

// scan calls f for each record of db after position after, in order, until f
// returns false. Records whose checksum is wrong are passed over and counted.
// Payloads are copies.
func scan(db *bolt.DB, after Position, f func(Entry) bool) (unreadable int, err error) {
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			records := tx.Bucket(bucketRecords)
			c := records.Cursor()
			for k, v := c.Seek(keyOf(after + 1)); k != nil; k, v = c.Next() {
				if v == nil {
					v = records.Bucket(k).Get(keyRecord)
				}
				e := Entry{Position: positionOf(k)}
				if e.Record.UnmarshalBinary(v) != nil {
					unreadable++
					continue
				}
				e.Record.Payload = append([]byte(nil), e.Record.Payload...)
				if !f(e) {
					return nil
				}
			}
			return nil
		})
	})
	return unreadable, err
}

func readState(path string) (state []byte, err error) {
	db, err := openDB(path, true)
	if err != nil {
		return nil, err
	}
	defer func() { closeUnless(db, err) }()
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			state = append(state, tx.Bucket(bucketState).Get(keyState)...)
			return nil
		})
	})
	return state, err
}

// largeRecord is the size from which a record gets a bucket of its own. Beside
// others in one page, the next commits would write it again.
const largeRecord = 4 << 10

// put also takes the place of what an earlier commit has left at the key: one
// whose last sync failed is part of the file, though it was never acknowledged.
func put(records *bolt.Bucket, key, value []byte) error {
	if err := clearKey(records, key); err != nil {
		return err
	}
	if len(value) < largeRecord {
		return records.Put(key, value)
	}
	own, err := records.CreateBucket(key)
	if err != nil {
		return err
	}
	return own.Put(keyRecord, value)
}

func clearKey(records *bolt.Bucket, key []byte) error {
	if records.Bucket(key) != nil {
		return records.DeleteBucket(key)
	}
	return records.Delete(key)
}

func keyOf(p Position) []byte        { return binary.BigEndian.AppendUint64(nil, uint64(p)) }
func positionOf(key []byte) Position { return Position(binary.BigEndian.Uint64(key)) }
