package rollout

import (
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// mostBundles bounds those that are sent at once.
	mostBundles = 32
	// turn is how long who fetches a bundle keeps its place when another one waits for one:
	// 1 MB at 64 kbit/s. What is cut off then is gone on with.
	turn = 2 * time.Minute
	// stalled is how long who fetches one may take nothing: as long as 1 MB in the buffers
	// between takes at 64 kbit/s, and a margin.
	stalled = 4 * time.Minute
)

// mostKnown bounds the addresses that are remembered of those that wait and that rest.
const mostKnown = 4096

// places are those from which bundles are sent. Who comes is told by its address: those behind
// one address have no order among themselves.
type places struct {
	most int
	turn time.Duration

	mu      sync.Mutex
	taken   []*place             // the one taken first comes first
	waiting map[string]time.Time // until when a place is kept for who was refused
	resting map[string]time.Time // until when who was cut off is behind those that wait
}

// place is one that is taken.
type place struct {
	http.ResponseWriter
	control *http.ResponseController
	who     string
	since   time.Time
	cut     bool // its turn is over
}

// take gives a place, and what gives it back; nil if all are taken or kept for others. Then
// who has had one for longest gives it up, if its turn is over. It is kept for those who were
// refused: who was cut off comes again as soon as they do.
func (p *places) take(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, func()) {
	who, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		who = r.RemoteAddr
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	over := func(_ string, until time.Time) bool { return !now.Before(until) }
	maps.DeleteFunc(p.waiting, over)
	maps.DeleteFunc(p.resting, over)
	_, waited := p.waiting[who]
	_, rests := p.resting[who]
	free, others := p.most-len(p.taken), len(p.waiting)
	if waited {
		others--
	}
	if free > 0 && (waited || free > others) {
		delete(p.waiting, who)
		t := &place{ResponseWriter: w, control: http.NewResponseController(w), who: who, since: now}
		p.taken = append(p.taken, t)
		return &sending{t, p}, func() { p.leave(t) }
	}
	if !waited && rests {
		return nil, nil
	}
	note(&p.waiting, who, now.Add(p.turn))
	p.makeRoom(now, free, who)
	return nil, nil
}

// makeRoom cuts off who has had a place for longest, if its turn is over and fewer places are
// free, or soon will be, than are waited for.
func (p *places) makeRoom(now time.Time, free int, who string) {
	for _, t := range p.taken {
		if t.cut {
			free++
		}
	}
	if free >= len(p.waiting) {
		return
	}
	for _, t := range p.taken {
		if t.cut || now.Sub(t.since) < p.turn {
			continue
		}
		t.cut = true
		if t.who != who {
			note(&p.resting, t.who, now.Add(p.turn))
		}
		// If it can't be, writing ends by itself.
		_ = t.control.SetWriteDeadline(now)
		return
	}
}

// note keeps until when something holds of an address.
func note(until *map[string]time.Time, who string, at time.Time) {
	if *until == nil {
		*until = map[string]time.Time{}
	}
	if _, known := (*until)[who]; known || len(*until) < mostKnown {
		(*until)[who] = at
	}
}

func (p *places) leave(t *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = slices.DeleteFunc(p.taken, func(other *place) bool { return other == t })
}

// sending writes to who has a place.
type sending struct {
	*place
	of *places
}

// Write implements io.Writer. It is in pieces, as long as there is no ReadFrom.
func (s *sending) Write(b []byte) (int, error) {
	s.of.mu.Lock()
	if !s.cut {
		// Without a deadline, the server's own holds.
		_ = s.control.SetWriteDeadline(time.Now().Add(stalled))
	}
	s.of.mu.Unlock()
	return s.ResponseWriter.Write(b)
}
