package modbus

import (
	"bytes"
	"slices"
	"time"
)

// station is what a link remembers of one unit.
type station struct {
	free time.Time // when it may be asked again
	owed []debt    // on lines, and behind gateways to them: answers that didn't come, the oldest first

	last     map[shape]told // on lines
	innocent map[pair]int   // how often in a row an answer was suspected that was none again
	mute     bool           // it doesn't answer tests, as far as is known
	strays   int            // the link's, when it was looked at last
}

// told is the last answer of its shape.
type told struct {
	first uint16 // what was asked for
	data  []byte
}

// pair is two requests of a shape, the one after the other.
type pair struct {
	shape
	before, after uint16 // where they begin
}

// A frame on a line has no number by which a late answer could be known if it is
// as large as the one that is waited for. But a unit answers in order. So if it
// owes an answer that would look like the next one, it is first asked for something
// that looks otherwise, a test: once it has given that, what it owed from before
// has come or never will.
//
// What comes is taken for the oldest answer that it can be. That is never too
// hopeful: at worst the unit owes less than it seems to.

// Some units, and converters, send an answer twice. The second copy, if it comes so
// late that the next request has gone out already, would be taken for the answer to
// that. So what is the same as the unit's last answer of that shape, but to another
// request, counts as owed: after a test, it is asked for again. Two requests that are
// suspected in vain, or a unit that answers no tests, are trusted until something comes
// on the line that nobody asked for. Other requests aren't, and neither are
// these once they have brought different values, unless that are so few that they may
// well be the same from time to time.

// debt is an answer that a unit owes.
type debt struct {
	shape
	since time.Time
}

// shape is what answers are told apart by.
type shape struct {
	function byte
	size     int // bytes of data
}

func shapeOf(r request) shape { return shape{r.function(), r.bytes()} }

const (
	// longestDebt is how late an answer can be that is thought of.
	longestDebt = 10 * time.Second
	// maxSuspicion is how often in a row two requests are suspected in vain.
	maxSuspicion = 3
	// telling is how many bytes hardly are the same by chance that were different before.
	telling = 8
	// maxTests bounds how often a unit is tested before a request.
	maxTests = 8
)

// forget drops the debts that are too old to be paid.
func (s *station) forget(now time.Time) {
	s.owed = slices.DeleteFunc(s.owed, func(d debt) bool { return now.Sub(d.since) > longestDebt })
}

func (s *station) owes(sh shape) bool {
	return slices.ContainsFunc(s.owed, func(d debt) bool { return d.shape == sh })
}

// paid takes an answer, or an exception, which is of no size, and drops what can't
// come any more. The last debt is the one for the request that was just made.
func (s *station) paid(sh shape, exception bool) {
	at := slices.IndexFunc(s.owed, func(d debt) bool {
		return d.shape == sh || exception && d.function == sh.function
	})
	s.owed = slices.Delete(s.owed, 0, at+1)
}

// repeats reports whether what looks like the answer may be an earlier one once more.
// strays is how often the link heard what could be an answer that nobody had asked for.
func (s *station) repeats(r request, data []byte, strays int) bool {
	if strays != s.strays {
		s.strays, s.mute = strays, false
		clear(s.innocent)
	}
	last, is := s.last[shapeOf(r)]
	switch p := s.pair(r); {
	case !is || last.first == r.first:
		return false
	case bytes.Equal(last.data, data):
		return !s.mute && s.innocent[p] < maxSuspicion
	case len(data) >= telling:
		delete(s.innocent, p)
	}
	return false
}

// pair is a request with the one before it of its shape.
func (s *station) pair(r request) pair {
	return pair{shapeOf(r), s.last[shapeOf(r)].first, r.first}
}

// cleared takes the sure answer after a suspected one.
func (s *station) cleared(r request, data []byte) {
	if !bytes.Equal(s.last[shapeOf(r)].data, data) {
		clear(s.innocent)
		return
	}
	if s.innocent == nil {
		s.innocent = map[pair]int{}
	}
	s.innocent[s.pair(r)]++
}

func (s *station) remember(r request, data []byte) {
	if s.last == nil {
		s.last = map[shape]told{}
	}
	sh := shapeOf(r)
	s.last[sh] = told{r.first, append(s.last[sh].data[:0], data...)}
}

// test is a request whose answer looks different from that to r, and if possible
// from all that is owed. After a refusal, only another function does: exceptions
// have no size. A table that the device hasn't got is refused, which does as well.
func (s *station) test(r request, refused bool) request {
	var tests []request
	add := func(t Table, count int) {
		// The last address is 65,535.
		tests = append(tests, request{table: t, first: min(r.first, uint16(1<<16-count)), count: uint16(count)})
	}
	unit, size := 1, int(r.count)
	if !r.table.Registers() {
		unit, size = 8, r.bytes()
	}
	if !refused {
		for smaller := range min(size-1, 4) {
			add(r.table, unit*(smaller+1))
		}
		if size == 1 {
			add(r.table, unit+1)
		}
	}
	add(map[Table]Table{Coil: Discrete, Discrete: Coil, Input: Holding, Holding: Input}[r.table], 1)
	for _, t := range tests {
		if !s.owes(shapeOf(t)) {
			return t
		}
	}
	return tests[0]
}
