package buffer

import (
	"math"

	"github.com/busbar/busbar/telemetry"
)

// generations of a segment: how far it has been thinned.
const (
	raw        = 0
	everyNth   = 1 // gauges every 4th sample, counters the last of each quarter-hour
	perMinute  = 2 // gauges as minimum, maximum and mean of each minute
	statesOnly = 3
)

const keepEvery = 4 // of a gauge's samples, in generation everyNth

const minute telemetry.Micros = 60 * 1_000_000

// thinner leaves out samples by what their signals are. States keep every change
// until they are dropped; so do texts and samples without a value, whatever the
// signal. Times stay exact.
type thinner struct {
	generation int
	kindOf     func(telemetry.SignalID) telemetry.Kind
	signals    map[telemetry.SignalID]*thinning
}

// thinning is what is kept in mind of one signal.
type thinning struct {
	kind    telemetry.Kind
	any     bool
	last    telemetry.Sample // the newest one seen
	skipped int              // since one was kept, in generation everyNth

	held    telemetry.Sample // the newest of a counter's quarter-hour
	holding bool

	window   telemetry.Micros // the start of the minute that is gathered
	newest   telemetry.Micros // the time of its newest sample
	gathered int
	few      [3]telemetry.Sample // the first ones of the minute
	minimum  telemetry.Sample
	maximum  telemetry.Sample
	minAt    int
	maxAt    int
	sum      float64
	quality  telemetry.Quality
}

func newThinner(generation int, kindOf func(telemetry.SignalID) telemetry.Kind) *thinner {
	return &thinner{generation: generation, kindOf: kindOf, signals: map[telemetry.SignalID]*thinning{}}
}

// add appends to out what is kept of the samples, and of those before that had to
// wait for them. The samples of a signal must come in order.
func (t *thinner) add(out []telemetry.Sample, samples []telemetry.Sample) []telemetry.Sample {
	var s *thinning
	for i := range samples {
		if i == 0 || samples[i].Signal != samples[i-1].Signal {
			id := samples[i].Signal
			if s = t.signals[id]; s == nil {
				s = &thinning{kind: t.kindOf(id)}
				t.signals[id] = s
			}
		}
		out = s.add(out, &samples[i], t.generation)
	}
	return out
}

// flush appends what still waits.
func (t *thinner) flush(out []telemetry.Sample) []telemetry.Sample {
	for _, s := range t.signals {
		out = s.flush(out)
	}
	return out
}

func (s *thinning) flush(out []telemetry.Sample) []telemetry.Sample {
	if s.holding {
		out = append(out, s.held)
		s.holding = false
	}
	return s.endMinute(out, s.newest+1)
}

func (s *thinning) add(out []telemetry.Sample, sample *telemetry.Sample, generation int) []telemetry.Sample {
	before, first := s.last, !s.any
	s.last, s.any = *sample, true
	if s.gathered > 0 && sample.Time >= s.window+minute {
		out = s.endMinute(out, s.window+minute-1)
	}
	if generation == statesOnly && s.kind != telemetry.State {
		return out
	}
	n, numeric := number(sample.Value)
	changed := first || sample.Quality != before.Quality
	if s.kind == telemetry.State || !numeric {
		if changed || sample.Value != before.Value {
			return append(s.flush(out), *sample)
		}
		return out
	}
	if s.kind == telemetry.Counter {
		return s.addCounter(out, sample, changed, n)
	}
	if generation == perMinute {
		return s.addToMinute(out, sample, n)
	}
	if _, was := number(before.Value); changed || !was || s.skipped >= keepEvery-1 {
		s.skipped = 0
		return append(out, *sample)
	}
	s.skipped++
	return out
}

// addCounter keeps the last of each quarter-hour, and the last before a counter
// that was reset or whose quality changed.
func (s *thinning) addCounter(out []telemetry.Sample, sample *telemetry.Sample, changed bool, n float64) []telemetry.Sample {
	if s.holding {
		held, _ := number(s.held.Value)
		if changed || n < held || telemetry.QuarterOf(s.held.Time) != telemetry.QuarterOf(sample.Time) {
			out = append(out, s.held)
		}
	}
	s.held, s.holding = *sample, true
	return out
}

// addToMinute gathers a gauge's samples of one minute and one quality.
func (s *thinning) addToMinute(out []telemetry.Sample, sample *telemetry.Sample, n float64) []telemetry.Sample {
	window := sample.Time / minute * minute
	if s.gathered > 0 && (window != s.window || sample.Quality != s.quality) {
		out = s.endMinute(out, s.newest+1)
	}
	if s.gathered == 0 {
		s.window, s.quality, s.sum = window, sample.Quality, 0
	}
	if s.gathered < len(s.few) {
		s.few[s.gathered] = *sample
	}
	low, _ := number(s.minimum.Value)
	high, _ := number(s.maximum.Value)
	if s.gathered == 0 || n < low {
		s.minimum, s.minAt = *sample, s.gathered
	}
	if s.gathered == 0 || n > high {
		s.maximum, s.maxAt = *sample, s.gathered
	}
	s.sum += n
	s.newest = sample.Time
	s.gathered++
	return out
}

// number is a value that can be compared and averaged; ok is false for any other.
func number(v telemetry.Value) (n float64, ok bool) {
	if v.Kind() == telemetry.Bool {
		return 0, false
	}
	n, ok = v.Float()
	return n, ok && !math.IsNaN(n) && !math.IsInf(n, 0)
}

// endMinute appends minimum and maximum as they were, and the mean at the time at:
// the minute's last microsecond, or if it was cut short, just behind its newest
// sample. Up to three samples stay as they are.
func (s *thinning) endMinute(out []telemetry.Sample, at telemetry.Micros) []telemetry.Sample {
	n := s.gathered
	s.gathered = 0
	switch {
	case n <= len(s.few):
		return append(out, s.few[:n]...)
	case s.minAt < s.maxAt:
		out = append(out, s.minimum, s.maximum)
	case s.minAt > s.maxAt:
		out = append(out, s.maximum, s.minimum)
	default:
		out = append(out, s.minimum)
	}
	return append(out, telemetry.Sample{
		Signal: s.minimum.Signal, Time: at,
		Value: telemetry.FloatValue(s.mean(n)), Quality: s.quality | telemetry.Estimated,
	})
}

// mean of the minute's n values, to a hundredth of their range or finer, in
// decimals: more digits would say nothing and take most of the room.
func (s *thinning) mean(n int) float64 {
	low, _ := number(s.minimum.Value)
	high, _ := number(s.maximum.Value)
	mean := min(max(low, s.sum/float64(n)), high)
	digits := 2 - math.Floor(math.Log10(high-low))
	if low == high || digits < 0 || digits > 12 {
		return mean
	}
	power := math.Pow(10, digits)
	if rounded := math.Round(mean*power) / power; !math.IsInf(rounded, 0) && !math.IsNaN(rounded) {
		return rounded
	}
	return mean
}
