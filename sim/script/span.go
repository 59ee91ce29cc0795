package script

import (
	"cmp"
	"math"
	"slices"
	"time"
)

const forever = time.Duration(math.MaxInt64)

// span is the time from one moment until just before another.
type span struct{ from, to time.Duration }

func (s span) covers(at time.Duration) bool { return s.from <= at && at < s.to }

func (s span) overlaps(o span) bool { return s.from < o.to && o.from < s.to }

type spans []span

func (s spans) cover(at time.Duration) bool {
	return slices.ContainsFunc(s, func(one span) bool { return one.covers(at) })
}

// union is the same time in sorted spans that don't touch.
func (s spans) union() spans {
	sorted := slices.SortedFunc(slices.Values(s), func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var joined spans
	for _, next := range sorted {
		if n := len(joined); n > 0 && next.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, next.to)
			continue
		}
		joined = append(joined, next)
	}
	return joined
}
