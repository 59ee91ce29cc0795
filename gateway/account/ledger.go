// Package account counts what becomes of the samples that a gateway is to read,
// device by device and quarter-hour by quarter-hour, for the completeness
// ledger. It has no clock and does no I/O: its state is meant to be committed
// with the samples that it has counted, so that no count outlives them or is
// lost before them.
package account

import (
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Device is what the configuration asks of a device.
type Device struct {
	ID string
	// Every is the time between two slots of its schedule. 0: nothing is ever due
	// of it, it sends by itself, and what comes is what was scheduled.
	Every   time.Duration
	Signals []telemetry.SignalID // what is read in one slot
	Own     []telemetry.SignalID // what the gateway adds: delivered, but never scheduled
}

// Slot is a slot of a device's schedule that was used, and those before it that
// were not.
type Slot struct {
	Device   int              // index into Options.Devices, or as Change returned it
	Schedule int              // which of the device's schedules, as Change returned it; 0: the first
	Due      telemetry.Micros // of the slot that was used
	// Missed slots came directly before it, Spared ones before these: see
	// adapters.Batch.
	Missed, Spared uint32
	SparedFor      telemetry.Reason
	Suppressed     uint32 // samples that a deadband left out
	SinceBoot      bool   // Due counts from the boot: the time isn't known
	// Steady is set if the clock of Due wasn't set since the device's slot before. Then
	// slots that nobody accounts for passed while the machine slept.
	Steady bool
}

// Options are what New needs.
type Options struct {
	Epoch   record.Epoch // of this process
	Devices []Device
	Quarter telemetry.Micros // length of an interval; 0 means telemetry.Quarter
	Settle  telemetry.Micros // see Ledger.Due; 0 means 15 s
}

// Ledger holds the counts of the quarter-hours that are still told of. It isn't
// safe for concurrent use.
//
// A sample counts in the quarter-hour of its time, a slot that wasn't used in
// that of its due time. Scheduled is their sum: so many values as were read or
// should have been. A slot that is due before the end of a quarter-hour and
// answered after it counts in the next, so that a whole quarter-hour may have one
// slot more or less than it is long.
type Ledger struct {
	epoch   record.Epoch
	devices []Device
	quarter telemetry.Micros
	settle  telemetry.Micros

	names     []string
	schedules [][]schedule       // that a device has had in this process
	retired   []bool             // not configured any more
	owners    []owner            // by signal id
	last      []telemetry.Micros // a device's slot that was accounted for last; 0: none
	before    []telemetry.Micros // the same of earlier processes, until CountDown
	intervals []*interval        // of this epoch, in the order in which they were opened
	earlier   []section          // of earlier epochs, until they are told
	closed    []closed           // of this epoch, in the order in which they were forgotten
	gone      []span             // of this epoch, told and forgotten for good
	unplaced  unplaced
	held      []record.Epoch     // the process whose held slots of a device were counted last; 0: none's
	late      []telemetry.Micros // see take
	newest    telemetry.Micros   // the latest present that there was

	closedBytes int

	alive   telemetry.Micros // when the process before was last known to run
	changes uint64
	counted uint64 // samples that were to be committed
	leftOut uint64

	maxIntervals int
}

// owner is the device that a signal belongs to.
type owner struct {
	device int32 // −1: none
	own    bool  // added by the gateway
}

// span is a time from an instant until another.
type span struct{ from, to telemetry.Micros }

const (
	// mostIntervals bounds the quarter-hours that are counted at a time, and
	// mostCounts their devices together, but fewestIntervals there can be. One or
	// two are normal. Clocks that are hours off need more, and a disk that takes
	// nothing for a day, when nothing can be told.
	mostIntervals, mostCounts, fewestIntervals = 96, 50_000, 12
	// maxQuiet bounds those of them that are told and kept in case more comes.
	maxQuiet = 3
	// maxAhead bounds how far in the future a sample can be.
	maxAhead = telemetry.Micros(24 * 3600 * 1_000_000)
	// maxDown bounds the time for which the polls of a stopped gateway are counted.
	maxDown = telemetry.Micros(31 * 24 * 3600 * 1_000_000)
	// earliest is before any sample: 2020-01-01. What is older comes from a clock
	// that nothing had set.
	earliest = telemetry.Micros(1_577_836_800_000_000)

	defaultSettle = telemetry.Micros(15 * 1_000_000)
)

// New makes an empty ledger.
func New(o Options) *Ledger {
	l := &Ledger{epoch: o.Epoch, quarter: o.Quarter, settle: o.Settle}
	if l.quarter == 0 {
		l.quarter = telemetry.Quarter
	}
	if l.settle == 0 {
		l.settle = defaultSettle
	}
	for _, d := range o.Devices {
		l.add(d)
	}
	l.bound()
	return l
}

// add takes up a device that the ledger doesn't know.
func (l *Ledger) add(d Device) {
	l.devices, l.names = append(l.devices, d), append(l.names, d.ID)
	l.schedules = append(l.schedules, []schedule{scheduleOf(d)})
	l.retired = append(l.retired, false)
	l.last, l.before, l.late = append(l.last, 0), append(l.before, 0), append(l.late, 0)
	l.held = append(l.held, 0)
	l.ownAll(len(l.devices) - 1)
}

// bound bounds the intervals that are counted at a time.
func (l *Ledger) bound() {
	l.maxIntervals = min(mostIntervals, max(fewestIntervals, mostCounts/max(1, len(l.devices))))
}

// ownAll gives a device the signals that it has now.
func (l *Ledger) ownAll(device int) {
	for _, s := range l.devices[device].Signals {
		l.own(s, owner{device: int32(device)})
	}
	for _, s := range l.devices[device].Own {
		l.own(s, owner{device: int32(device), own: true})
	}
}

func (l *Ledger) own(s telemetry.SignalID, o owner) {
	for int(s) >= len(l.owners) {
		l.owners = append(l.owners, owner{device: -1})
	}
	l.owners[s] = o
}

// Count takes samples that are about to be committed, and the slots that they
// were read in or that passed before them. What counts from the boot is left for
// CountHeld.
func (l *Ledger) Count(now telemetry.Micros, samples []telemetry.Sample, slots []Slot) {
	l.counted += uint64(len(samples))
	l.count(now, samples, true)
	for _, s := range slots {
		if !s.SinceBoot {
			l.countSlot(now, s)
		}
	}
}

// Discard takes samples and slots as Count does, but the samples will never be
// committed: they were read, and not delivered. What counts from the boot waits in
// memory for Place.
func (l *Ledger) Discard(now telemetry.Micros, samples []telemetry.Sample, slots []Slot) {
	l.count(now, samples, false)
	for _, s := range slots {
		l.countSlot(now, s)
	}
}

func (l *Ledger) count(now telemetry.Micros, samples []telemetry.Sample, delivered bool) {
	var within span
	var counts []counts
	for i := range samples {
		s := &samples[i]
		if s.Quality.TimeQuality() == telemetry.SinceBoot {
			if delivered {
				continue
			}
			if o := l.ownerOf(s.Signal); o.device < 0 || !l.unplaced.add(run{s.Time, o, s.Quality}) {
				l.leftOut++
			}
			continue
		}
		if s.Time < within.from || s.Time >= within.to {
			from := l.quarterOf(s.Time)
			within = span{from, from + l.quarter}
			if counts = nil; l.plausible(now, s.Time) {
				counts = l.touch(now, within)
			}
		}
		o := l.ownerOf(s.Signal)
		if counts == nil || o.device < 0 {
			l.leftOut++
			continue
		}
		counts[o.device].add(o.own, s.Quality, delivered, 1)
	}
}

func (l *Ledger) ownerOf(s telemetry.SignalID) owner {
	if int(s) >= len(l.owners) {
		return owner{device: -1}
	}
	return l.owners[s]
}

func (l *Ledger) countSlot(now telemetry.Micros, s Slot) {
	if s.SinceBoot {
		if len(l.unplaced.slots) < maxUnplaced {
			l.unplaced.slots = append(l.unplaced.slots, s)
		}
		return
	}
	by := l.schedules[s.Device][s.Schedule]
	if last := l.last[s.Device]; s.Steady && last != 0 && by.every > 0 {
		if first := by.first(s); first-last-by.every >= leastSleep {
			l.countDown(first-1, s.Device, l.recent(first, last+by.every, by.every), by.every)
		}
	}
	l.countScheduled(now, s, by)
}

// leastSleep is how long a machine sleeps at least. A clock that is slewed, or set a
// little, makes shorter gaps.
const leastSleep = telemetry.Micros(1_000_000)

// first is when the first of the slots was due that s tells of.
func (by schedule) first(s Slot) telemetry.Micros {
	return s.Due - (telemetry.Micros(s.Missed)+telemetry.Micros(s.Spared))*by.every
}

func (l *Ledger) countScheduled(now telemetry.Micros, s Slot, by schedule) {
	if s.Suppressed > 0 {
		l.spread(now, s.Device, s.Due, 1, by, func(c *counts, _ uint64) { c.suppressed += uint64(s.Suppressed) })
	}
	if by.every <= 0 {
		return
	}
	missed := s.Due - telemetry.Micros(s.Missed)*by.every
	spared := missed - telemetry.Micros(s.Spared)*by.every
	l.spread(now, s.Device, missed, uint64(s.Missed), by, func(c *counts, n uint64) { c.missed += n * by.points })
	l.spread(now, s.Device, spared, uint64(s.Spared), by, func(c *counts, n uint64) {
		c.bad[min(int(s.SparedFor), len(c.bad)-1)] += n * by.points
	})
	if l.last[s.Device] != s.Due {
		l.last[s.Device] = s.Due
		l.changes++
	}
}

// spread adds n slots of a device, the first of them at first, to the
// quarter-hours that they fall into.
func (l *Ledger) spread(now telemetry.Micros, device int, first telemetry.Micros, n uint64, by schedule, add func(*counts, uint64)) {
	every := max(1, by.every)
	for n > 0 {
		from := l.quarterOf(first)
		within := span{from, from + l.quarter}
		here := min(n, uint64((within.to-first+every-1)/every))
		var counts []counts
		if l.plausible(now, first) {
			counts = l.touch(now, within)
		}
		if counts == nil {
			l.leftOut += here * by.points
		} else {
			counts[device].present = true
			add(&counts[device], here)
		}
		n -= here
		first += telemetry.Micros(here) * every
	}
}

// plausible reports whether a time can be that of a sample. Clocks that nothing
// had set must not make accounts of quarter-hours that never were. The present may
// have been set back since the sample was taken.
func (l *Ledger) plausible(now, at telemetry.Micros) bool {
	l.newest = max(l.newest, now)
	return at >= earliest && at <= l.newest+maxAhead
}

func (l *Ledger) quarterOf(m telemetry.Micros) telemetry.Micros {
	from := m / l.quarter * l.quarter
	if from > m {
		from -= l.quarter
	}
	return from
}

// touch returns the counts of an interval that are about to change, nil if they
// can't any more: its account was told and forgotten, or too many are open.
func (l *Ledger) touch(now telemetry.Micros, within span) []counts {
	i := l.open(now, within)
	if i == nil {
		return nil
	}
	l.changes++
	i.changes++
	i.changed = now
	return i.counts
}

func (l *Ledger) open(now telemetry.Micros, within span) *interval {
	for _, i := range l.intervals {
		if i.span == within {
			return i
		}
	}
	if slices.ContainsFunc(l.gone, func(c span) bool { return within.from < c.to && c.from < within.to }) {
		return nil
	}
	if len(l.intervals) >= l.maxIntervals {
		l.forget(l.maxIntervals - 1)
		if len(l.intervals) >= l.maxIntervals {
			return nil
		}
	}
	i := l.reopen(now, within)
	if i == nil {
		i = &interval{span: within, counts: make([]counts, len(l.devices)), since: now}
	}
	l.intervals = append(l.intervals, i)
	return i
}

// forget closes intervals that are told until at most n are left, those first
// that haven't changed for the longest time.
func (l *Ledger) forget(n int) {
	for len(l.intervals) > n {
		oldest := -1
		for k, i := range l.intervals {
			if i.quiet() && (oldest < 0 || i.changed < l.intervals[oldest].changed) {
				oldest = k
			}
		}
		if oldest < 0 {
			return
		}
		l.close(l.intervals[oldest])
		l.intervals = slices.Delete(l.intervals, oldest, oldest+1)
	}
}

// Tick opens the account of the present quarter-hour, so that there is one also
// of devices of which nothing is due in it.
func (l *Ledger) Tick(now telemetry.Micros) {
	if now < earliest {
		return
	}
	l.newest = max(l.newest, now)
	from := l.quarterOf(now)
	i := l.open(now, span{from, from + l.quarter})
	if i == nil || i.whole {
		return
	}
	i.whole = true
	for k := range i.counts {
		i.counts[k].present = i.counts[k].present || !l.retired[k]
	}
	l.touch(now, i.span)
}

// Changes rises with everything that the state has to say.
func (l *Ledger) Changes() uint64 { return l.changes }

// LeftOut counts samples that are in no account: their time can't be true, their
// quarter-hour had been closed, or their signal isn't configured.
func (l *Ledger) LeftOut() uint64 { return l.leftOut }
