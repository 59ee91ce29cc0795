package rules

import (
	"math"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/expr-lang/expr/ast"
)

// windows are the functions that look back on a signal, by name.
var windows = map[string]func(span, telemetry.Micros) float64{
	"min_over":  func(s span, _ telemetry.Micros) float64 { return s.least },
	"max_over":  func(s span, _ telemetry.Micros) float64 { return s.most },
	"mean_over": func(s span, _ telemetry.Micros) float64 { return s.mean },
	"delta":     func(s span, _ telemetry.Micros) float64 { return s.end - s.start },
	"rate":      func(s span, d telemetry.Micros) float64 { return (s.end - s.start) / (float64(d) / 1e6) },
}

const longestWindow = 24 * time.Hour

// window binds a function that looks back on a signal.
func (s *scope) window(n ast.Node, name string, arguments []ast.Node) (operand, *fault) {
	d, err := backBy(n, name, arguments)
	if err != nil {
		return operand{}, err
	}
	of, err := s.number(arguments[0])
	if err != nil {
		return operand{}, err
	}
	if of.signal == nil {
		return operand{}, faultAt(arguments[0], "%s looks back on one signal, and %s is none", name, arguments[0])
	}
	slot := s.slot(*of.signal)
	poll := s.inputs.slots[slot].poll
	if poll > 0 && d < poll {
		f := faultAt(arguments[1], "device %s is read every %s, expected at least that", of.signal.Device, poll.Sub(0))
		f.missing = true
		return operand{}, f
	}
	samples := samplesIn(d, poll)
	if samples > maxTrail {
		return operand{}, faultAt(arguments[1], "%s of a signal that is read every %s are %d samples, expected at most %d", d.Sub(0), poll.Sub(0), d/poll, maxTrail)
	}
	if err := s.keep(n, slot, samples); err != nil {
		return operand{}, err
	}
	if poll == 0 {
		s.ages = append(s.ages, lookBack{slot, d})
	}
	f, patience, counts := windows[name], stalePeriods*poll, of.signal.Kind == telemetry.Counter && (name == "delta" || name == "rate")
	out := operand{unit: of.unit, number: func(in *inputs) float64 {
		w, known := in.slots[slot].trail.over(d, in.at, patience)
		if !known || counts && w.fell {
			return math.NaN()
		}
		return f(w, d)
	}}
	if name == "rate" && out.unit != "" {
		out.unit += "/s"
	}
	return out, nil
}

// lookBack is a window on one slot.
type lookBack struct {
	slot int32
	d    telemetry.Micros
}

// backBy is the time that the second argument of a function says.
func backBy(n ast.Node, name string, arguments []ast.Node) (telemetry.Micros, *fault) {
	if len(arguments) != 2 {
		return 0, faultAt(n, `%s has %d arguments, expected two, as in %s(…, "5m")`, name, len(arguments), name)
	}
	text, ok := arguments[1].(*ast.StringNode)
	if !ok {
		return 0, faultAt(arguments[1], `%s is no time, expected one in quotes, such as "5m"`, arguments[1])
	}
	d, err := time.ParseDuration(text.Value)
	if err != nil || d < time.Microsecond || d > longestWindow {
		return 0, faultAt(arguments[1], "%q is no time up to %s, expected one such as 10s, 5m or 1h30m", text.Value, strings.TrimSuffix(longestWindow.String(), "0m0s"))
	}
	return telemetry.Micros(d.Microseconds()), nil
}

// keep makes room for a signal's latest samples.
func (w *network) keep(n ast.Node, slot int32, samples int) *fault {
	kept := &w.inputs.slots[slot].trail
	w.kept += max(0, samples-len(kept.ring))
	if w.kept > maxTrails {
		return faultAt(n, "with this, windows and captures of all rules keep %d samples in memory, expected at most %d", w.kept, maxTrails)
	}
	kept.grow(samples)
	return nil
}

// mostCounted bounds how often count_over counts.
const mostCounted = 100

// edges are the latest times at which a condition became true.
type edges struct {
	of    condition
	d     telemetry.Micros
	was   truth // when it wasn't unknown last
	times []telemetry.Micros
}

// countOver binds count_over(condition, d): how often the condition became true in the
// time d. It counts while its rule is evaluated, so it has to see every evaluation.
func (s *scope) countOver(n ast.Node, arguments []ast.Node) (operand, *fault) {
	d, err := backBy(n, "count_over", arguments)
	if err != nil {
		return operand{}, err
	}
	if s.counting {
		return operand{}, faultAt(n, "count_over can't stand within count_over or neighbours")
	}
	s.counting = true
	defer func() { s.counting = false }()
	of, err := s.condition(arguments[0])
	if err != nil {
		return operand{}, err
	}
	e := &edges{of: of, d: d, times: make([]telemetry.Micros, 0, mostCounted)}
	s.counts = append(s.counts, e)
	return operand{unit: "1", number: func(in *inputs) float64 { return float64(e.count(in.at)) }}, nil
}

func (e *edges) count(at telemetry.Micros) int {
	n := 0
	for _, t := range e.times {
		if t > at-e.d && t <= at {
			n++
		}
	}
	return n
}

// observe takes the condition's value at the inputs' time, and reports whether
// anything is different now.
func (e *edges) observe(in *inputs) bool {
	v := e.of(in)
	if v == unknown || v == e.was {
		return false
	}
	if v == yes && e.was == no {
		if len(e.times) == mostCounted {
			e.times = append(e.times[:0], e.times[1:]...)
		}
		e.times = append(e.times, in.at)
	}
	e.was = v
	return true
}

// fades is when the count will be another one because time has passed; 0 if nothing is
// counted.
func (e *edges) fades(at telemetry.Micros) telemetry.Micros {
	for _, t := range e.times {
		if t > at-e.d {
			return t + e.d
		}
	}
	return 0
}
