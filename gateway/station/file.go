package station

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
)

// file is the bbolt file of a journal.
type file struct {
	db     *bolt.DB
	os     *os.File // below it
	broken bool     // bbolt has panicked, and may hold its locks
}

type place struct {
	station uint16
	object  uint32
}

// mark is how far a group has been served, and how many events it has lost.
type mark struct{ done, lost uint64 }

// The file's buckets: events by their numbers, and what points were last by where they are,
// each as an ASDU of the usual sizes with one object; marks by the groups' names.
var (
	bucketEvents = []byte("events")
	bucketValues = []byte("values")
	bucketMarks  = []byte("marks")
	buckets      = [][]byte{bucketEvents, bucketValues, bucketMarks}
)

// errDamaged is that the file itself is wrong, and not the machine.
var errDamaged = errors.New("the file is damaged")

// guard turns the panics and page faults with which bbolt meets a damaged file into errors.
func (f *file) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			f.broken, err = true, fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return judge(do())
}

// openFile opens the file, which is made if there is none, and reads what was kept for the
// groups of these names. What others have is forgotten. The error is errDamaged, or of the
// machine; the file is closed then.
func openFile(path string, groups []string) (f *file, kept controlled.Restored, err error) {
	f = &file{}
	err = f.guard(func() (err error) {
		f.db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			f.os, err = os.OpenFile(name, flag, mode)
			return f.os, err
		}})
		if err != nil {
			return err
		}
		return f.db.Update(func(tx *bolt.Tx) error {
			for _, name := range buckets {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			kept, err = read(tx, groups)
			return err
		})
	})
	if err != nil {
		f.close()
		return nil, controlled.Restored{}, err
	}
	return f, kept, nil
}

// damages are bbolt's errors of a file that is wrong.
var damages = []error{bolterrors.ErrInvalid, bolterrors.ErrVersionMismatch, bolterrors.ErrChecksum, bolterrors.ErrIncompatibleValue}

// judge says whether an error is the file's. All others are taken for the machine's, since
// bbolt doesn't always say what the operating system has refused.
func judge(err error) error {
	is := func(of error) bool { return errors.Is(err, of) }
	if err != nil && (slices.ContainsFunc(damages, is) || strings.HasPrefix(err.Error(), "file size too small")) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

// close closes the file, also one in which bbolt has failed.
func (f *file) close() (err error) {
	if f.db != nil && !f.broken {
		err = f.guard(f.db.Close)
	}
	if f.broken && f.os != nil {
		return f.os.Close()
	}
	return err
}

// read reads what was kept, and forgets the groups that there aren't any more.
func read(tx *bolt.Tx, groups []string) (kept controlled.Restored, err error) {
	kept.Done, kept.Lost = map[string]uint64{}, map[string]uint64{}
	marks := tx.Bucket(bucketMarks)
	var forgotten [][]byte
	if err := marks.ForEach(func(k, v []byte) error {
		if len(v) != 16 {
			return fmt.Errorf("%w: a mark of %d octets", errDamaged, len(v))
		}
		done := binary.BigEndian.Uint64(v)
		kept.Last = max(kept.Last, done)
		forgotten = append(forgotten, k)
		for _, g := range groups {
			if g == string(k) {
				kept.Done[g], kept.Lost[g] = done, binary.BigEndian.Uint64(v[8:])
				forgotten = forgotten[:len(forgotten)-1]
			}
		}
		return nil
	}); err != nil {
		return kept, err
	}
	if err := tx.Bucket(bucketEvents).ForEach(func(k, v []byte) error {
		e, err := decode(v)
		if err != nil || len(k) != 8 {
			return fmt.Errorf("%w: an event: %w", errDamaged, err)
		}
		e.Number = binary.BigEndian.Uint64(k)
		kept.Last = max(kept.Last, e.Number)
		kept.Events = append(kept.Events, e)
		return nil
	}); err != nil {
		return kept, err
	}
	if err := tx.Bucket(bucketValues).ForEach(func(_, v []byte) error {
		e, err := decode(v)
		if err != nil {
			return fmt.Errorf("%w: a value: %w", errDamaged, err)
		}
		kept.Values = append(kept.Values, e)
		return nil
	}); err != nil {
		return kept, err
	}
	for _, k := range forgotten {
		if err := marks.Delete(k); err != nil {
			return kept, err
		}
	}
	for _, g := range groups {
		if _, known := kept.Done[g]; !known { // it begins with what comes from now on
			if err := marks.Put([]byte(g), mark{done: kept.Last}.encode()); err != nil {
				return kept, err
			}
		}
	}
	return kept, nil
}

func (m mark) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, m.done), m.lost)
}

// encode is an event as it is kept.
func encode(k controlled.Kept) ([]byte, error) {
	return asdu.IEC104.Append(nil, asdu.Header{Type: k.Type, Cause: k.Cause, Address: k.Station}, []asdu.Object{k.Object})
}

func decode(b []byte) (k controlled.Kept, err error) {
	a, err := asdu.IEC104.Parse(b)
	if err != nil {
		return k, err
	}
	return controlled.Kept{Station: a.Address, Type: a.Type, Cause: a.Cause, Object: a.Object(0)}, nil
}

// commit writes all of it in one transaction, and forgets events that every group has; anew,
// everything else as well.
func (f *file) commit(p pending, anew bool) error {
	if len(p.events) == 0 && len(p.values) == 0 && len(p.marks) == 0 && !anew {
		return nil
	}
	return f.guard(func() error { return f.update(p, anew) })
}

func (f *file) update(p pending, anew bool) error {
	return f.db.Update(func(tx *bolt.Tx) error {
		if anew {
			for _, name := range buckets {
				if err := tx.DeleteBucket(name); err != nil {
					return err
				}
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
		}
		events := tx.Bucket(bucketEvents)
		events.FillPercent = 1 // keys only grow
		for _, k := range p.events {
			b, err := encode(k)
			if err != nil {
				return err
			}
			if err := events.Put(binary.BigEndian.AppendUint64(nil, k.Number), b); err != nil {
				return err
			}
		}
		for at, k := range p.values {
			b, err := encode(k)
			if err != nil {
				return err
			}
			key := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(nil, at.station), at.object)
			if err := tx.Bucket(bucketValues).Put(key, b); err != nil {
				return err
			}
		}
		marks := tx.Bucket(bucketMarks)
		for group, m := range p.marks {
			if err := marks.Put([]byte(group), m.encode()); err != nil {
				return err
			}
		}
		return forget(events, marks)
	})
}

// forget deletes the events that every group has.
func forget(events, marks *bolt.Bucket) error {
	done := ^uint64(0)
	if err := marks.ForEach(func(_, v []byte) error {
		done = min(done, binary.BigEndian.Uint64(v))
		return nil
	}); err != nil {
		return err
	}
	c := events.Cursor()
	for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) <= done; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}
