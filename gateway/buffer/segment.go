package buffer

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry/record"
)

var (
	bucketRecords = []byte("records") // position, 8 bytes big-endian → record, or a bucket with it
	bucketState   = []byte("state")   // what was committed together with records
	keyState      = []byte("rules")
	keyRecord     = []byte("record")
	keyStart      = []byte("start")      // in format: epoch and sequence number at which the file begins
	keyBefore     = []byte("before")     // in format: the same of the file before it
	keyGeneration = []byte("generation") // in format: how often it was thinned, one byte
)

// segment is one file of a chain: consecutive records from position first on, all
// of one epoch. Its fields are the chain's to guard.
type segment struct {
	path  string
	first Position
	last  Position // first−1 while it holds none
	size  int64    // bytes of the file
	// generation is how often it was thinned. Positions that a thinned file doesn't
	// have were merged into others.
	generation int
	tried      int       // the generation that thinning it to wasn't worth it
	resting    time.Time // until then it isn't thinned: that has failed
	// unreadable is the position from which on nothing can be read, because of
	// cause; 0 if nothing is known against it. Such a file is set aside, not
	// removed, when everything in it is done.
	unreadable Position
	cause      error
	// Where its sequence numbers start and end, and where those of the file before
	// it start, as far as it is known without reading records.
	start, end, before edge
	replaced           chan struct{} // closed when the replacement of its file is over; nil if there is none
	dropped            bool          // given up to make room
}

// edge is a place between two sequence numbers of an epoch: seq is the one behind
// it.
type edge struct {
	epoch record.Epoch
	seq   uint64
	known bool
}

func (e edge) put(b *bolt.Bucket, key []byte) error {
	if !e.known {
		return nil
	}
	return b.Put(key, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(e.epoch)), e.seq))
}

func edgeIn(b *bolt.Bucket, key []byte) edge {
	v := b.Get(key)
	if len(v) != 16 {
		return edge{}
	}
	return edge{record.Epoch(binary.BigEndian.Uint64(v)), binary.BigEndian.Uint64(v[8:]), true}
}

// createSegment makes a segment's file that begins at start, behind one that began
// at before, with the state in it.
func createSegment(path string, allocation int, start, before edge, state []byte) (*file, error) {
	return create(path, allocation, func(tx *bolt.Tx) error { return fillSegment(tx, start, before, state) })
}

// fillSegment puts into a new file what every segment has.
func fillSegment(tx *bolt.Tx, start, before edge, state []byte) error {
	for _, name := range [][]byte{bucketRecords, bucketState} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	format := tx.Bucket(bucketFormat)
	if err := start.put(format, keyStart); err != nil {
		return err
	}
	if err := before.put(format, keyBefore); err != nil {
		return err
	}
	if state == nil {
		return nil
	}
	return tx.Bucket(bucketState).Put(keyState, state)
}

// survey reads which positions the file holds.
func survey(path string, first Position) (s segment, err error) {
	s = segment{path: path, first: first, last: first - 1}
	info, err := os.Stat(path)
	if err != nil {
		return s, fmt.Errorf("buffer: %w", err)
	}
	s.size = info.Size()
	if err := checkSize(path); err != nil {
		return s, err
	}
	if err := checkBranches(path); err != nil {
		return s, err
	}
	f, err := openFile(path)
	if err != nil {
		return s, err
	}
	defer func() { f.end(err) }()
	err = guard(func() error {
		return f.View(func(tx *bolt.Tx) error {
			format, records := tx.Bucket(bucketFormat), tx.Bucket(bucketRecords)
			if format == nil || records == nil {
				return fmt.Errorf("%w: it has no records", errDamaged)
			}
			if err := checkVersion(format.Get(keyVersion)); err != nil {
				return err
			}
			if v := format.Get(keyGeneration); len(v) == 1 {
				s.generation = int(v[0])
			}
			s.start, s.before = edgeIn(format, keyStart), edgeIn(format, keyBefore)
			if k, _ := records.Cursor().Last(); k != nil {
				s.last = positionOf(k)
			}
			if s.last+1 < first || s.last >= first+mostInFile {
				return fmt.Errorf("%w: a record is at position %d", errDamaged, s.last)
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

func (e Entry) readable() bool { return e.Record.Gateway != "" }

// scan calls f for each record at positions first to last, in order, until f
// returns false. A record whose checksum is wrong comes without a gateway. Payloads
// are valid until f returns.
func scan(db *bolt.DB, first, last Position, f func(Entry) bool) error {
	return guard(func() error {
		return db.View(func(tx *bolt.Tx) error {
			records := tx.Bucket(bucketRecords)
			c := records.Cursor()
			for k, v := c.Seek(keyOf(first)); k != nil && positionOf(k) <= last; k, v = c.Next() {
				if v == nil {
					v = records.Bucket(k).Get(keyRecord)
				}
				e := Entry{Position: positionOf(k)}
				if err := e.Record.UnmarshalBinary(v); err != nil {
					e.Record = record.Record{}
				}
				if !f(e) {
					return nil
				}
			}
			return nil
		})
	})
}

func readState(path string) (state []byte, err error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { f.end(err) }()
	err = guard(func() error {
		return f.View(func(tx *bolt.Tx) error {
			v := tx.Bucket(bucketState).Get(keyState)
			if int64(len(v)) > sizeAt(path) {
				return fmt.Errorf("%w: a state of %d bytes", errDamaged, len(v))
			}
			state = append(state, v...)
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
