package buffer

import (
	"cmp"
	"slices"
)

// span is the positions first to last.
type span struct{ first, last Position }

// ranges is a set of positions: spans in ascending order that neither overlap
// nor touch.
type ranges []span

// index is the place of the first span that ends at or behind p.
func (r ranges) index(p Position) int {
	i, _ := slices.BinarySearchFunc(r, p, func(s span, p Position) int { return cmp.Compare(s.last, p) })
	return i
}

// add puts first to last into the set.
func (r *ranges) add(first, last Position) {
	if first > last {
		return
	}
	from := r.index(max(first, 1) - 1) // one that touches is joined
	to := from
	for ; to < len(*r) && (*r)[to].first <= last+1; to++ {
		first, last = min(first, (*r)[to].first), max(last, (*r)[to].last)
	}
	*r = slices.Replace(*r, from, to, span{first, last})
}

// remove takes first to last out of the set.
func (r *ranges) remove(first, last Position) {
	from := r.index(first)
	to := from
	var rest ranges
	for ; to < len(*r) && (*r)[to].first <= last; to++ {
		s := (*r)[to]
		if s.first < first {
			rest = append(rest, span{s.first, first - 1})
		}
		if s.last > last {
			rest = append(rest, span{last + 1, s.last})
		}
	}
	*r = slices.Replace(*r, from, to, rest...)
}

// without returns the positions from first to last that are not in the set.
func (r ranges) without(first, last Position) ranges {
	var out ranges
	for _, s := range r[r.index(first):] {
		if s.first > last || first > last {
			break
		}
		if s.first > first {
			out = append(out, span{first, s.first - 1})
		}
		first = s.last + 1
	}
	if first <= last {
		out = append(out, span{first, last})
	}
	return out
}

// has reports whether first to last are all in the set.
func (r ranges) has(first, last Position) bool { return len(r.without(first, last)) == 0 }

func (r ranges) count() (n uint64) {
	for _, s := range r {
		n += uint64(s.last - s.first + 1)
	}
	return n
}

// through is the position up to which the set has everything from 1 on.
func (r ranges) through() Position {
	if len(r) == 0 || r[0].first > 1 {
		return 0
	}
	return r[0].last
}
