package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/busbar/busbar/telemetry/record"
)

// formatVersion is written into every file; a file of a newer version is left
// alone and refused.
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
}

func (s segment) String() string { return s.path }

func openDB(path string, readOnly bool) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        time.Second,
		ReadOnly:       readOnly,
		NoFreelistSync: true,
		FreelistType:   bolt.FreelistMapType,
		NoStatistics:   true,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("buffer: %s is in use by another process", path)
	}
	if err != nil {
		return nil, fmt.Errorf("buffer: open %s: %w", path, err)
	}
	db.AllocSize = 1 << 20
	return db, nil
}

// createDB opens path for writing, makes its buckets, and checks its version.
func createDB(path string, buckets ...[]byte) (*bolt.DB, error) {
	db, err := openDB(path, false)
	if err != nil {
		return nil, err
	}
	err = guard(func() error {
		return db.Update(func(tx *bolt.Tx) error {
			format, err := tx.CreateBucketIfNotExists(bucketFormat)
			if err != nil {
				return err
			}
			if v := format.Get(keyVersion); v == nil {
				if err := format.Put(keyVersion, []byte{formatVersion}); err != nil {
					return err
				}
			} else if v[0] > formatVersion {
				return fmt.Errorf("it has format version %d, this program knows up to %d", v[0], formatVersion)
			}
			for _, name := range buckets {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("buffer: %s: %w", path, err)
	}
	return db, nil
}

// guard turns the panics and page faults with which bbolt meets a damaged file
// into errors.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the file is damaged: %v", p)
		}
	}()
	return f()
}

// survey reads which positions the file holds.
func survey(path string, first Position) (segment, error) {
	s := segment{path: path, first: first, last: first - 1}
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	s.size = info.Size()
	db, err := openDB(path, true)
	if err != nil {
		return s, err
	}
	defer db.Close()
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			records := tx.Bucket(bucketRecords)
			if records == nil {
				return nil // created and killed before its first commit
			}
			if v := tx.Bucket(bucketFormat).Get(keyVersion); len(v) != 1 || v[0] > formatVersion {
				return fmt.Errorf("format version %v, this program knows up to %d", v, formatVersion)
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

// scan calls f for each record of db after position after, in order, until f
// returns false. Payloads are copies.
func scan(db *bolt.DB, after Position, f func(Entry) bool) error {
	return guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			records := tx.Bucket(bucketRecords)
			if records == nil {
				return nil
			}
			c := records.Cursor()
			for k, v := c.Seek(keyOf(after + 1)); k != nil; k, v = c.Next() {
				e := Entry{Position: positionOf(k)}
				if v == nil {
					v = records.Bucket(k).Get(keyRecord)
				}
				if err := e.Record.UnmarshalBinary(v); err != nil {
					return fmt.Errorf("position %d: %w", e.Position, err)
				}
				e.Record.Payload = append([]byte(nil), e.Record.Payload...)
				if !f(e) {
					return nil
				}
			}
			return nil
		})
	})
}

// largeRecord is the size from which a record gets a bucket of its own. Beside
// others in one page, the next commits would write it again.
const largeRecord = 4 << 10

func put(records *bolt.Bucket, key, value []byte) error {
	if len(value) < largeRecord {
		return records.Put(key, value)
	}
	own, err := records.CreateBucket(key)
	if err != nil {
		return err
	}
	return own.Put(keyRecord, value)
}

func keyOf(p Position) []byte        { return binary.BigEndian.AppendUint64(nil, uint64(p)) }
func positionOf(key []byte) Position { return Position(binary.BigEndian.Uint64(key)) }

// Entry is a committed record and its place in its chain.
type Entry struct {
	Position Position
	Record   record.Record
}
