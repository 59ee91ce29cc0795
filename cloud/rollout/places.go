package rollout

import (
	"net/http"
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

// places are those from which bundles are sent.
type places struct {
	most int
	turn time.Duration

	mu    sync.Mutex
	taken []*place // the one taken first comes first
}

// place is one that is taken.
type place struct {
	http.ResponseWriter
	control *http.ResponseController
	since   time.Time
	cut     bool // its turn is over
}

// take gives a place, and what gives it back; nil if all are taken. Then who has had one
// for longest gives it up, if its turn is over, so that who comes again finds one.
func (p *places) take(w http.ResponseWriter) (http.ResponseWriter, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.taken) == p.most {
		for _, t := range p.taken {
			if !t.cut && time.Since(t.since) >= p.turn {
				t.cut = true
				// If it can't be, writing ends by itself.
				_ = t.control.SetWriteDeadline(time.Now())
				break
			}
		}
		return nil, nil
	}
	t := &place{ResponseWriter: w, control: http.NewResponseController(w), since: time.Now()}
	p.taken = append(p.taken, t)
	return &sending{t, p}, func() { p.leave(t) }
}

func (p *places) leave(t *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.taken {
		if other == t {
			p.taken = append(p.taken[:i], p.taken[i+1:]...)
			return
		}
	}
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
