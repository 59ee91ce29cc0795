package buffer

import "time"

// Stats is a chain's size.
type Stats struct {
	Waiting   uint64 // records neither acknowledged nor given up
	Bytes     int64  // on disk, in all segments
	Segments  int
	Broken    int    // files that were set aside as unreadable and are still there, or will be
	Committed uint64 // sequence numbers committed in this epoch
	Held      int    // records that wait in memory for the disk
	Numbered  uint64 // sequence numbers of this epoch that records have: committed, held, or given up

	Thinned uint64 // segments since the start
	Dropped uint64 // segments given up since the start
	// LastCommit and LongestCommit are how long commits took; those that fail don't
	// count. FailingSince is zero while they succeed.
	LastCommit, LongestCommit time.Duration
	FailingSince              time.Time
}

func (c *Chain) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{
		Segments: len(c.segments), Broken: c.broken, Committed: c.nextSeq, Held: len(c.held), Numbered: c.nextSeq,
		Waiting: uint64(c.end()) - c.done.count() - c.apart.count(),
		Thinned: c.thinned.Load(), Dropped: c.dropped.Load(),
		LastCommit: c.latency.last, LongestCommit: c.latency.longest, FailingSince: c.latency.failingSince,
	}
	if n := len(c.held); n > 0 {
		s.Numbered = c.held[n-1].Record.Last + 1
	}
	for _, seg := range c.segments {
		s.Bytes += seg.size
		if seg.unreadable > 0 {
			s.Broken++
		}
	}
	for _, seg := range c.leaving {
		s.Bytes += seg.size
		if seg.unreadable > 0 {
			s.Broken++
		}
	}
	return s
}
