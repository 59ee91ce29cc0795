package counter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/busbar/busbar/telemetry"
)

// State is the last value of each counter whose signal's id is at most last, and what
// Restore takes: so a meter that is swapped while no gateway runs is noticed. It is
// kept small, since it is committed again and again. table is the signal table that
// the ids belong to.
func (w *Watch) State(table telemetry.TableRef) []byte {
	w.changed = false
	out := binary.BigEndian.AppendUint64([]byte{stateVersion}, table.Table)
	var id, at int64
	for i := range w.counters {
		c := &w.counters[i]
		if !c.seen || uint32(c.ID) > table.Version {
			continue
		}
		out = binary.AppendVarint(out, int64(c.ID)-id)
		out = binary.AppendVarint(out, int64(c.since)-at)
		out = binary.BigEndian.AppendUint64(out, math.Float64bits(c.last))
		id, at = int64(c.ID), int64(c.since)
	}
	return out
}

// Continue watches other counters, and goes on with what is known of those that stay:
// they have the same id.
func (w *Watch) Continue(counters []Counter) *Watch {
	n := NewWatch(counters)
	for i := range n.counters {
		c := &n.counters[i]
		if int(c.ID) < len(w.at) && w.at[c.ID] != 0 {
			was := w.counters[w.at[c.ID]-1]
			was.Counter = c.Counter
			*c = was
		}
	}
	n.changed = w.changed
	return n
}

const stateVersion = 1

// Changed reports whether values have come since State.
func (w *Watch) Changed() bool { return w.changed }

// Restore takes up what State returned, of counters that are watched. What is of
// another table says nothing about them and is passed over. On an error the Watch is
// as it was.
func (w *Watch) Restore(state []byte, table uint64) error {
	if len(state) < 9 || state[0] != stateVersion {
		return errors.New("restore the counters: it is no state of this version")
	}
	if binary.BigEndian.Uint64(state[1:]) != table {
		return nil
	}
	type last struct {
		counter *watched
		value   float64
		at      telemetry.Micros
	}
	var all []last
	var id, at int64
	for rest := state[9:]; len(rest) > 0; {
		var fields [2]int64
		for i := range fields {
			n := 0
			if fields[i], n = binary.Varint(rest); n <= 0 {
				return fmt.Errorf("restore the counters: damaged at byte %d", len(state)-len(rest))
			}
			rest = rest[n:]
		}
		if len(rest) < 8 {
			return errors.New("restore the counters: a value is cut off")
		}
		id, at = id+fields[0], at+fields[1]
		v := math.Float64frombits(binary.BigEndian.Uint64(rest))
		rest = rest[8:]
		if v-v != 0 {
			return errors.New("restore the counters: a value is no number")
		}
		if id > 0 && id < int64(len(w.at)) && w.at[id] != 0 {
			all = append(all, last{&w.counters[w.at[id]-1], v, telemetry.Micros(at)})
		}
	}
	for _, l := range all {
		l.counter.seen = true
		l.counter.restart(l.value, l.at)
	}
	return nil
}
