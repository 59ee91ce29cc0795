package score

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/busbar/busbar/sim/truth"
)

// world is the truth.
type world struct {
	begun      bool
	start, end int64
	customers  map[string]int
	list       []*outage // by number
	out        map[string][]span
	thieves    map[string]truth.Record
	alike      map[string]string
}

// outage is a true one.
type outage struct {
	span
	device   string
	adjacent []string
	since    map[string]int64 // of the points that are out
	points   map[string]bool  // all that were
	told     bool
}

type span struct{ from, to int64 }

func (w *world) take(r truth.Record) error {
	switch {
	case !w.begun && r.What != truth.Start:
		return fmt.Errorf("begins with %q, expected %q: is it the truth of a scenario?", r.What, truth.Start)
	case w.begun && r.What == truth.Start:
		return fmt.Errorf("begins again: is it the truth of two runs?")
	}
	switch r.What {
	case truth.Start:
		w.begun, w.start, w.end, w.customers = true, r.At, r.End, r.Customers
	case truth.Outage:
		if r.Outage != len(w.list)+1 {
			return fmt.Errorf("outage %d comes after %d", r.Outage, len(w.list))
		}
		o := &outage{span: span{r.At, 0}, device: r.Device, adjacent: r.Adjacent, since: map[string]int64{}, points: map[string]bool{}}
		for _, id := range r.Points {
			o.since[id], o.points[id] = r.At, true
		}
		w.list = append(w.list, o)
	case truth.Restored:
		if r.Outage < 1 || r.Outage > len(w.list) {
			return fmt.Errorf("there is no outage %d before", r.Outage)
		}
		o := w.list[r.Outage-1]
		for _, id := range r.Points {
			if from, ok := o.since[id]; ok {
				w.out[id] = append(w.out[id], span{from, r.At})
				delete(o.since, id)
			}
		}
		if len(o.since) == 0 {
			o.to = r.At
		}
	case truth.Theft:
		w.thieves[r.Point] = r
	case truth.LookAlike:
		w.alike[r.Point] = r.Kind
	}
	return nil
}

// close ends what lasts.
func (w *world) close() {
	for _, o := range w.list {
		for id, from := range o.since {
			w.out[id] = append(w.out[id], span{from, w.end})
		}
		if o.to == 0 {
			o.to = w.end
		}
	}
}

// slack is how far apart two clocks may be, in µs.
const slack = int64(60e6)

// outages gives each told one the true one that it agrees with best, of those that
// it overlaps in time, or misses by slack at most, and has a service point in common
// with. The first that is told of a true one finds it.
func (w *world) outages(told []truth.Finding) Outages {
	list := slices.DeleteFunc(slices.Clone(told), func(f truth.Finding) bool { return f.What != truth.Outage })
	slices.SortStableFunc(list, func(a, b truth.Finding) int {
		return cmp.Or(cmp.Compare(a.Detected, b.Detected), cmp.Compare(a.Start, b.Start), cmp.Compare(a.Device, b.Device))
	})
	at := map[string][]int{} // by point
	s := Outages{Told: len(list)}
	for i, o := range w.list {
		if o.sustained() {
			s.True++
		}
		for id := range o.points {
			at[id] = append(at[id], i)
		}
	}
	var detect []float64
	var points, pointsTold, pointsTrue int
	for _, f := range list {
		o, common, named := w.match(f, at)
		switch {
		case o == nil:
			s.False++
		case !o.sustained():
			s.Momentary++
		case o.told:
			s.Repeated++
		default:
			o.told = true
			s.Found++
			points, pointsTold, pointsTrue = points+common, pointsTold+named, pointsTrue+len(o.points)
			detect = append(detect, float64(max(f.Detected-o.from, 0))/1e6) // nobody knows before it begins
			switch {
			case f.Device != "" && f.Device == o.device:
				s.Exact++
			case slices.Contains(o.adjacent, f.Device):
				s.Adjacent++
			default:
				s.Other++
			}
		}
	}
	s.Precision, s.Recall = ratio(s.Found, s.Told), ratio(s.Found, s.True)
	s.PointsPrecision, s.PointsRecall = ratio(points, pointsTold), ratio(points, pointsTrue)
	s.DetectMedian, s.DetectP90 = quantile(detect, 0.5), quantile(detect, 0.9)
	w.minutes(list, &s)
	return s
}

func (o *outage) sustained() bool { return o.to-o.from >= truth.Sustained }

// match is the true outage that a told one means, nil if it means none, how many
// service points both have, and how many the told one has.
func (w *world) match(f truth.Finding, at map[string][]int) (o *outage, both, named int) {
	common := map[int]int{}
	seen := map[string]bool{}
	for _, id := range f.Points {
		if seen[id] {
			continue
		}
		seen[id] = true
		for _, i := range at[id] {
			common[i]++
		}
	}
	to := f.End
	if to == 0 {
		to = w.end
	}
	best, most := -1, 0.0
	for i := range w.list { // in their order, so that the earlier of two equals counts
		n, o := common[i], w.list[i]
		if n == 0 || f.Start-slack > o.to || o.from-slack > to {
			continue
		}
		// Points and time in common of those of both; one that lasts goes before
		// one that doesn't.
		of := float64(n) / float64(len(o.points)+len(seen)-n)
		if both := min(o.to, to) - max(o.from, f.Start); both > 0 {
			of += float64(both) / float64(max(o.to, to)-min(o.from, f.Start))
		}
		if o.sustained() {
			of += 2
		}
		if of > most {
			best, most = i, of
		}
	}
	if best < 0 {
		return nil, 0, len(seen)
	}
	return w.list[best], common[best], len(seen)
}

// minutes compares the time that each service point is out, in interruptions of
// three minutes or more.
func (w *world) minutes(list []truth.Finding, s *Outages) {
	told := map[string][]span{}
	for _, f := range list {
		to := f.End
		if to == 0 {
			to = w.end
		}
		early := map[string]int64{}
		for _, step := range f.Restored {
			for _, id := range step.Points {
				early[id] = step.At
			}
		}
		for _, id := range f.Points {
			end := to
			if at, ok := early[id]; ok {
				end = min(at, to)
			}
			told[id] = append(told[id], span{max(f.Start, w.start), min(end, w.end)})
		}
	}
	sum := func(of map[string][]span, also map[string][]span) (all, alone float64) {
		for _, id := range slices.Sorted(maps.Keys(of)) {
			n, ok := w.customers[id]
			if !ok {
				n = 1
			}
			mine, theirs := lasting(of[id]), lasting(also[id])
			total := length(mine)
			both := total + length(theirs) - length(union(append(slices.Clone(mine), theirs...)))
			all += float64(n) * float64(total) / 60e6
			alone += float64(n) * float64(total-both) / 60e6
		}
		return all, alone
	}
	s.TrueMinutes, s.MissedMinutes = sum(w.out, told)
	s.ToldMinutes, s.ExcessMinutes = sum(told, w.out)
}

// lasting is the union of those that aren't momentary.
func lasting(spans []span) []span {
	return slices.DeleteFunc(union(spans), func(s span) bool { return s.to-s.from < truth.Sustained })
}

// union is the same time in spans that don't overlap, in their order.
func union(spans []span) (out []span) {
	sorted := slices.SortedFunc(slices.Values(spans), func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for _, s := range sorted {
		switch n := len(out); {
		case s.to <= s.from:
		case n > 0 && s.from <= out[n-1].to:
			out[n-1].to = max(out[n-1].to, s.to)
		default:
			out = append(out, s)
		}
	}
	return out
}

func length(spans []span) (sum int64) {
	for _, s := range spans {
		sum += s.to - s.from
	}
	return sum
}
