package store

import "slices"

// Interval is the sequence numbers First to Last, both included.
type Interval struct{ First, Last uint64 }

// Intervals is a set of sequence numbers as intervals in ascending order that
// neither overlap nor touch.
type Intervals []Interval

// Add is the set with i in it.
func (s Intervals) Add(i Interval) Intervals {
	// from and to bound the intervals that overlap or touch i.
	from, _ := slices.BinarySearchFunc(s, i, func(e, i Interval) int {
		if e.Last < i.First && i.First-e.Last > 1 {
			return -1
		}
		return 1
	})
	to := from
	for to < len(s) && (s[to].First <= i.Last || s[to].First-i.Last == 1) {
		i.First = min(i.First, s[to].First)
		i.Last = max(i.Last, s[to].Last)
		to++
	}
	return slices.Replace(s, from, to, i)
}

// Overlaps reports whether any number of i is in the set.
func (s Intervals) Overlaps(i Interval) bool {
	at, found := slices.BinarySearchFunc(s, i.First, func(e Interval, first uint64) int {
		switch {
		case e.Last < first:
			return -1
		case e.First > first:
			return 1
		}
		return 0
	})
	return found || at < len(s) && s[at].First <= i.Last
}

// Covers reports whether every number of i is in the set.
func (s Intervals) Covers(i Interval) bool {
	at, found := slices.BinarySearchFunc(s, i.First, func(e Interval, first uint64) int {
		switch {
		case e.Last < first:
			return -1
		case e.First > first:
			return 1
		}
		return 0
	})
	return found && s[at].Last >= i.Last
}

// Count is how many numbers are in the set.
func (s Intervals) Count() uint64 {
	var n uint64
	for _, i := range s {
		n += i.Last - i.First + 1
	}
	return n
}

// Below is how many numbers of the set are less than n.
func (s Intervals) Below(n uint64) uint64 {
	var count uint64
	for _, i := range s {
		if i.First >= n {
			break
		}
		count += min(i.Last, n-1) - i.First + 1
	}
	return count
}
