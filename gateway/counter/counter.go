// Package counter watches counters for decreases, and tells a roll-over, where the
// meter counts on from the beginning, from a reset, where it was swapped or
// cleared. It changes no value.
package counter

import (
	"math"

	"github.com/busbar/busbar/telemetry"
)

// Counter is a signal that only rises.
type Counter struct {
	telemetry.Signal
	Ranges []Range // through one of which it counts; none if that isn't known
	// Factored says that the ranges are those of a factor of 1, and the factor, a power
	// of ten, isn't known.
	Factored bool
	// Noise is how far two readings of the same may differ, as a part of the value: the
	// resolution of a float.
	Noise float64
}

// Range is the value at which a counter begins, and what it counts from there until
// it begins again.
type Range struct{ From, Span float64 }

const (
	// confirmations is how many values in a row must be below the one before, so that
	// a single wrong one isn't taken for a reset.
	confirmations = 3

	// memory, in µs, is for how long a lower value may be one of before: what lies between
	// gateway and meter may hold older values. It is between one and two of these.
	memory telemetry.Micros = 15 * 60 * 1_000_000

	// nearEnd is the part of its span by which a counter may have moved over its end
	// in any case; and hurry how many times as fast as before.
	nearEnd = 1.0 / 16
	hurry   = 16
)

// Watch follows some counters. One goroutine owns it.
type Watch struct {
	at       []int32 // by the signal's id: where in counters it is, plus 1; 0: it isn't
	counters []watched
	changed  bool
}

// watched is a counter and what was seen of it.
type watched struct {
	Counter
	seen bool
	peak
	below peak // before the newest value that was the highest

	lower         bool    // values are below last
	after, newest float64 // the first of them, and the newest
	afterAt       telemetry.Micros
	count         int
}

// peak is the highest value since the last decrease, and how it was reached.
type peak struct {
	last          float64
	since         telemetry.Micros
	present, past rise // of one memory each
	mark          telemetry.Micros
}

// rise is by how much a counter has risen, and in what time.
type rise struct {
	by float64
	in telemetry.Micros
}

func (c *peak) recent() float64 { return c.present.by + c.past.by }

// NewWatch watches counters that have their ids.
func NewWatch(counters []Counter) *Watch {
	w := &Watch{}
	for _, c := range counters {
		for int(c.ID) >= len(w.at) {
			w.at = append(w.at, 0)
		}
		w.counters = append(w.counters, watched{Counter: c})
		w.at[c.ID] = int32(len(w.counters))
	}
	return w
}

// Take looks at samples in the order in which they were read, and tells what they
// show, decided at now. Only good values count, whatever their times: a clock may be
// set. It allocates nothing unless it tells something.
func (w *Watch) Take(samples []telemetry.Sample, now telemetry.Micros, tell func(telemetry.Event)) {
	for i := range samples {
		s := &samples[i]
		if int(s.Signal) >= len(w.at) || w.at[s.Signal] == 0 || s.Quality.Validity() != telemetry.Good {
			continue
		}
		v, number := s.Value.Float()
		if !number || v-v != 0 {
			continue
		}
		w.changed = true
		c := &w.counters[w.at[s.Signal]-1]
		if kind, modulus := c.take(v, s.Time); kind != "" {
			tell(c.event(kind, modulus, now))
			c.goOn(modulus, s.Time)
		}
	}
}

// take looks at the next value, and returns what has happened, if anything has. A
// roll-over has a modulus.
func (c *watched) take(v float64, at telemetry.Micros) (kind telemetry.EventKind, modulus float64) {
	switch {
	case !c.seen:
		c.seen = true
		c.restart(v, at)
	case v >= c.last && !c.isOlder(v):
		c.rises(v, at)
	case v >= c.last: // of before the roll-over
	case c.last-v <= c.Noise*math.Abs(c.last) || c.Factored && isCutShort(c.last, v):
		c.lower, c.since = false, at
	default:
		return c.falls(v, at)
	}
	return "", 0
}

// isCutShort reports whether a value may be the same with fewer digits: a meter that runs
// out of registers goes on with a larger factor.
func isCutShort(last, v float64) bool {
	const digits = 1000 // at least four stay
	for exponent := -10; exponent <= 10; exponent++ {
		steps := v / math.Pow10(exponent)
		if steps < digits {
			return false
		}
		if last-v < math.Pow10(exponent) && math.Abs(steps-math.Round(steps)) < 1e-6 {
			return true
		}
	}
	return false
}

func (c *watched) restart(v float64, at telemetry.Micros) {
	c.peak = peak{last: v, since: at, mark: at}
	c.below, c.lower = c.peak, false
}

// goOn continues from the newest value after what was told.
func (c *watched) goOn(modulus float64, at telemetry.Micros) {
	if modulus == 0 {
		c.restart(c.newest, at)
		return
	}
	c.last -= modulus
	c.rises(c.newest, at)
	c.below = c.peak
}

// isOlder reports whether a value of at least the last is one of before a roll-over.
func (c *watched) isOlder(v float64) bool {
	if c.Factored {
		return false
	}
	for _, r := range c.Ranges {
		if back := c.last + r.Span - v; back >= 0 && back <= c.recent() && back < r.Span/2 {
			return true
		}
	}
	return false
}

func (c *watched) rises(v float64, at telemetry.Micros) {
	c.below = c.peak
	c.present.by += v - c.last
	c.present.in += max(0, at-c.since)
	if at-c.mark >= memory || at < c.mark {
		c.past, c.present, c.mark = c.present, rise{}, at
	}
	c.last, c.since, c.lower = v, at, false
}

// falls looks at a value below the last. Where that was the only one above this, it
// was a wrong one. Else the fall is believed when it stays so for some
// values: at once if the counter has come over its end, or is below all that was seen
// lately; else when old values aren't thought of any more.
func (c *watched) falls(v float64, at telemetry.Micros) (telemetry.EventKind, float64) {
	if !c.lower && v >= c.below.last {
		c.peak = c.below
		c.rises(v, at)
		return "", 0
	}
	if !c.lower || v < c.newest-c.Noise*math.Abs(c.newest) {
		c.lower, c.after, c.afterAt, c.count = true, v, at, 0
	}
	c.newest = v
	c.count++
	modulus, over := c.rolledOver()
	stays := c.count >= confirmations && (over || c.last-v >= c.recent())
	if long := c.count > 1 && at-c.afterAt >= memory; !stays && !long {
		return "", 0
	}
	if over {
		return telemetry.CounterRolledOver, modulus
	}
	return telemetry.CounterReset, 0
}

// rolledOver reports whether the counter has come to where it is over its end, and
// by which modulus.
func (c *watched) rolledOver() (modulus float64, over bool) {
	for _, r := range c.Ranges {
		if !c.Factored {
			if c.plausible(r, nearEnd) {
				return r.Span, true
			}
			continue
		}
		// Of the factors that there are, one at most makes it an end that is near. So that
		// chance doesn't, it must be nearer.
		for exponent := -10; exponent <= 10; exponent++ {
			if r := (Range{r.From, r.Span * math.Pow10(exponent)}); c.plausible(r, nearEnd/16) {
				return r.Span, true
			}
		}
	}
	return 0, false
}

func (c *watched) plausible(r Range, near float64) bool {
	left, moved := r.From+r.Span-c.last, c.after-r.From
	if left < -c.Noise*r.Span || moved < 0 {
		return false
	}
	usual := 0.0
	if in := c.present.in + c.past.in; in > 0 {
		usual = hurry * c.recent() * float64(max(0, c.afterAt-c.since)) / float64(in)
	}
	return left+moved <= min(near*r.Span+usual, r.Span/2)
}

func (c *watched) event(kind telemetry.EventKind, modulus float64, now telemetry.Micros) telemetry.Event {
	return telemetry.Event{Kind: kind, Time: c.afterAt, Decided: now, Counter: &telemetry.CounterChange{
		Signal: c.ID, Device: c.Device, Name: c.Name, Unit: c.Unit, Asset: c.Asset,
		Before: c.last, BeforeTime: c.since, After: c.after, AfterTime: c.afterAt, Modulus: modulus,
	}}
}
