package buffer

import "time"

// latency is how long commits have taken.
type latency struct {
	last, longest time.Duration
	failingSince  time.Time // zero while they succeed
	cause         error     // of the last failure
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
		l.cause = err
		return
	}
	l.last, l.longest, l.failingSince = took, max(l.longest, took), time.Time{}
}

// Refused says since when commits to the chain have failed, and why the last one
// did; since is zero while they succeed.
func (c *Chain) Refused() (since time.Time, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latency.failingSince.IsZero() {
		return time.Time{}, nil
	}
	return c.latency.failingSince, c.latency.cause
}
