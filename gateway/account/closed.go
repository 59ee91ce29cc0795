package account

import (
	"slices"

	"github.com/busbar/busbar/telemetry"
)

const (
	// maxClosed bounds the quarter-hours that are told, forgotten, and can be opened
	// again: a day, as a clock that is set back or samples that wait for the time may
	// need it; and maxClosedBytes what that takes.
	maxClosed      = 96
	maxClosedBytes = 2 << 20
	// maxGone bounds the memory of those that can't be opened any more.
	maxGone = 32
)

// closed is a quarter-hour that was told, with its counts as in the state.
type closed struct {
	span
	text    []byte
	devices int // that there were
}

// close forgets an interval, but for its counts: from 0 on they would replace those
// that were told.
func (l *Ledger) close(i *interval) {
	c := closed{i.span, l.appendInterval(nil, i), len(i.counts)}
	l.closed = append(l.closed, c)
	l.closedBytes += len(c.text)
	for len(l.closed) > maxClosed || l.closedBytes > maxClosedBytes {
		l.closedBytes -= len(l.closed[0].text)
		l.goneFor(l.closed[0].span)
		l.closed = slices.Delete(l.closed, 0, 1)
	}
}

// goneFor remembers that an interval can't be counted any more.
func (l *Ledger) goneFor(s span) {
	for k, c := range l.gone {
		if c.to == s.from || s.to == c.from {
			l.gone[k] = span{min(c.from, s.from), max(c.to, s.to)}
			return
		}
	}
	l.gone = append(l.gone, s)
	if len(l.gone) > maxGone {
		l.gone = slices.Delete(l.gone, 0, 1)
	}
}

// reopen goes on with an interval that was closed; nil if it wasn't.
func (l *Ledger) reopen(now telemetry.Micros, within span) *interval {
	k := slices.IndexFunc(l.closed, func(c closed) bool { return c.span == within })
	if k < 0 {
		return nil
	}
	i := l.readInterval(&reader{rest: l.closed[k].text}, l.closed[k].devices)
	i.grow(len(l.devices))
	l.closedBytes -= len(l.closed[k].text)
	l.closed = slices.Delete(l.closed, k, k+1)
	i.since, i.changed = now, now
	// Its account was told, and everything in it.
	i.revision--
	i.told = i.changes
	i.whole = !slices.ContainsFunc(i.counts, func(c counts) bool { return !c.present }) // else Tick sees to it
	return i
}
