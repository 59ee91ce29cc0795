package forward

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
)

// ErrTooLarge is what a message fails with if the log takes none of its size, or
// not as much at a time. The log may have what was sent behind it.
var ErrTooLarge = errors.New("too large for the log")

const (
	// A record that is too large even alone stays in the buffer and is tried again
	// after so long: somebody may have raised the log's limit.
	largeAgain = 10 * time.Minute
	// More such records than this are no exception, and hold the lane up as any
	// other refusal does.
	mostLarge = 100
	// How long a lane sends less at a time after the log has refused to take more.
	boundFor = time.Hour
)

// tooLarge is a record's refusal by ErrTooLarge.
type tooLarge struct {
	position buffer.Position
	record   string
	bytes    int
	underWay size // when it was refused
	cause    error
}

func (e *tooLarge) Error() string {
	return fmt.Sprintf("forward: record %s with %d bytes: %v", e.record, e.bytes, e.cause)
}

func (e *tooLarge) Unwrap() error { return e.cause }

// sizes are what a lane has learnt of how much the log takes at a time.
type sizes struct {
	mu      sync.Mutex
	bound   int       // bytes under way; 0: none is known
	until   time.Time // for the bound
	records map[buffer.Position]time.Time
}

// learn notes a refusal, and reports whether the lane can go on at once.
func (s *sizes) learn(e *tooLarge) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.underWay.records > 1 {
		s.bound, s.until = max(1, e.underWay.bytes/2), time.Now().Add(boundFor)
		return true
	}
	if len(s.records) == mostLarge {
		return false
	}
	if s.records == nil {
		s.records = map[buffer.Position]time.Time{}
	}
	s.records[e.position] = time.Now().Add(largeAgain)
	return true
}

// forget forgets the records that are to be tried again, and reports whether there
// are any.
func (s *sizes) forget() (any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, again := range s.records {
		if time.Now().After(again) {
			delete(s.records, p)
			any = true
		}
	}
	return any
}

// passes reports whether the record at position p is known to be too large.
func (s *sizes) passes(p buffer.Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, large := s.records[p]
	return large
}

// allows reports whether a record of so many bytes may be added to what is under
// way.
func (s *sizes) allows(w size, bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return w.records == 0 || s.bound == 0 || w.bytes+bytes <= s.bound || time.Now().After(s.until)
}

func (s *sizes) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}
