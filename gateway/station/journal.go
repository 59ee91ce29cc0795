package station

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
)

// journal keeps the events of a station in a bbolt file, until all groups have them. It is
// written by one goroutine, as soon as there is something: what comes meanwhile is
// committed together.
type journal struct {
	db   *bolt.DB
	log  *slog.Logger
	wake chan struct{}
	tell *controlled.Server
	most int // events in memory while nothing can be committed

	mu         sync.Mutex
	pending    pending
	committing bool
}

// pending is what isn't committed.
type pending struct {
	events  []controlled.Kept
	values  map[place]controlled.Kept
	marks   map[string]mark
	waiting []func(bool) // who waits for it
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

// damagedSuffix is added to the name of a file that can't be read.
const damagedSuffix = ".unreadable"

// openJournal opens the file, which is made if there is none, and reads what was kept for
// the groups of these names. What others have is forgotten. A damaged file is set aside.
func openJournal(path string, groups []string, most int, log *slog.Logger) (*journal, controlled.Restored, error) {
	j := &journal{log: log, wake: make(chan struct{}, 1), most: most}
	kept, err := j.open(path, groups)
	if errors.Is(err, errDamaged) {
		log.Error("the events that wait for control rooms can't be read: the file is set aside, and they are lost", "file", path, "set_aside", path+damagedSuffix, "error", err)
		if err = os.Rename(path, path+damagedSuffix); err == nil {
			kept, err = j.open(path, groups)
		}
	}
	if err != nil {
		return nil, kept, err
	}
	return j, kept, nil
}

var errDamaged = errors.New("the file is damaged")

// guard turns the panics and page faults with which bbolt meets a damaged file into errors.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}

func (j *journal) open(path string, groups []string) (kept controlled.Restored, err error) {
	err = guard(func() error {
		var err error
		if j.db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second}); err != nil {
			return err
		}
		return j.db.Update(func(tx *bolt.Tx) error {
			for _, name := range buckets {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			kept, err = read(tx, groups)
			return err
		})
	})
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrVersionMismatch) || errors.Is(err, bolterrors.ErrChecksum) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return kept, err
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

// Keep implements controlled.Journal.
func (j *journal) Keep(k controlled.Kept) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if k.Number == 0 {
		k.Cause = asdu.Requested
	} else {
		j.pending.events = append(j.pending.events, k)
	}
	if k.Type != asdu.EndOfInitialization && !k.Past && k.Object.Quality&asdu.Invalid == 0 {
		if j.pending.values == nil {
			j.pending.values = map[place]controlled.Kept{}
		}
		j.pending.values[place{k.Station, k.Object.Address}] = k
	}
	j.notify()
}

// Release implements controlled.Journal.
func (j *journal) Release(group string, through, lost uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pending.marks == nil {
		j.pending.marks = map[string]mark{}
	}
	j.pending.marks[group] = mark{through, lost}
	j.notify()
}

func (j *journal) notify() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// await has somebody told when all that was kept before is on disk, and reports whether
// there is anything to wait for.
func (j *journal) await(tell func(bool)) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.pending.events) == 0 && len(j.pending.values) == 0 && !j.committing {
		return false
	}
	j.pending.waiting = append(j.pending.waiting, tell)
	j.notify()
	return true
}

// retry is how long a commit waits that has failed.
const retry = time.Second

// run commits until ctx ends, and then once more. While nothing can be committed, masters
// are told all the same, and those that wait go on waiting.
func (j *journal) run(ctx context.Context) {
	var failing error
	var failed time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-j.wake:
		case <-timer.C:
		}
		p := j.take()
		if failing == nil || ended || time.Since(failed) >= retry {
			err := guard(func() error { return j.commit(p) })
			switch {
			case err != nil && failing == nil:
				j.log.Error("events for control rooms can't be committed: they are told all the same, and would end with the process", "error", err)
			case err == nil && failing != nil:
				j.log.Info("events for control rooms are committed again")
			}
			failing, failed = err, time.Now()
		}
		j.settle(p, failing == nil)
		if failing != nil {
			timer.Reset(retry)
		}
	}
	if err := j.db.Close(); err != nil {
		j.log.Warn("closing the events for control rooms", "error", err)
	}
}

func (j *journal) take() pending {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.pending
	j.pending, j.committing = pending{}, true
	return p
}

// settle says what becomes of what was pending. What isn't committed is so again.
func (j *journal) settle(p pending, committed bool) {
	if n := len(p.events); n > 0 {
		j.tell.Kept(p.events[n-1].Number)
	}
	for group, m := range p.marks {
		j.tell.Released(group, m.done)
	}
	j.mu.Lock()
	j.committing = false
	waiting := p.waiting
	if !committed { // the samples are in the buffer: other sources needn't wait for this file
		p.waiting = nil
		j.pending = p.before(j.pending, j.most)
	}
	j.mu.Unlock()
	for _, tell := range waiting {
		tell(true)
	}
}

// before is what was pending before something else, and that.
func (p pending) before(next pending, most int) pending {
	p.events = append(p.events, next.events...)
	if over := len(p.events) - most; over > 0 {
		p.events = p.events[over:]
	}
	p.waiting = append(p.waiting, next.waiting...)
	if p.values == nil {
		p.values = map[place]controlled.Kept{}
	}
	maps.Copy(p.values, next.values)
	if p.marks == nil {
		p.marks = map[string]mark{}
	}
	maps.Copy(p.marks, next.marks)
	return p
}

// commit writes all of it in one transaction, and forgets events that every group has.
func (j *journal) commit(p pending) error {
	if len(p.events) == 0 && len(p.values) == 0 && len(p.marks) == 0 {
		return nil
	}
	return j.db.Update(func(tx *bolt.Tx) error {
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
