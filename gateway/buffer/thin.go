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
	signals    []thinning // by id
	minutes    []minuteOf // of gauges, in generation perMinute; see thinning.minute
	// waiting bounds how many samples flush would append.
	waiting int
}

// thinning is what is kept in mind of one signal, in few bytes: there may be
// tens of thousands of them.
type thinning struct {
	kind    keptBy
	any     bool
	holding bool              // the newest one is a counter's that waits
	skipped uint8             // since one was kept, in generation everyNth
	quality telemetry.Quality // of the newest one, as are
	minute  int32             // place in thinner.minutes, counted from 1
	time    telemetry.Micros
	value   telemetry.Value
}

// keptBy is a telemetry.Kind in one byte; 0 is not known yet.
type keptBy uint8

const (
	asGauge keptBy = iota + 1
	asCounter
	asState
)

func keptAs(k telemetry.Kind) keptBy {
	switch k {
	case telemetry.State:
		return asState
	case telemetry.Counter:
		return asCounter
	}
	return asGauge
}

// minuteOf gathers a gauge's samples of one minute and one quality.
type minuteOf struct {
	window   telemetry.Micros // its start
	newest   telemetry.Micros // the time of its newest sample
	sum      float64
	few      [3]point // the first ones
	minimum  point
	maximum  point
	minAt    int32
	maxAt    int32
	gathered int32
	quality  telemetry.Quality
}

// point is a number and its time.
type point struct {
	time telemetry.Micros
	bits uint64
	kind telemetry.ValueKind
}

func (m point) value() telemetry.Value { return telemetry.ValueFromBits(m.kind, m.bits) }

func (m point) float() float64 {
	f, _ := m.value().Float()
	return f
}

func newThinner(generation int, kindOf func(telemetry.SignalID) telemetry.Kind) *thinner {
	return &thinner{generation: generation, kindOf: kindOf}
}

// add appends to out what is kept of the samples, and of those before that had to
// wait for them. The samples of a signal must come in order.
func (t *thinner) add(out []telemetry.Sample, samples []telemetry.Sample) []telemetry.Sample {
	var s *thinning
	for i := range samples {
		sample := &samples[i]
		if i == 0 || sample.Signal != samples[i-1].Signal {
			s = t.of(sample.Signal)
		}
		out = t.addOne(out, s, sample)
		s.any, s.time, s.value, s.quality = true, sample.Time, sample.Value, sample.Quality
	}
	return out
}

func (t *thinner) of(id telemetry.SignalID) *thinning {
	if int(id) >= len(t.signals) {
		t.signals = append(t.signals, make([]thinning, int(id)+1-len(t.signals))...)
	}
	s := &t.signals[id]
	if s.kind == 0 {
		s.kind = keptAs(t.kindOf(id))
	}
	return s
}

// flush appends what still waits.
func (t *thinner) flush(out []telemetry.Sample) []telemetry.Sample {
	for id := range t.signals {
		out = t.flushOne(out, &t.signals[id], telemetry.SignalID(id))
	}
	return out
}

// forget lets each signal begin anew, behind samples that the thinner doesn't get
// to see: a state that has its old value again behind them has changed.
func (t *thinner) forget() {
	for id := range t.signals {
		t.signals[id].any = false
	}
}

func (t *thinner) flushOne(out []telemetry.Sample, s *thinning, id telemetry.SignalID) []telemetry.Sample {
	out = t.release(out, s, id)
	if s.minute > 0 {
		m := &t.minutes[s.minute-1]
		out = t.endMinute(out, m, id, m.cut())
	}
	return out
}

// release appends a counter's sample that waits.
func (t *thinner) release(out []telemetry.Sample, s *thinning, id telemetry.SignalID) []telemetry.Sample {
	if !s.holding {
		return out
	}
	s.holding = false
	t.waiting--
	return append(out, telemetry.Sample{Signal: id, Time: s.time, Value: s.value, Quality: s.quality})
}

// addOne appends what the sample shows to be kept; s is still what was before it.
func (t *thinner) addOne(out []telemetry.Sample, s *thinning, sample *telemetry.Sample) []telemetry.Sample {
	if s.minute > 0 {
		if m := &t.minutes[s.minute-1]; m.gathered > 0 && sample.Time >= m.window+minute {
			out = t.endMinute(out, m, sample.Signal, m.end())
		}
	}
	if t.generation == statesOnly && s.kind != asState {
		return out
	}
	n, numeric := number(sample.Value)
	changed := !s.any || sample.Quality != s.quality
	if s.kind == asState || !numeric {
		if changed || sample.Value != s.value {
			return append(t.flushOne(out, s, sample.Signal), *sample)
		}
		return out
	}
	if s.kind == asCounter {
		return t.addCounter(out, s, sample, changed, n)
	}
	if t.generation == perMinute {
		return t.addToMinute(out, s, sample, n)
	}
	if _, was := number(s.value); changed || !was || s.skipped >= keepEvery-1 {
		s.skipped = 0
		return append(out, *sample)
	}
	s.skipped++
	return out
}

// addCounter keeps the last of each quarter-hour, and the last before a counter
// that was reset or whose quality changed.
func (t *thinner) addCounter(out []telemetry.Sample, s *thinning, sample *telemetry.Sample, changed bool, n float64) []telemetry.Sample {
	if s.holding {
		held, _ := number(s.value)
		if changed || n < held || telemetry.QuarterOf(s.time) != telemetry.QuarterOf(sample.Time) {
			out = t.release(out, s, sample.Signal)
		}
	}
	if !s.holding {
		s.holding = true
		t.waiting++
	}
	return out
}

// addToMinute gathers a gauge's samples of one minute and one quality.
func (t *thinner) addToMinute(out []telemetry.Sample, s *thinning, sample *telemetry.Sample, n float64) []telemetry.Sample {
	if s.minute == 0 {
		t.minutes = append(t.minutes, minuteOf{})
		s.minute = int32(len(t.minutes))
	}
	m := &t.minutes[s.minute-1]
	window := sample.Time / minute * minute
	if m.gathered > 0 && (window != m.window || sample.Quality != m.quality) {
		out = t.endMinute(out, m, sample.Signal, m.cut())
	}
	if m.gathered == 0 {
		m.window, m.quality, m.sum = window, sample.Quality, 0
	}
	at := point{sample.Time, sample.Value.Bits(), sample.Value.Kind()}
	if int(m.gathered) < len(m.few) {
		m.few[m.gathered] = at
		t.waiting++
	}
	if m.gathered == 0 || n < m.minimum.float() {
		m.minimum, m.minAt = at, m.gathered
	}
	if m.gathered == 0 || n > m.maximum.float() {
		m.maximum, m.maxAt = at, m.gathered
	}
	m.sum += n
	m.newest = sample.Time
	m.gathered++
	return out
}

// end is the minute's last microsecond, cut where it ends if it is cut short: just
// behind its newest sample.
func (m *minuteOf) end() telemetry.Micros { return m.window + minute - 1 }
func (m *minuteOf) cut() telemetry.Micros { return min(m.newest+1, m.end()) }

// endMinute appends minimum and maximum as they were, and the mean at the time at.
// Up to three samples stay as they are.
func (t *thinner) endMinute(out []telemetry.Sample, m *minuteOf, id telemetry.SignalID, at telemetry.Micros) []telemetry.Sample {
	n := int(m.gathered)
	m.gathered = 0
	t.waiting -= min(n, len(m.few))
	keep := func(of point) {
		out = append(out, telemetry.Sample{Signal: id, Time: of.time, Value: of.value(), Quality: m.quality})
	}
	switch {
	case n <= len(m.few):
		for _, of := range m.few[:n] {
			keep(of)
		}
		return out
	case m.minAt < m.maxAt:
		keep(m.minimum)
		keep(m.maximum)
	case m.minAt > m.maxAt:
		keep(m.maximum)
		keep(m.minimum)
	default:
		keep(m.minimum)
	}
	return append(out, telemetry.Sample{
		Signal: id, Time: at, Value: telemetry.FloatValue(m.mean(n)), Quality: m.quality | telemetry.Estimated,
	})
}

// number is a value that can be compared and averaged; ok is false for any other.
func number(v telemetry.Value) (n float64, ok bool) {
	if v.Kind() == telemetry.Bool {
		return 0, false
	}
	n, ok = v.Float()
	return n, ok && !math.IsNaN(n) && !math.IsInf(n, 0)
}

// mean of the minute's n values, to a hundredth of their range or finer, in
// decimals: more digits would say nothing and take most of the room.
func (m *minuteOf) mean(n int) float64 {
	low, high := m.minimum.float(), m.maximum.float()
	mean := min(max(low, m.sum/float64(n)), high)
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
