package rules

import (
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Bounds of captures, so that a storm of alarms is one of alarms, and not of samples.
const (
	longestCapture  = 10 * time.Minute                               // before, and after
	longestSpan     = telemetry.Micros(time.Hour / time.Microsecond) // of the samples of a capture
	maxCaptured     = 600                                            // samples of a signal
	maxInCapture    = 6000                                           // samples of all signals
	maxSignals      = 500                                            // of a capture
	maxCapturing    = 32                                             // captures that wait for their end
	maxCapturesAMin = 60
)

// around is for how long samples are captured, before an alarm's condition began and
// after it was confirmed.
type around struct{ before, after telemetry.Micros }

// makeRoom makes room for what is captured with alarms, as far as windows leave some:
// a capture may be cut short, and a rule isn't refused for it.
func (c *compiler) makeRoom() {
	for n := range c.instances {
		i := &c.instances[n]
		if i.capture == nil {
			continue
		}
		for _, slot := range i.slots {
			s := &c.inputs.slots[slot]
			samples := min(samplesIn(i.capture.before+i.delay+i.capture.after, s.poll), maxCaptured)
			more := min(samples-len(s.trail.ring), maxTrails-c.kept)
			if more > 0 {
				c.kept += more
				s.trail.grow(len(s.trail.ring) + more)
			}
		}
	}
}

// capturing is an alarm of which samples are still to come.
type capturing struct {
	instance int32
	alarm    string
	raised   telemetry.Micros
	from, to telemetry.Micros
	due      time.Time
}

// beginCapture notes that an alarm has been raised.
func (e *Engine) beginCapture(n int32, confirmed telemetry.Micros, decided time.Time) {
	i := &e.instances[n]
	if minute := decided.Unix() / 60; minute != e.captureMinute {
		e.captureMinute, e.captured = minute, 0
	}
	if len(e.capturing) >= maxCapturing || e.captured >= maxCapturesAMin {
		e.stats.Uncaptured++
		return
	}
	e.captured++
	to := confirmed + i.capture.after
	c := capturing{n, i.id, i.raised, max(i.raised-i.capture.before, to-longestSpan), to, decided.Add(i.capture.after.Sub(0))}
	e.capturing = append(e.capturing, c)
	e.wake(c.due)
}

// endCaptures emits those that are due.
func (e *Engine) endCaptures(now time.Time, emit func(telemetry.Event)) {
	rest := e.capturing[:0]
	for _, c := range e.capturing {
		if now.Before(c.due) {
			rest = append(rest, c)
			e.wake(c.due)
			continue
		}
		e.emitCapture(c, now, emit)
	}
	e.capturing = rest
}

// Close emits what has been captured of alarms whose time isn't over yet. The Engine
// may be used further.
func (e *Engine) Close(now time.Time, emit func(telemetry.Event)) {
	for _, c := range e.capturing {
		c.to = min(c.to, e.clock(now))
		e.emitCapture(c, now, emit)
	}
	e.capturing = nil
}

func (e *Engine) emitCapture(c capturing, now time.Time, emit func(telemetry.Event)) {
	i := &e.instances[c.instance]
	out := &telemetry.Capture{Alarm: c.alarm, Rule: i.rule, From: max(c.raised, c.from), To: max(c.raised, c.from, c.to)}
	slots := i.slots[:min(len(i.slots), maxSignals)]
	most := min(maxCaptured, maxInCapture/len(slots))
	for _, n := range slots {
		signal := e.in.signals[n]
		captured := telemetry.CapturedSignal{Signal: signal.ID, Name: signal.Name, Device: signal.Device, Unit: signal.Unit}
		captured.Samples, captured.Truncated = e.in.slots[n].trail.between(c.from, c.to, most)
		out.Signals = append(out.Signals, captured)
		if len(captured.Samples) > 0 {
			out.From = min(out.From, captured.Samples[0].Time)
		}
	}
	emit(telemetry.Event{Kind: telemetry.AlarmCaptured, Time: c.raised, Decided: e.clock(now), Capture: out})
}

// between are the latest samples of a time, with the one that held at its beginning,
// unless that makes it too long.
func (r *trail) between(from, to telemetry.Micros, most int) (samples []telemetry.CapturedSample, truncated bool) {
	first := 0
	for n := range r.count {
		if r.at(n).time <= from {
			first = n
		}
	}
	last := r.count
	for last > first && r.at(last-1).time > to {
		last--
	}
	if first < last && r.at(first).time < to-longestSpan {
		first++
	}
	truncated = r.dropped >= from
	if last-first > most {
		first, truncated = last-most, true
	}
	samples = make([]telemetry.CapturedSample, 0, last-first)
	for n := first; n < last; n++ {
		p := r.at(n)
		s := telemetry.CapturedSample{Time: p.time}
		if p.known {
			v := p.number
			s.Value = &v
		}
		if p.quality != 0 {
			s.Quality = p.quality.String()
		}
		samples = append(samples, s)
	}
	return samples, truncated
}
