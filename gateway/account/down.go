package account

import "github.com/busbar/busbar/telemetry"

// Alive is when an earlier process was last known to run, 0 if there was none.
// Valid after Restore.
func (l *Ledger) Alive() telemetry.Micros { return l.alive }

// CountDown counts the slots that came due after those that earlier processes
// had accounted for and until at, when this process began to read: no gateway
// was running, or it was killed before it had committed what it read. The
// schedule is that of the new configuration, for the devices that the earlier
// process had, for at most 31 days before at. It must be called once the time is
// known, and does nothing when called again.
func (l *Ledger) CountDown(at telemetry.Micros) {
	for device := range l.before {
		before := l.reached(device)
		l.before[device], l.late[device] = 0, 0
		every := telemetry.Micros(l.devices[device].Every.Microseconds())
		if before < earliest || every <= 0 {
			continue
		}
		l.changes++
		// What the process has read until the time was known stands.
		if l.last[device] == 0 {
			l.last[device] = before + max(0, at-before)/every*every
		}
		if before >= at {
			continue // the clock was set back
		}
		l.countDown(at, device, l.recent(at, before+every, every), every)
	}
}

// recent is the first slot on the grid from first on that is counted at a time: of
// more than 31 days before it none is.
func (l *Ledger) recent(at, first, every telemetry.Micros) telemetry.Micros {
	if oldest := l.quarterOf(max(earliest, at-maxDown)) + l.quarter; first < oldest {
		first += (oldest - first + every - 1) / every * every
	}
	return first
}

// countDown counts the slots from first until at. Whole quarter-hours go into
// one account, the rest into those that hold other counts, too.
func (l *Ledger) countDown(at telemetry.Micros, device int, first, every telemetry.Micros) {
	points := uint64(len(l.devices[device].Signals))
	by := schedule{every, points}
	down := func(c *counts, n uint64) { c.down += n * points }
	slots := func(from, until telemetry.Micros) uint64 { // from is one
		if until <= from {
			return 0
		}
		return uint64((until - from + every - 1) / every)
	}
	whole := span{l.quarterOf(first), l.quarterOf(at)}
	if first > whole.from {
		whole.from += l.quarter
	}
	if whole.to <= whole.from {
		l.spread(at, device, first, slots(first, at+1), by, down)
		return
	}
	n := slots(first, whole.from)
	l.spread(at, device, first, n, by, down)
	first += telemetry.Micros(n) * every
	n = slots(first, whole.to)
	if counts := l.touch(at, whole); counts != nil {
		counts[device].present = true
		down(&counts[device], n)
	} else {
		l.leftOut += n * points
	}
	first += telemetry.Micros(n) * every
	l.spread(at, device, first, slots(first, at+1), by, down)
}
