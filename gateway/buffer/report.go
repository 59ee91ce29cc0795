package buffer

import (
	"sync"
	"time"
)

// Report is how full a buffer is, in bytes of files.
type Report struct {
	Limit     int64 // that everything together stays within
	Reserve   int64 // of it, for events
	Telemetry int64
	Events    int64
	Books     int64 // meta.db
	SetAside  int64 // unreadable files, which take room from the others
	Share     int64 // that telemetry may take as things are

	// Left is how long telemetry could be committed at the rate of the last ten
	// minutes before something has to be thinned, if nothing were acknowledged from
	// now on; negative while that rate isn't known. It is meaningful with the log
	// away as well as with it there.
	Left time.Duration
	// Thinning says that the room is short: telemetry is being thinned, or given up.
	Thinning bool

	Generations   [statesOnly + 1]int // telemetry segments by how often they were thinned
	FilesSetAside int
}

// Report says how full the buffer is.
func (b *Buffer) Report() Report {
	u := b.space.usage()
	r := Report{
		Limit: u.limit, Reserve: b.space.reserve, Telemetry: u.telemetry, Events: u.events,
		Books: u.meta, SetAside: u.aside, Share: u.share, Left: -1, FilesSetAside: b.Broken(),
	}
	fullness := b.fullness()
	r.Thinning = fullness > thinFrom
	if perSecond := b.filling.perSecond(); perSecond > 0 {
		room := float64(u.telemetry) / max(fullness, 1e-9)
		if u.telemetry == 0 {
			room = float64(u.share)
		}
		seconds := max(0, thinFrom*room-float64(u.telemetry)) / perSecond
		r.Left = time.Duration(min(seconds, longestLeft.Seconds()) * float64(time.Second))
	}
	c := b.Telemetry
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.segments {
		r.Generations[min(s.generation, statesOnly)]++
	}
	return r
}

// longestLeft bounds Report.Left, which would else overflow for a buffer that
// hardly fills.
const longestLeft = 10 * 365 * 24 * time.Hour

// taken is how many bytes the chain's commits have taken since the start.
func (c *Chain) taken() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.grew
}

// rate is the growth of a count, smoothed over ten minutes, or over what there is
// of them.
type rate struct {
	mu          sync.Mutex
	began, last time.Time
	count       int64
	value       float64 // a second
}

const (
	smoothing  = 10 * time.Minute
	rateNeeded = 10 * time.Second // before a rate is told
)

func (r *rate) note(now time.Time, count int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() {
		r.began, r.last, r.count = now, now, count
		return
	}
	passed := now.Sub(r.last)
	if passed < time.Second {
		return
	}
	weight := passed.Seconds() / min(now.Sub(r.began), smoothing).Seconds()
	r.value += (float64(count-r.count)/passed.Seconds() - r.value) * min(1, weight)
	r.last, r.count = now, count
}

// perSecond is 0 while there isn't enough to tell.
func (r *rate) perSecond() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.Sub(r.began) < rateNeeded {
		return 0
	}
	return r.value
}
