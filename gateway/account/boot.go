package account

import "github.com/busbar/busbar/telemetry"

// maxUnplaced bounds the memory for what waits for the time, in runs and in
// slots: of a hundred devices read every second, a quarter of an hour.
const maxUnplaced = 100_000

// run is samples of one device and instant that had the same fate.
type run struct {
	at      telemetry.Micros // since the boot
	signal  owner
	quality telemetry.Quality
}

// unplaced is what was discarded and can't be given a quarter-hour yet. It is in no
// record, nor in the state: if the gateway is killed before the time is known, it
// counts as down.
type unplaced struct {
	runs  []run
	sizes []uint64 // samples of each run
	slots []Slot
}

// add keeps a sample until Place. It reports false if there is no room.
func (u *unplaced) add(r run) bool {
	if n := len(u.runs); n > 0 && u.runs[n-1] == r {
		u.sizes[n-1]++
		return true
	}
	if len(u.runs) >= maxUnplaced {
		return false
	}
	u.runs, u.sizes = append(u.runs, r), append(u.sizes, 1)
	return true
}

// Place counts what was discarded since a boot that began at boot, and had to wait
// until that was known.
func (l *Ledger) Place(now, boot telemetry.Micros) {
	waiting := l.unplaced
	l.unplaced = unplaced{}
	for k, r := range waiting.runs {
		at, n := r.at+boot, waiting.sizes[k]
		from := l.quarterOf(at)
		var counts []counts
		if l.plausible(now, at) {
			counts = l.touch(now, span{from, from + l.quarter})
		}
		if counts == nil {
			l.leftOut += n
			continue
		}
		counts[r.signal.device].add(r.signal.own, r.quality, false, n)
	}
	for _, s := range waiting.slots {
		s.SinceBoot = false
		s.Due += boot
		l.countSlot(now, s)
	}
}
