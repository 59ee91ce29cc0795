package buffer

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
)

// Definition is what a signal id stands for. If any of it changes, the signal
// gets a new id.
type Definition struct {
	telemetry.Signal
	Encoding string `json:"encoding"` // type and scaling at the source
}

// Table gives signals their ids. It only grows, so every block that was ever
// written under it stays readable.
type Table struct {
	mu      sync.RWMutex
	ref     telemetry.TableRef
	signals []telemetry.Signal // every one ever defined, by id
	ids     map[Definition]telemetry.SignalID
	db      *bolt.DB
	grown   func() // called when db may have
}

func openTable(db *bolt.DB, grown func()) (*Table, error) {
	t := &Table{ids: map[Definition]telemetry.SignalID{}, db: db, grown: grown}
	err := guard(func() error { return db.Update(t.load) })
	if err != nil {
		return nil, fmt.Errorf("signal table: %w", err)
	}
	return t, nil
}

func (t *Table) load(tx *bolt.Tx) error {
	m := tx.Bucket(bucketMeta)
	if v := m.Get(keyTable); len(v) == 8 {
		t.ref.Table = binary.BigEndian.Uint64(v)
	} else {
		t.ref.Table = random64()
		if err := m.Put(keyTable, binary.BigEndian.AppendUint64(nil, t.ref.Table)); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketSignals).ForEach(func(k, v []byte) error {
		var d Definition
		if err := json.Unmarshal(v, &d); err != nil || len(k) != 4 || int(binary.BigEndian.Uint32(k)) != len(t.signals)+1 {
			return fmt.Errorf("%w: signal %x", errDamaged, k)
		}
		t.add(d, telemetry.SignalID(binary.BigEndian.Uint32(k)))
		return nil
	})
}

func (t *Table) add(d Definition, id telemetry.SignalID) {
	d.ID = 0
	t.ids[d] = id
	d.ID = id
	t.signals = append(t.signals, d.Signal)
	t.ref.Version = uint32(len(t.signals))
}

// Define returns the ids of the given signals, in their order, and commits
// those that are new. The definitions' own ID is ignored.
func (t *Table) Define(definitions []Definition) ([]telemetry.SignalID, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := make([]telemetry.SignalID, len(definitions))
	var fresh []Definition
	for i, d := range definitions {
		d.ID = 0
		id, known := t.ids[d]
		if !known {
			id = telemetry.SignalID(len(t.signals) + 1)
			t.add(d, id)
			d.ID = id
			fresh = append(fresh, d)
		}
		ids[i] = id
	}
	if len(fresh) == 0 {
		return ids, nil
	}
	defer t.grown()
	err := t.db.Update(func(tx *bolt.Tx) error {
		for _, d := range fresh {
			value, err := json.Marshal(d)
			if err != nil {
				return err
			}
			if err := tx.Bucket(bucketSignals).Put(binary.BigEndian.AppendUint32(nil, uint32(d.ID)), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("buffer: write signal table: %w", err)
	}
	return ids, nil
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
