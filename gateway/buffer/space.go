package buffer

import (
	"errors"
	"os"
	"sync"
)

// errNoRoom is what a commit fails with when its bytes don't fit into the share of
// its stream.
var errNoRoom = errors.New("the buffer is full")

// space shares the bytes of the buffer's directory out. Bytes are claimed before a
// file may grow, so that the whole never exceeds the limit, and settled when it is
// known by how much the file did.
//
// Telemetry leaves the events their reserve; the events take that and what nobody
// else uses. Files that were set aside count as well, but leave live data at least
// a quarter of the limit.
type space struct {
	limit   int64
	reserve int64 // for events

	mu    sync.Mutex
	used  [2]int64 // by lane, claims included
	meta  int64    // the bookkeeping
	aside int64    // files that were set aside
	other int64    // files that aren't the buffer's, such as the gateway's key
}

// lane is a stream's place in space.used.
type lane int

const (
	eventsLane lane = iota
	telemetryLane
)

// live is how much files that are in use may take.
func (s *space) live() int64 { return max(s.limit/4, s.limit-s.aside-s.other) }

// books is what is kept free for the bookkeeping.
func (s *space) books() int64 { return max(s.meta, min(4<<20, s.limit/16)) }

// declarations is what events leave free for declaring what they give up.
func (s *space) declarations() int64 { return min(512<<10, s.reserve/4) }

// share is how much telemetry may take as things are.
func (s *space) share() int64 {
	return s.live() - s.books() - max(min(s.reserve, s.live()/4), s.used[eventsLane])
}

// free is how much the lane may still claim.
func (s *space) free(l lane) int64 {
	if l == telemetryLane {
		return s.share() - s.used[telemetryLane]
	}
	return s.live() - s.books() - s.used[eventsLane] - s.used[telemetryLane]
}

// claim takes n bytes for a lane, or nothing. keep is how much it has to leave.
func (s *space) claim(l lane, n, keep int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free(l)-keep < n {
		return errNoRoom
	}
	s.used[l] += n
	return nil
}

// settle ends a claim of which grown bytes were used. Negative ones are bytes that
// became free.
func (s *space) settle(l lane, claimed, grown int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[l] += grown - claimed
}

// setAside moves a file's bytes from a lane to what was set aside.
func (s *space) setAside(l lane, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[l] -= n
	s.aside += n
}

// settleAside adds a file to what was set aside.
func (s *space) settleAside(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aside += n
}

func (s *space) setMeta(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meta = n
}

// tooMuchTelemetry reports whether telemetry has more than its share, as after
// max_size was made smaller.
func (s *space) tooMuchTelemetry() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[telemetryLane] > s.share()
}

// usage is a moment's figures, in bytes.
type usage struct {
	limit, share, telemetry, events, meta, aside int64
}

func (s *space) usage() usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return usage{s.limit, s.share(), s.used[telemetryLane], s.used[eventsLane], s.meta, s.aside}
}

// page is the size of a bbolt file's pages, which is the machine's.
var page = int64(os.Getpagesize())

func pages(n int) int64 { return (int64(n) + page - 1) / page * page }

// allocationFor is by how many bytes more than needed a file grows at a time.
func allocationFor(segmentSize int64) int {
	return int(max(32<<10, 2*page, min(1<<20, segmentSize/16/page*page)))
}

// growth bounds by how much a commit makes its file grow: each record's pages, the
// state's, those of the tree that are written again, and the step of the file.
func growth(entries []Entry, state []byte, allocation int) int64 {
	n := pages(len(state)) + 24*page + int64(allocation)
	for _, e := range entries {
		n += pages(len(e.Record.Payload)+recordOverhead) + page
	}
	return n
}

// recordOverhead bounds the bytes of a record beside its payload.
const recordOverhead = 1 << 10

// beginning bounds the size of a new segment with the state in it.
func beginning(state []byte, allocation int) int64 {
	return pages(len(state)) + 32*page + 2*int64(allocation)
}
