package rules

import (
	"iter"

	"github.com/busbar/busbar/telemetry"
)

// idle is the last sample of each signal that comes by change, and no rule reads.
type idle struct {
	at   []int32 // by id, which of last it is, from 1; 0: none
	last []past
}

func (l *idle) add(id telemetry.SignalID) {
	if grow := int(id) + 1 - len(l.at); grow > 0 {
		l.at = append(l.at, make([]int32, grow)...)
	}
	l.last = append(l.last, past{time: never})
	l.at[id] = int32(len(l.last))
}

// of is the last sample of a signal; nil if it isn't one of these.
func (l *idle) of(id telemetry.SignalID) *past {
	if int(id) >= len(l.at) || l.at[id] == 0 {
		return nil
	}
	return &l.last[l.at[id]-1]
}

func (l *idle) all() iter.Seq2[telemetry.SignalID, *past] {
	return func(yield func(telemetry.SignalID, *past) bool) {
		for id, n := range l.at {
			if n > 0 && !yield(telemetry.SignalID(id), &l.last[n-1]) {
				return
			}
		}
	}
}
