package ntp

import (
	"cmp"
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// choose finds the time that more than half of the measurements agree on, each
// within its error (Marzullo's algorithm, as RFC 5905, 11.2.1 uses it), and of
// those that do the one with the least error. others contradict them. If no more
// than half agree, ok is false.
func choose(list []Measurement) (best Measurement, agreeing int, others []Measurement, ok bool) {
	type edge struct {
		at    telemetry.Micros
		opens bool
	}
	var edges []edge
	for _, m := range list {
		half := telemetry.Micros(m.MaxError.Microseconds())
		edges = append(edges, edge{m.Began - half, true}, edge{m.Began + half, false})
	}
	// What ends where another begins still touches it.
	slices.SortFunc(edges, func(a, b edge) int {
		switch {
		case a.at != b.at || a.opens == b.opens:
			return cmp.Compare(a.at, b.at)
		case a.opens:
			return -1
		}
		return 1
	})
	var at telemetry.Micros
	open := 0
	for _, e := range edges {
		if !e.opens {
			open--
			continue
		}
		if open++; open > agreeing {
			agreeing, at = open, e.at
		}
	}
	if agreeing*2 <= len(list) {
		return Measurement{}, agreeing, nil, false
	}
	for _, m := range list {
		switch {
		case !m.allows(at):
			others = append(others, m)
		case !ok || m.MaxError < best.MaxError:
			best, ok = m, true
		}
	}
	return best, agreeing, others, ok
}

// allows reports whether the clock can have been 0 at that time.
func (m Measurement) allows(at telemetry.Micros) bool {
	return (time.Duration(m.Began-at) * time.Microsecond).Abs() <= m.MaxError.Truncate(time.Microsecond)
}

// drift is how much a clock may be off after each second more.
const drift = 2000 // µs for one

// contradicts reports whether two measurements of different moments can't both be
// true.
func (m Measurement) contradicts(earlier Measurement) bool {
	bound := m.MaxError + earlier.MaxError + time.Duration(max(0, m.At-earlier.At)/drift)*time.Microsecond
	return (time.Duration(m.Began-earlier.Began) * time.Microsecond).Abs() > bound
}
