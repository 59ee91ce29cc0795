package account

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// The state is a version byte, when the process was last known to run, how many
// samples of this epoch it has counted, up to which position of the chain what was
// held is counted (version 1 had nothing of that kind), sections
// (this epoch's, then those of earlier epochs that aren't told) and the CRC-32C of
// it all, little-endian. Numbers are varints. A section is its epoch, the names of
// its devices, each as the length of what it shares with the one before and
// the rest, their last slots, and the intervals of which something isn't told. A
// hundred devices with two open quarter-hours take about 2 KB.
const stateVersion = 2

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendState appends the state to dst; now is when the process was last known
// to run, and held the position up to which CountHeld has had all records.
func (l *Ledger) AppendState(dst []byte, now telemetry.Micros, held uint64) []byte {
	start := len(dst)
	dst = append(dst, stateVersion)
	dst = binary.AppendVarint(dst, int64(now))
	dst = binary.AppendUvarint(dst, l.counted)
	dst = binary.AppendUvarint(dst, held)
	dst = binary.AppendUvarint(dst, uint64(1+len(l.earlier)))
	dst = l.appendSection(dst, now, section{l.epoch, l.names, l.current(l.last), l.current(l.before), l.intervals})
	for _, s := range l.earlier {
		dst = l.appendSection(dst, now, s)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// current is the times of the devices that are configured: nobody was to read the
// others since, so that no process counts it as down.
func (l *Ledger) current(times []telemetry.Micros) []telemetry.Micros {
	if !slices.Contains(l.retired, true) {
		return times
	}
	times = slices.Clone(times)
	for k, retired := range l.retired {
		if retired {
			times[k] = 0
		}
	}
	return times
}

func (l *Ledger) appendSection(dst []byte, now telemetry.Micros, s section) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.epoch))
	dst = binary.AppendUvarint(dst, uint64(len(s.names)))
	before := ""
	for _, name := range s.names {
		dst = appendName(dst, before, name)
		before = name
	}
	dst = appendTimes(dst, now, s.last)
	dst = appendTimes(dst, now, s.before)
	untold := 0
	for _, i := range s.intervals {
		if !i.quiet() {
			untold++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(untold))
	for _, i := range s.intervals {
		if !i.quiet() {
			dst = l.appendInterval(dst, i)
		}
	}
	return dst
}

// appendName appends the length of what a name shares with the one before, and the
// rest.
func appendName(dst []byte, before, name string) []byte {
	shared := 0
	for shared < min(len(name), len(before)) && name[shared] == before[shared] {
		shared++
	}
	dst = binary.AppendUvarint(dst, uint64(shared))
	dst = binary.AppendUvarint(dst, uint64(len(name)-shared))
	return append(dst, name[shared:]...)
}

// appendTimes appends a list of times before now; one byte if they are all 0.
func appendTimes(dst []byte, now telemetry.Micros, times []telemetry.Micros) []byte {
	some := false
	for _, t := range times {
		some = some || t != 0
	}
	if !some {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	for _, t := range times {
		if t == 0 {
			dst = append(dst, 0)
			continue
		}
		zigzag := uint64((now-t)<<1) ^ uint64((now-t)>>63)
		dst = binary.AppendUvarint(dst, zigzag+1)
	}
	return dst
}

// appendInterval appends the bounds in quarter-hours, the revision, and for each
// device a bit set of which counts follow, 0 if it isn't in the account.
func (l *Ledger) appendInterval(dst []byte, i *interval) []byte {
	dst = binary.AppendVarint(dst, int64(i.from/l.quarter))
	dst = binary.AppendUvarint(dst, uint64((i.to-i.from)/l.quarter))
	dst = binary.AppendUvarint(dst, uint64(i.revision))
	for k := range i.counts {
		c := &i.counts[k]
		if !c.present {
			dst = append(dst, 0)
			continue
		}
		mask := uint64(1)
		c.each(func(bit int, n *uint64) {
			if *n != 0 {
				mask |= 1 << bit
			}
		})
		dst = binary.AppendUvarint(dst, mask)
		c.each(func(bit int, n *uint64) {
			if *n != 0 {
				dst = binary.AppendUvarint(dst, *n)
			}
		})
	}
	return dst
}

// each calls f for every count in the order of the state; bits begin at 1. New
// reasons go to the end.
func (c *counts) each(f func(bit int, n *uint64)) {
	for k, n := range [...]*uint64{&c.read, &c.delivered, &c.missed, &c.down, &c.suppressed} {
		f(1+k, n)
	}
	for k := range c.bad {
		f(6+k, &c.bad[k])
	}
}

// Restore takes over the state of the process before: its counts are told as its
// own accounts, with a revision that is higher than any that it told, and
// CountDown goes on from its last slots. earlier is what the buffer says of
// earlier processes: a state that doesn't know of all that was committed is an
// older one, found because the newest was damaged, and would replace accounts by
// smaller ones. CountHeld is to go on behind position held. On an error nothing is
// taken over, and held is behind everything.
func (l *Ledger) Restore(state []byte, earlier []telemetry.Committed) (held uint64, err error) {
	held = math.MaxUint64
	r := reader{rest: state}
	if len(state) < 5 || state[0] == 0 || state[0] > stateVersion {
		return held, errors.New("account: state: of another version")
	}
	body := state[:len(state)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(state[len(body):]) {
		return held, errors.New("account: state: the checksum is wrong")
	}
	r.rest = body[1:]
	alive := telemetry.Micros(r.signed())
	counted := r.number()
	through := uint64(math.MaxUint64)
	if state[0] > 1 {
		through = r.number()
	}
	sections := make([]section, 0, 1)
	for range r.length(12) {
		sections = append(sections, l.readSection(&r, alive))
		if r.failed {
			break
		}
	}
	if r.failed || len(r.rest) > 0 || len(sections) == 0 {
		return held, errors.New("account: state: it is malformed")
	}
	for _, s := range sections {
		if s.epoch == l.epoch {
			return held, fmt.Errorf("account: state: it is of this epoch, %s", l.epoch)
		}
	}
	for _, c := range earlier {
		if c.Stream == string(record.Telemetry) && c.Epoch == sections[0].epoch.String() && c.Count > counted {
			return held, fmt.Errorf("account: state: it has counted %d of %d committed samples", counted, c.Count)
		}
	}
	l.take(sections[0])
	for _, s := range sections {
		if len(s.intervals) > 0 {
			s.last, s.before = nil, nil
			l.earlier = append(l.earlier, s)
		}
	}
	l.alive = alive
	l.changes++
	return through, nil
}

// take goes on from the last slots of the process before.
func (l *Ledger) take(newest section) {
	index := map[string]int{}
	for k, name := range l.names {
		index[name] = k
	}
	for k, name := range newest.names {
		device, configured := index[name]
		if !configured {
			continue
		}
		if newest.last != nil {
			l.before[device] = newest.last[k]
		}
		// Where the process before didn't know the time, it is still that of the one
		// before it, until what the process had held is counted.
		if newest.before != nil && newest.before[k] != 0 {
			l.late[device] = l.before[device]
			l.before[device] = newest.before[k]
		}
	}
}

func (l *Ledger) readSection(r *reader, alive telemetry.Micros) section {
	s := section{epoch: record.Epoch(r.fixed64())}
	before := ""
	for range r.length(2) {
		if before = r.name(before); r.failed {
			return s
		}
		s.names = append(s.names, before)
	}
	s.last = r.times(alive, len(s.names))
	s.before = r.times(alive, len(s.names))
	for range r.length(3 + len(s.names)) {
		if i := l.readInterval(r, len(s.names)); !r.failed {
			s.intervals = append(s.intervals, i)
		}
	}
	return s
}

// maxName bounds the bytes of a device's id. Each can share all of the one before:
// what is kept is bounded by names that a gateway can have.
const maxName = 1024

// name reads what appendName wrote.
func (r *reader) name(before string) string {
	shared := r.number()
	if shared > uint64(len(before)) {
		r.failed = true
	}
	if r.failed {
		return ""
	}
	name := before[:shared] + string(r.bytes())
	if len(name) > maxName {
		r.failed = true
	}
	return name
}

// upTo reads a number that isn't more than most.
func (r *reader) upTo(most uint64) uint64 {
	n := r.number()
	if n > most {
		r.failed = true
		return 0
	}
	return n
}

func (l *Ledger) readInterval(r *reader, devices int) *interval {
	from, quarters := r.signed(), r.number()
	// The last one is a bound for the arithmetic, years after any clock.
	const farthest = 1 << 32
	if from < 0 || from > farthest || quarters == 0 || quarters > farthest {
		r.failed = true
		return nil
	}
	i := &interval{
		span: span{telemetry.Micros(from) * l.quarter, (telemetry.Micros(from) + telemetry.Micros(quarters)) * l.quarter},
		// Its newest account may have been told after the state was committed.
		revision: uint32(r.number()) + 1,
		counts:   make([]counts, devices),
		changes:  1,
	}
	for k := range i.counts {
		mask := r.number()
		if r.failed || mask>>(6+reasons) != 0 || mask != 0 && mask&1 == 0 {
			r.failed = true
			return nil
		}
		i.counts[k].present = mask != 0
		i.counts[k].each(func(bit int, n *uint64) {
			if mask&(1<<bit) != 0 {
				*n = r.number()
			}
		})
	}
	return i
}

// reader takes a state apart. Once something is missing it has failed, and
// returns zeros.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) signed() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// length is how many things follow that take at least so many bytes each.
func (r *reader) length(each int) int {
	n := r.number()
	if n > uint64(len(r.rest)/each) {
		r.failed = true
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.length(1)
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) fixed64() uint64 {
	if len(r.rest) < 8 {
		r.failed = true
		return 0
	}
	n := binary.BigEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return n
}

func (r *reader) times(alive telemetry.Micros, n int) []telemetry.Micros {
	if r.number() == 0 {
		return nil
	}
	if n > len(r.rest) {
		r.failed = true
		return nil
	}
	times := make([]telemetry.Micros, n)
	for k := range times {
		if z := r.number(); z != 0 {
			z--
			times[k] = alive - telemetry.Micros(int64(z>>1)^-int64(z&1))
		}
	}
	return times
}
