package buffer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"sync"
	"unique"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
)

// Definition is what a signal id stands for. If any of it changes but the names of
// values, the signal gets a new id. Names don't say what was measured, but how it is
// shown: what was stored under the old ones is better read by the new.
type Definition struct {
	telemetry.Signal
	Encoding string `json:"encoding"` // type and scaling at the source
}

// Table gives signals their ids. It only grows, so every block that was ever
// written under it stays readable.
type Table struct {
	meta *meta

	mu        sync.RWMutex
	ref       telemetry.TableRef
	signals   []telemetry.Signal // every one ever defined, by id
	encodings []unique.Handle[string]
	ids       map[fingerprint]telemetry.SignalID
	renamed   []telemetry.SignalID // whose names of values aren't on disk yet
	sum       []byte               // of what is on disk, as it says itself; nil if it doesn't
	onDisk    int                  // of the signals
	changes   uint64               // of what is on disk
	changed   chan struct{}        // closed and replaced with each
}

// fingerprint is what a definition is known by: there are thousands, and with all
// their texts they would be a megabyte.
type fingerprint [16]byte

// fingerprint is that of everything but the id and the names of values.
func (d Definition) fingerprint() fingerprint {
	d.ID, d.States, d.Flags = 0, nil, nil
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // it has nothing but texts and numbers
	}
	sum := sha256.Sum256(text)
	return fingerprint(sum[:])
}

func newTable(m *meta) *Table {
	return &Table{meta: m, ids: map[fingerprint]telemetry.SignalID{}, changed: make(chan struct{})}
}

// clear makes the table empty.
func (t *Table) clear() {
	t.ref, t.signals, t.encodings, t.ids, t.sum, t.onDisk = telemetry.TableRef{}, nil, nil, map[fingerprint]telemetry.SignalID{}, nil, 0
	t.renamed = nil
}

// take reads the table's name and its checksum as meta.db has them.
func (t *Table) take(name, sum []byte) {
	if len(name) == 8 {
		t.ref.Table = binary.BigEndian.Uint64(name)
	}
	t.sum = bytes.Clone(sum)
}

// name gives a new table its name.
func (t *Table) name() {
	for t.ref.Table == 0 {
		t.ref.Table = random64()
	}
}

// load reads the definitions; b is nil if there is no bucket with them.
func (t *Table) load(b *bolt.Bucket) error {
	err := forEach(b, func(k, v []byte) error {
		if int64(len(k)+len(v)) > b.Tx().Size() { // not to be printed, nor read
			return fmt.Errorf("signal table: %w: a signal of %d bytes", errDamaged, len(k)+len(v))
		}
		var d Definition
		if err := json.Unmarshal(v, &d); err != nil || len(k) != 4 || int(binary.BigEndian.Uint32(k)) != len(t.signals)+1 {
			return fmt.Errorf("signal table: %w: signal %x", errDamaged, k)
		}
		t.add(d, telemetry.SignalID(binary.BigEndian.Uint32(k)))
		return nil
	})
	t.onDisk = len(t.signals)
	if err == nil && t.sum != nil && !bytes.Equal(t.sum, t.sumOf(b)) {
		err = fmt.Errorf("signal table: %w: its checksum is wrong", errDamaged)
	}
	return err
}

// sumOf is the checksum of the table's name and definitions: an id whose definition
// has changed would give old samples another meaning.
func (t *Table) sumOf(b *bolt.Bucket) []byte {
	sum := crc32.New(castagnoli)
	binary.Write(sum, binary.BigEndian, t.ref.Table)
	forEach(b, func(k, v []byte) error {
		sum.Write(k)
		sum.Write(v)
		return nil
	})
	return sum.Sum(nil)
}

func forEach(b *bolt.Bucket, f func(k, v []byte) error) error {
	if b == nil {
		return nil
	}
	return b.ForEach(f)
}

func (t *Table) add(d Definition, id telemetry.SignalID) {
	t.ids[d.fingerprint()] = id
	d.ID = id
	t.signals = append(t.signals, d.Signal)
	t.encodings = append(t.encodings, unique.Make(d.Encoding))
	t.ref.Version = uint32(len(t.signals))
}

// Define returns the ids of the given signals, in their order, and commits those
// that are new, and names of values that have changed. The definitions' own ID is
// ignored. On an error the ids are good, but not on disk: as long as they aren't, no
// samples are committed.
func (t *Table) Define(definitions []Definition) ([]telemetry.SignalID, error) {
	t.meta.mu.Lock()
	defer t.meta.mu.Unlock()
	ids, complete := t.assign(definitions)
	if complete {
		return ids, nil
	}
	t.meta.complete.Store(false)
	if err := t.meta.update(t.put); err != nil {
		return ids, fmt.Errorf("buffer: write signal table: %w", err)
	}
	return ids, nil
}

func (t *Table) assign(definitions []Definition) (ids []telemetry.SignalID, complete bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids = make([]telemetry.SignalID, len(definitions))
	if len(t.signals) == 0 {
		t.signals, t.encodings = make([]telemetry.Signal, 0, len(definitions)), make([]unique.Handle[string], 0, len(definitions))
	}
	copied := false
	for i, d := range definitions {
		id, known := t.ids[d.fingerprint()]
		if !known {
			id = telemetry.SignalID(len(t.signals) + 1)
			t.add(d, id)
		} else if was := t.signals[id-1]; !maps.Equal(was.States, d.States) || !maps.Equal(was.Flags, d.Flags) {
			if !copied {
				t.signals, copied = slices.Clone(t.signals), true // others read the old one
			}
			t.signals[id-1].States, t.signals[id-1].Flags = d.States, d.Flags
			t.renamed = append(t.renamed, id)
		}
		ids[i] = id
	}
	if len(t.signals) < cap(t.signals) { // leave no room for more
		t.signals, t.encodings = slices.Clone(t.signals), slices.Clone(t.encodings)
	}
	return ids, t.onDisk == len(t.signals) && len(t.renamed) == 0
}

// put puts those definitions into meta.db that it doesn't have.
func (t *Table) put(tx *bolt.Tx) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b := tx.Bucket(bucketSignals)
	there := uint32(0)
	if k, _ := b.Cursor().Last(); len(k) == 4 {
		there = binary.BigEndian.Uint32(k)
	}
	lacks := slices.DeleteFunc(slices.Clone(t.renamed), func(id telemetry.SignalID) bool { return uint32(id) > there })
	for id := there + 1; int(id) <= len(t.signals); id++ {
		lacks = append(lacks, telemetry.SignalID(id))
	}
	for _, id := range lacks {
		value, err := json.Marshal(Definition{t.signals[id-1], t.encodings[id-1].Value()})
		if err != nil {
			return err
		}
		if err := b.Put(binary.BigEndian.AppendUint32(nil, uint32(id)), value); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketMeta).Put(keySum, t.sumOf(b))
}

// saved notes that every definition is on disk.
func (t *Table) saved() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.onDisk == len(t.signals) && len(t.renamed) == 0 {
		return
	}
	t.onDisk, t.renamed = len(t.signals), nil
	t.changes++
	close(t.changed)
	t.changed = make(chan struct{})
}

// Ref names the table and its version, which is the number of its signals.
func (t *Table) Ref() telemetry.TableRef {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.ref
}

// Signals are all signals ever defined, retired ones included, by id.
func (t *Table) Signals() []telemetry.Signal {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.signals
}

// Saved is the part of the table that is on disk, so that its ids stand for the
// same signals for ever: the others may be told to nobody.
func (t *Table) Saved() (ref telemetry.TableRef, signals []telemetry.Signal) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return telemetry.TableRef{Table: t.ref.Table, Version: uint32(t.onDisk)}, t.signals[:t.onDisk:t.onDisk]
}

// Changes is how often what Saved returns has changed. Ask for it before Saved, then
// WaitChanged misses nothing.
func (t *Table) Changes() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.changes
}

// WaitChanged returns when Changes isn't that any more, since there are more signals on
// disk, or other names of values; or with ctx's error.
func (t *Table) WaitChanged(ctx context.Context, changes uint64) error {
	for {
		t.mu.RLock()
		now, changed := t.changes, t.changed
		t.mu.RUnlock()
		if now != changes {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// signal is the signal of that id, and none where there is no such id.
func (t *Table) signal(id telemetry.SignalID) telemetry.Signal {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if id == 0 || int(id) > len(t.signals) {
		return telemetry.Signal{}
	}
	return t.signals[id-1]
}

// names reports whether the samples, in the order of their ids, are all of signals
// of this table.
func (t *Table) names(ref telemetry.TableRef, samples []telemetry.Sample) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return ref.Table == t.ref.Table && (len(samples) == 0 || int(samples[len(samples)-1].Signal) <= len(t.signals))
}

// device is the device of that signal, "" where there is no such id.
func (t *Table) device(id telemetry.SignalID) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if id == 0 || int(id) > len(t.signals) {
		return ""
	}
	return t.signals[id-1].Device
}
