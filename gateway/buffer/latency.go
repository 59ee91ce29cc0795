package buffer

import "time"

// latency is how long commits have taken.
type latency struct {
	last, longest time.Duration
	failingSince  time.Time // zero while they succeed
}

// note enters how a commit went.
func (c *Chain) note(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.latency
	if err != nil {
		if l.failingSince.IsZero() {
			l.failingSince = time.Now()
		}
		return
	}
	l.last, l.longest, l.failingSince = took, max(l.longest, took), time.Time{}
}
