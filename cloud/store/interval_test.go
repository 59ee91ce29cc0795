package store

import (
	"testing"

	"pgregory.net/rapid"
)

func TestIntervalsAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const top = 40
		var s Intervals
		set := map[uint64]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "adds") {
			first := rapid.Uint64Range(0, top).Draw(t, "first")
			i := Interval{first, first + rapid.Uint64Range(0, 6).Draw(t, "more")}
			overlaps := false
			for n := i.First; n <= i.Last; n++ {
				overlaps = overlaps || set[n]
			}
			if s.Overlaps(i) != overlaps {
				t.Fatalf("%v overlaps %v: %v", s, i, !overlaps)
			}
			covers := true
			for n := i.First; n <= i.Last; n++ {
				covers = covers && set[n]
			}
			if s.Covers(i) != covers {
				t.Fatalf("%v covers %v: %v", s, i, !covers)
			}
			s = s.Add(i)
			for n := i.First; n <= i.Last; n++ {
				set[n] = true
			}
			for k := 1; k < len(s); k++ {
				if s[k].First <= s[k-1].Last+1 {
					t.Fatalf("%v overlaps or touches", s)
				}
			}
			if s.Count() != uint64(len(set)) {
				t.Fatalf("%v counts %d, want %d", s, s.Count(), len(set))
			}
		}
		below := uint64(0)
		for n := uint64(0); n < top+10; n++ {
			if s.Below(n) != below {
				t.Fatalf("%v has %d below %d, want %d", s, s.Below(n), n, below)
			}
			if s.Overlaps(Interval{n, n}) != set[n] {
				t.Fatalf("%v holds %d: %v", s, n, !set[n])
			}
			if set[n] {
				below++
			}
		}
	})
}

func TestIntervalsAtTheTop(t *testing.T) {
	const top = 1<<64 - 1
	s := Intervals{}.Add(Interval{top, top}).Add(Interval{0, 0}).Add(Interval{top - 1, top - 1})
	if len(s) != 2 || s[1] != (Interval{top - 1, top}) {
		t.Errorf("%v", s)
	}
}
