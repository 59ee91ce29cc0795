package rules

import (
	"math"

	"github.com/busbar/busbar/telemetry"
)

// truth is a value of Kleene's logic: and is the minimum, or the maximum, not
// the negative.
type truth int8

const (
	no      truth = -1
	unknown truth = 0
	yes     truth = 1
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// stalePeriods is the age, in poll periods of its device, beyond which a value
// doesn't count.
const stalePeriods = 3

// never is the time of a slot that no sample has reached.
const never = telemetry.Micros(math.MinInt64)

// slot holds the latest sample of one signal that rules read.
type slot struct {
	number  float64 // if known
	time    telemetry.Micros
	poll    telemetry.Micros // 0: by change
	quality telemetry.Quality
	known   bool // number is finite
	sound   bool // known and of a quality that counts
	device  int32
	readers []int32 // instances, ascending
	trail   trail
}

func (s *slot) set(v telemetry.Value, q telemetry.Quality, at telemetry.Micros) {
	p := pastOf(v, q, at)
	s.take(p)
	s.trail.push(p)
}

// take makes a sample the latest, which doesn't count for a window.
func (s *slot) take(p past) {
	s.number, s.time, s.quality, s.known, s.sound = p.number, p.time, p.quality, p.known, p.sound
}

// latest is what take takes.
func (s *slot) latest() past { return past{s.time, s.number, s.quality, s.known, s.sound} }

func pastOf(v telemetry.Value, q telemetry.Quality, at telemetry.Micros) past {
	n, ok := v.Float()
	known := ok && n-n == 0
	sound := known && q.Validity() != telemetry.Bad && q&(telemetry.Stale|telemetry.Test) == 0
	return past{at, n, q, known, sound}
}

func (s *slot) usable(at telemetry.Micros) bool {
	return s.sound && (s.poll == 0 || at-s.time <= stalePeriods*s.poll)
}

// inputs are the slots as seen at one instant of source time.
type inputs struct {
	slots   []slot
	signals []telemetry.Signal // of the slots
	at      telemetry.Micros
}

// number is NaN if the signal has no value that counts.
func (in *inputs) number(n int32) float64 {
	if s := &in.slots[n]; s.usable(in.at) {
		return s.number
	}
	return math.NaN()
}

// A number is NaN where it is unknown, which arithmetic carries on.
type (
	number    func(*inputs) float64
	condition func(*inputs) truth
)

// finite makes the result of a division by zero or an overflow unknown.
func finite(x float64) float64 {
	if x-x != 0 {
		return math.NaN()
	}
	return x
}

var arithmetic = map[string]func(a, b float64) float64{
	"+": func(a, b float64) float64 { return finite(a + b) },
	"-": func(a, b float64) float64 { return finite(a - b) },
	"*": func(a, b float64) float64 { return finite(a * b) },
	"/": func(a, b float64) float64 { return finite(a / b) },
}

// compare returns nil for an operator that isn't a comparison.
func compare(op string, a, b number) condition {
	var holds func(x, y float64) bool
	switch op {
	case "<":
		holds = func(x, y float64) bool { return x < y }
	case "<=":
		holds = func(x, y float64) bool { return x <= y }
	case ">":
		holds = func(x, y float64) bool { return x > y }
	case ">=":
		holds = func(x, y float64) bool { return x >= y }
	case "==":
		holds = func(x, y float64) bool { return x == y }
	case "!=":
		holds = func(x, y float64) bool { return x != y }
	default:
		return nil
	}
	return func(in *inputs) truth {
		x, y := a(in), b(in)
		if x != x || y != y {
			return unknown
		}
		return truthOf(holds(x, y))
	}
}

func both(a, b condition) condition {
	return func(in *inputs) truth {
		if l := a(in); l != no {
			return min(l, b(in))
		}
		return no
	}
}

func either(a, b condition) condition {
	return func(in *inputs) truth {
		if l := a(in); l != yes {
			return max(l, b(in))
		}
		return yes
	}
}

func opposite(a condition) condition {
	return func(in *inputs) truth { return -a(in) }
}
