package rules

import (
	"slices"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Engine evaluates compiled rules. One goroutine owns it; its methods and the
// emit functions passed to them run there. emit must not call the Engine.
//
// After Compile, Restore may take up the state of an earlier process, or Continue
// that of another Engine, before any other method is called. Then Update takes every batch of samples, and Tick is
// called when NextDeadline has come.
type Engine struct {
	gateway   string
	in        inputs
	slotOf    map[telemetry.SignalID]int32
	idle      idle
	instances []instance
	known     map[claim]*instance
	orphans   []savedAlarm
	trial     bool      // orphans are kept
	next      time.Time // no later than the earliest hold.due; zero if there is none
	changed   bool
	fresh     bool // what comes by change only is to be decided by what is known
	stats     Stats
	clock     func(time.Time) telemetry.Micros

	// The samples of one exchange with one device that share a time, and the
	// instances that read them.
	run       []reached
	runTime   telemetry.Micros
	runDevice int32
	runJumped bool // the clock that stamps them has been set
	runs      uint64
	touched   []int32
	ranked    bool // some suppress others: the order of touched matters

	capturing     []capturing
	captureMinute int64
	captured      int // in that minute
}

// Stats is what an Engine has left out since it was made.
type Stats struct {
	Suppressed uint64 // alarms that came and went while others suppressed them
	Uncaptured uint64 // alarms without a capture, because there were too many
}

type reached struct{ sample, slot int32 }

// Stats may be called like the other methods.
func (e *Engine) Stats() Stats { return e.stats }

// instance is one rule on one target.
type instance struct {
	rule        string
	target      target
	text        string // names what makes it wait: conditions, their numbers and durations, as written
	version     string
	method      string
	priority    telemetry.Priority
	when, clear condition
	delay, keep telemetry.Micros
	slots       []int32
	counts      []*edges
	ages        []lookBack
	summary     sentence
	latch       bool
	capture     *around // nil: none
	group       string
	peers       []int32   // of the group, itself among them
	suppressed  condition // nil: never
	suppressors []int32
	suppresses  []int32
	rank        int32 // above that of its suppressors
	patience    telemetry.Micros
	polled      bool             // a sample of it comes every so often
	run         uint64           // that touched it last
	at          telemetry.Micros // of the latest sample that it has read

	firing bool
	id     string
	raised telemetry.Micros
	noted  string           // who has acknowledged the alarm; "": nobody
	first  string           // the alarm of its group that was raised first
	hold   hold             // of when, or of clear while firing
	held   bool             // the condition has lasted, and the alarm is suppressed
	fade   telemetry.Micros // when windows change without a sample; 0: they don't
	fades  time.Time        // that by the clock
}

func newEngine(gateway string, w *network, instances []instance) *Engine {
	e := &Engine{gateway: gateway, in: w.inputs, slotOf: w.slotOf, idle: w.idle, instances: instances, known: make(map[claim]*instance, len(instances)), clock: telemetry.MicrosOf}
	for n := range e.instances {
		i := &e.instances[n]
		e.known[claim{i.rule, i.target}] = i
		for _, slot := range i.slots {
			s := &e.in.slots[slot]
			s.readers = append(s.readers, int32(n))
			i.patience = max(i.patience, stalePeriods*s.poll)
			i.polled = i.polled || s.poll > 0
		}
		e.ranked = e.ranked || len(i.suppressors) > 0
	}
	return e
}

// SetClock makes clock say what time it was at an instant, in the time of the
// samples; without it, it is what the wall clock says. It is called before any
// other method.
func (e *Engine) SetClock(clock func(time.Time) telemetry.Micros) { e.clock = clock }

// Update takes samples in the order in which they were received, and emits the
// alarms that they raise and clear. It evaluates the rules that read any of
// them, once for all consecutive samples of one device with one time. A sample
// older than the last of its signal is passed over, unless it is flagged
// telemetry.ClockJumped, which starts anew what its rules have waited; a time
// later than received is taken as received. It allocates nothing when nothing is raised or cleared.
func (e *Engine) Update(received time.Time, samples []telemetry.Sample, emit func(telemetry.Event)) {
	now := e.clock(received)
	for i := range samples {
		slot, ok := e.slotOf[samples[i].Signal]
		if !ok {
			e.keep(&samples[i], now)
			continue
		}
		t, s := min(samples[i].Time, now), &e.in.slots[slot]
		if len(e.run) > 0 && (t != e.runTime || s.device != e.runDevice) {
			e.finishRun(received, samples, emit)
		}
		jumped := samples[i].Quality.Has(telemetry.ClockJumped)
		if t < s.time && !jumped {
			continue
		}
		e.runJumped = e.runJumped || jumped
		e.run = append(e.run, reached{int32(i), slot})
		e.runTime, e.runDevice = t, s.device
	}
	e.finishRun(received, samples, emit)
}

// keep keeps a sample that no rule reads, if it is of a signal that comes by change.
func (e *Engine) keep(s *telemetry.Sample, now telemetry.Micros) {
	last := e.idle.of(s.Signal)
	if t := min(s.Time, now); last != nil && (t >= last.time || s.Quality.Has(telemetry.ClockJumped)) {
		*last = pastOf(s.Value, s.Quality, t)
	}
}

func (e *Engine) finishRun(received time.Time, samples []telemetry.Sample, emit func(telemetry.Event)) {
	e.runs++
	e.touched = e.touched[:0]
	for _, r := range e.run {
		for _, n := range e.in.slots[r.slot].readers {
			if i := &e.instances[n]; i.run != e.runs {
				i.run = e.runs
				e.touched = append(e.touched, n)
			}
		}
	}
	e.sortTouched()
	for _, n := range e.touched {
		e.settle(n, received, emit)
	}
	if e.runJumped {
		e.Close(received, emit)
	}
	for _, r := range e.run {
		s := &samples[r.sample]
		if e.runJumped {
			e.in.slots[r.slot].trail.clear()
		}
		e.in.slots[r.slot].set(s.Value, s.Quality, e.runTime)
	}
	for _, n := range e.touched {
		e.evaluate(n, received, emit)
	}
	e.run, e.runJumped = e.run[:0], false
}

// condition is what the instance waits for, and for how long.
func (i *instance) condition() (condition, telemetry.Micros) {
	if i.firing {
		return i.clear, i.keep
	}
	return i.when, i.delay
}

// settle moves an instance to the run's time, with its values from before the
// run: it does what the clock would have done until then, and notes when values
// have gone stale. Time stands still for a sample that took longer to arrive
// than another device's later one.
func (e *Engine) settle(n int32, received time.Time, emit func(telemetry.Event)) {
	i := &e.instances[n]
	if e.runJumped {
		i.at, i.hold, i.held, i.fade, e.changed = e.runTime, hold{}, false, 0, true
		for _, c := range i.counts {
			c.times = c.times[:0]
		}
	}
	for i.fade != 0 && i.fade <= e.runTime {
		e.lapse(n, received, emit)
	}
	i.at = max(i.at, e.runTime)
	e.finish(n, received, emit)
	if !i.hold.begun {
		return
	}
	c, _ := i.condition()
	e.in.at = i.at
	if c(&e.in) != yes {
		i.hold.gap = true
	}
}

// finish does what an instance has waited for until its time.
func (e *Engine) finish(n int32, received time.Time, emit func(telemetry.Event)) {
	i := &e.instances[n]
	if !i.hold.begun || i.held {
		return
	}
	_, delay := i.condition()
	if complete := i.hold.complete(delay); complete <= i.at && e.completed(i) {
		e.transition(n, complete, received, emit)
		e.release(i, received, emit)
	}
}

// lapse evaluates an instance when something has left its windows.
func (e *Engine) lapse(n int32, received time.Time, emit func(telemetry.Event)) {
	i := &e.instances[n]
	i.at = max(i.at, i.fade)
	e.finish(n, received, emit)
	e.evaluate(n, received, emit)
}

func (e *Engine) evaluate(n int32, received time.Time, emit func(telemetry.Event)) {
	i := &e.instances[n]
	e.in.at = i.at
	for _, c := range i.counts {
		e.changed = c.observe(&e.in) || c.count(i.at) > 0 || e.changed
	}
	if len(i.counts)+len(i.ages) > 0 && !i.polled {
		e.foresee(i, received)
	}
	if i.firing && i.latch {
		return
	}
	c, delay := i.condition()
	v := c(&e.in)
	e.changed = e.changed || i.hold.begun || v == yes
	if i.hold.observe(v, i.at, delay, i.patience) {
		e.transition(n, i.at, received, emit)
	} else if v == yes {
		rest := i.hold.complete(delay) - i.hold.last
		i.hold.due = received.Add(time.Duration(rest) * time.Microsecond)
		e.wake(i.hold.due)
	}
	if i.held && (!i.hold.begun || i.hold.held < delay) {
		i.held = false
		e.stats.Suppressed++
	}
	e.release(i, received, emit)
}

// foresee notes when the windows of an instance change, if no sample comes.
func (e *Engine) foresee(i *instance, received time.Time) {
	i.fade = 0
	note := func(at telemetry.Micros) {
		if at != 0 && (i.fade == 0 || at < i.fade) {
			i.fade = at
		}
	}
	for _, c := range i.counts {
		note(c.fades(i.at))
	}
	for _, a := range i.ages {
		note(e.in.slots[a.slot].trail.fades(a.d, i.at))
	}
	if i.fade != 0 {
		i.fades = received.Add((i.fade - i.at).Sub(0))
		e.wake(i.fades)
	}
}

// decide evaluates what no poll will: a value that comes by change holds as long as
// nothing comes, also for a rule that is new, and one that was reset or held back.
func (e *Engine) decide(now time.Time, emit func(telemetry.Event)) {
	e.fresh = false
	e.touched = e.touched[:0]
	for n := range e.instances {
		if !e.instances[n].polled {
			e.touched = append(e.touched, int32(n))
		}
	}
	e.sortTouched()
	for _, n := range e.touched {
		i := &e.instances[n]
		i.at = max(i.at, e.clock(now))
		e.finish(n, now, emit)
		e.evaluate(n, now, emit)
	}
}

// sortTouched puts those that suppress before those that are suppressed.
func (e *Engine) sortTouched() {
	if e.ranked {
		slices.SortStableFunc(e.touched, func(a, b int32) int { return int(e.instances[a].rank - e.instances[b].rank) })
	}
}

// completed reports whether the hold is complete without another sample: its
// condition still holds then, and none of the values is about to be read anew.
func (e *Engine) completed(i *instance) bool {
	if i.hold.gap {
		return false
	}
	c, delay := i.condition()
	e.in.at = i.hold.complete(delay)
	for _, n := range i.slots {
		if s := &e.in.slots[n]; s.poll > 0 && s.usable(e.in.at) && 2*(e.in.at-s.time) >= s.poll {
			return false
		}
	}
	return c(&e.in) == yes
}

func (e *Engine) wake(at time.Time) {
	if e.next.IsZero() || at.Before(e.next) {
		e.next = at
	}
}

// NextDeadline is when Tick has something to do, which may turn out to be
// nothing; zero if it has not.
func (e *Engine) NextDeadline() time.Time { return e.next }

// Tick emits the alarms that time alone raises and clears, what was captured of
// alarms, and the clearing of those whose rule is gone.
func (e *Engine) Tick(now time.Time, emit func(telemetry.Event)) {
	if e.next.IsZero() || now.Before(e.next) {
		return
	}
	e.next = time.Time{}
	if !e.trial {
		e.clearOrphans(now, emit)
	}
	if e.fresh {
		e.decide(now, emit)
	}
	for n := range e.instances {
		i := &e.instances[n]
		switch {
		case i.fade == 0:
		case now.Before(i.fades):
			e.wake(i.fades)
		default:
			e.lapse(int32(n), now, emit)
		}
		switch due := i.hold.due; {
		case due.IsZero():
		case now.Before(due):
			e.wake(due)
		default:
			i.hold.due = time.Time{}
			if !i.held && e.completed(i) {
				_, delay := i.condition()
				e.transition(int32(n), i.hold.complete(delay), now, emit)
				e.release(i, now, emit)
			}
		}
	}
	e.endCaptures(now, emit)
}
