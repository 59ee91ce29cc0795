package rules

import "github.com/busbar/busbar/telemetry"

// trail is the latest samples of one signal, as long as windows and captures look
// back. The value of a sample holds until the next one.
type trail struct {
	ring    []past
	first   int // of the oldest
	count   int
	dropped telemetry.Micros // the latest that there was no room for any more; 0: none
}

type past struct {
	time    telemetry.Micros
	number  float64 // if known
	quality telemetry.Quality
	known   bool
	sound   bool // of a quality that counts
}

// Bounds of what is kept in memory, in samples. One takes 24 bytes.
const (
	maxTrail      = 4000    // of one signal
	maxTrails     = 400_000 // of all
	leastByChange = 64      // kept of a signal whose samples come by change,
	mostByChange  = 1000    // and as many as one a second between these
)

// samplesIn is how many samples of a signal that is polled come in a time, and some
// more: polls aren't exact.
func samplesIn(d, poll telemetry.Micros) int {
	if poll == 0 {
		return int(min(max(d/1_000_000, leastByChange), mostByChange))
	}
	return int(d/poll) + int(d/poll)/16 + 4
}

// grow makes room for so many samples.
func (r *trail) grow(samples int) {
	if samples > len(r.ring) {
		r.ring = make([]past, samples)
	}
}

func (r *trail) at(i int) *past {
	i += r.first
	if i >= len(r.ring) {
		i -= len(r.ring)
	}
	return &r.ring[i]
}

// clear forgets what times of another clock were given to.
func (r *trail) clear() { r.first, r.count, r.dropped = 0, 0, 0 }

func (r *trail) push(p past) {
	if len(r.ring) == 0 {
		return
	}
	if r.count == len(r.ring) {
		r.dropped = r.at(0).time
		r.first, r.count = r.first+1, r.count-1
		if r.first == len(r.ring) {
			r.first = 0
		}
	}
	r.count++
	*r.at(r.count - 1) = p
}

// span is what a signal was in the time from after until at.
type span struct {
	least, most float64
	mean        float64 // over time
	start, end  float64
	fell        bool // somewhere it was less than before
}

// over is what the signal was in the time d until at. It is known if a value that
// counts was there all the time: for a signal that is polled, without more than
// patience between two of them.
func (r *trail) over(d, at, patience telemetry.Micros) (span, bool) {
	from, until := at-d, at
	var s span
	var area float64
	first := true
	for i := r.count - 1; i >= 0; i-- {
		p := r.at(i)
		if p.time > at {
			continue
		}
		holds := patience == 0 || until-p.time <= patience
		switch {
		case !p.sound && patience > 0:
			continue // what was before it may bridge it
		case !p.sound || !holds:
			return span{}, false
		}
		if first {
			first = false
			s.least, s.most, s.end = p.number, p.number, p.number
		} else {
			s.fell = s.fell || s.start < p.number
		}
		s.least, s.most, s.start = min(s.least, p.number), max(s.most, p.number), p.number
		area += p.number * float64(until-max(p.time, from))
		if p.time <= from {
			s.mean = area / float64(d)
			return s, true
		}
		until = p.time
	}
	return span{}, false
}

// fades is when the oldest sample since at-d stops counting; 0 if there is none.
func (r *trail) fades(d, at telemetry.Micros) telemetry.Micros {
	for i := range r.count {
		if t := r.at(i).time; t > at-d {
			return t + d
		}
	}
	return 0
}
