// Package deadband reports by exception: of a signal's samples it keeps those
// that say something which the ones before don't. It has no clock and does no I/O.
//
// A kept sample is one that was read, at its own time: an old value is never
// given a new one. What isn't good is always kept, and so is the first good
// sample after it.
package deadband

import (
	"math"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Limit is how far a signal may move without being reported. The zero Limit
// leaves out what is exactly the same.
type Limit struct {
	// Absolute is in the signal's unit, Percent of the value that was reported last.
	Absolute, Percent float64
	// Door, above 0, compresses by a swinging door instead: every sample that is left
	// out lies within Door, in the signal's unit, of the line between its reported
	// neighbours. A sample is then reported when the one after it comes.
	Door float64
	// Every is how long after the last report the next sample is reported whatever
	// it says; 0 means never.
	Every time.Duration
}

// Filter keeps what is worth keeping of a stream of samples, of each signal in
// the order of time. It isn't safe for concurrent use.
type Filter struct {
	states []*state // by signal; nil: it has no limit
	kept   []telemetry.Sample
}

type state struct {
	Limit
	told    telemetry.Sample // the last that was kept
	begun   bool             // there is one
	held    telemetry.Sample // with a door: the last one, which may be needed
	holding bool
	least   float64 // of the slopes from told that pass every sample in between, a second
	most    float64
}

// New makes the filter of the signals that have a limit; the others' samples are
// all kept.
func New(limits map[telemetry.SignalID]Limit) *Filter {
	f := &Filter{}
	for id, l := range limits {
		if need := int(id) + 1 - len(f.states); need > 0 {
			f.states = append(f.states, make([]*state, need)...)
		}
		f.states[id] = &state{Limit: l}
	}
	return f
}

// Change goes on with other limits. A signal whose limit stays is filtered as before;
// what a door holds of another one is returned, and is kept.
func (f *Filter) Change(limits map[telemetry.SignalID]Limit) (kept []telemetry.Sample) {
	next := New(limits)
	for id, s := range f.states {
		switch {
		case s == nil:
		case id < len(next.states) && next.states[id] != nil && next.states[id].Limit == s.Limit:
			next.states[id] = s
		case s.holding:
			kept = append(kept, s.held)
		}
	}
	f.states = next.states
	return kept
}

// Idle reports that no signal has a limit, so that Keep keeps everything.
func (f *Filter) Idle() bool { return len(f.states) == 0 }

// Keep returns those of the samples that are to be kept, and earlier ones that
// turn out to be, and how many it left out. What it returns is valid until the
// next call.
func (f *Filter) Keep(samples []telemetry.Sample) (kept []telemetry.Sample, leftOut int) {
	f.kept = f.kept[:0]
	for i := range samples {
		if id := int(samples[i].Signal); id < len(f.states) && f.states[id] != nil {
			leftOut += f.take(f.states[id], samples[i])
			continue
		}
		f.kept = append(f.kept, samples[i])
	}
	return f.kept, leftOut
}

// Flush returns what a door still holds, which is kept then: at the end, or
// before samples that don't go through Keep. It is valid until the next call.
func (f *Filter) Flush() []telemetry.Sample {
	f.kept = f.kept[:0]
	for _, s := range f.states {
		if s != nil && s.holding {
			f.keep(s, s.held)
		}
	}
	return f.kept
}

// take is how many samples turn out not to be kept: this one, or one that was
// held.
func (f *Filter) take(s *state, next telemetry.Sample) int {
	value, number := finite(next.Value)
	switch last, comparable := finite(s.told.Value); {
	case !s.begun, next.Quality != s.told.Quality, next.Quality.Validity() != telemetry.Good, next.Time <= s.told.Time,
		next.Value.Kind() != s.told.Value.Kind():
		return f.keepBoth(s, next)
	case !number || !comparable:
		if next.Value != s.told.Value || s.due(next) {
			return f.keepBoth(s, next)
		}
		return 1
	case s.Door > 0:
		return f.swing(s, next, value, last)
	case value == last, math.Abs(value-last) <= max(s.Absolute, s.Percent/100*math.Abs(last)):
		if !s.due(next) {
			return 1
		}
	}
	f.keep(s, next)
	return 0
}

// finite is a value as a number that a distance can be measured from.
func finite(v telemetry.Value) (number float64, ok bool) {
	number, ok = v.Float()
	return number, ok && !math.IsInf(number, 0)
}

func (s *state) due(next telemetry.Sample) bool {
	return s.Every > 0 && next.Time.Sub(s.told.Time) >= s.Every
}

func (f *Filter) keep(s *state, kept telemetry.Sample) {
	f.kept = append(f.kept, kept)
	s.told, s.begun, s.holding = kept, true, false
	s.least, s.most = math.Inf(-1), math.Inf(1)
}

// keepBoth keeps a sample, and one that was held before it.
func (f *Filter) keepBoth(s *state, next telemetry.Sample) int {
	if s.holding {
		f.keep(s, s.held)
	}
	f.keep(s, next)
	return 0
}

// swing is take through the door. The line from the sample that was kept last to
// this one has to pass all in between within Door; else it is drawn to the one
// before this, which was found to do so.
func (f *Filter) swing(s *state, next telemetry.Sample, value, last float64) (leftOut int) {
	slope := (value - last) / next.Time.Sub(s.told.Time).Seconds()
	passes := slope >= s.least && slope <= s.most
	switch {
	case !passes:
		f.keep(s, s.held)
		last, _ = s.told.Value.Float()
		if s.due(next) {
			f.keep(s, next)
			return 0
		}
	case s.due(next):
		if s.holding {
			leftOut = 1
		}
		f.keep(s, next)
		return leftOut
	case s.holding:
		leftOut = 1
	}
	seconds := next.Time.Sub(s.told.Time).Seconds()
	s.least = max(s.least, (value-s.Door-last)/seconds)
	s.most = min(s.most, (value+s.Door-last)/seconds)
	s.held, s.holding = next, true
	return leftOut
}
