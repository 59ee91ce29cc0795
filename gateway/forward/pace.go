package forward

import (
	"context"
	"sync"
	"time"
)

// precedence knows whether the lanes that go before backfill wait for the log
// longer than usual.
type precedence struct {
	lanes []*Lane

	mu     sync.Mutex
	usual  [2]time.Duration // the shortest acknowledgement of this period and of the one before
	period time.Time
	late   time.Time // when one came late, last
}

const (
	usualPeriod = 5 * time.Minute
	// An acknowledgement is late if it takes this longer than the shortest of the
	// last minutes and a quarter of that, whatever it is that makes it wait: the line,
	// the broker, this machine.
	tolerated = 200 * time.Millisecond
	// How long a late one holds backfill back.
	lateFor = time.Second
)

// acknowledged is told how long each acknowledgement took.
func (p *precedence) acknowledged(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.period) > usualPeriod {
		p.usual = [2]time.Duration{took, p.usual[0]}
		p.period = time.Now()
	}
	p.usual[0] = min(p.usual[0], took)
	if took > p.allowed() {
		p.late = time.Now()
	}
}

// allowed is how long an acknowledgement may take.
func (p *precedence) allowed() time.Duration {
	usual := p.shortest()
	return usual + usual/4 + tolerated
}

func (p *precedence) shortest() time.Duration {
	if p.usual[1] > 0 {
		return min(p.usual[0], p.usual[1])
	}
	return p.usual[0]
}

// longLine is a line on which TCP needs more than a second to send again what was
// lost, if an acknowledgement takes at least so long.
const longLine = 300 * time.Millisecond

// patience is how long an event's acknowledgement may take before it is sent a
// second way: no time at all on a long line. False if no acknowledgement has come
// yet.
func (p *precedence) patience() (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	usual := p.shortest()
	if usual > longLine {
		return 0, true
	}
	return p.allowed(), usual > 0
}

// lastPatience is how long it may take if the second way was used at once; false
// if it wasn't.
func (p *precedence) lastPatience() (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.allowed(), p.shortest() > longLine
}

// waits reports whether a record of the lanes that go first waits too long, one
// did until a moment ago, or the broker throttles this gateway.
func (p *precedence) waits() bool {
	p.mu.Lock()
	late, allowed := time.Since(p.late) < lateFor, p.allowed()
	p.mu.Unlock()
	if late {
		return true
	}
	for _, l := range p.lanes {
		if w := l.window.Load(); w != nil {
			if oldest := w.size().oldest; !oldest.IsZero() && time.Since(oldest) > allowed {
				return true
			}
		}
		if l.link.heldBack() {
			return true
		}
	}
	return false
}

// pace is how much backfill sends. While what goes before it waits, it falls to
// one record at a time and rests after each for three times as long as that took:
// a quarter of the time is its guaranteed share. Else it grows by a record with
// each acknowledgement.
type pace struct {
	rank    *precedence
	link    *Link
	maxRate float64 // bytes/s, 0: no limit

	mu    sync.Mutex
	most  int       // records under way
	rest  time.Time // until then
	ready time.Time // when the rate allows the next record
}

const (
	mostBackfill  = 32      // records under way
	backfillBytes = 1 << 20 // of them, unless it is one record
	restFactor    = 3
	longestRest   = 15 * time.Second
	restStep      = 50 * time.Millisecond
	// What the rate wasn't used for can be made up for so long.
	rateBurst = time.Second
)

func newPace(rank *precedence, link *Link, maxRate int64) *pace {
	return &pace{rank: rank, link: link, maxRate: float64(maxRate), most: 1}
}

func (p *pace) yields() bool { return p.rank.waits() || p.link.heldBack() }

func (p *pace) acknowledged(took time.Duration) {
	yields := p.yields()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !yields {
		p.most = min(p.most+1, mostBackfill)
		return
	}
	p.most = max(1, p.most/2)
	if p.most == 1 {
		p.rest = time.Now().Add(min(restFactor*took, longestRest))
	}
}

func (p *pace) limits() (most int, rest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most, time.Until(p.rest)
}

func (p *pace) admit(ctx context.Context, w *window, bytes int) error {
	err := w.await(ctx, func(s size) bool {
		most, _ := p.limits()
		return s.records == 0 || s.records < most && s.bytes+bytes <= backfillBytes
	})
	for err == nil {
		_, rest := p.limits()
		if rest <= 0 || !p.yields() {
			break
		}
		err = sleep(ctx, min(rest, restStep))
	}
	if err != nil || p.maxRate == 0 {
		return err
	}
	return sleep(ctx, p.claim(time.Now(), bytes))
}

// claim takes so many bytes of the rate and says how long to wait for them.
func (p *pace) claim(now time.Time, bytes int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-rateBurst); p.ready.Before(earliest) {
		p.ready = earliest
	}
	wait := p.ready.Sub(now)
	p.ready = p.ready.Add(time.Duration(float64(bytes) / p.maxRate * float64(time.Second)))
	return max(0, wait)
}
