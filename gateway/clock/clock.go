// Package clock tells a gateway the time, and how far it can be trusted. Behind
// it is the kernel's wall clock, which may start in 1970 and be set at any
// moment, and the kernel's time since the boot, which nothing sets. Sources that
// know the time without setting the wall clock, such as an NTP client, offer
// fixes. Gateway time is never before a floor, and samples that are taken before
// the time is known are placed in it afterwards.
package clock

import (
	"log/slog"
	"sync"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Minimum is a time that has passed when this program was written: a wall clock
// before it isn't set.
var Minimum = telemetry.MicrosOf(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC))

const (
	// stepFrom is from where on a change of the wall clock against the time since
	// the boot is a step. A clock that is slewed doesn't change against it.
	stepFrom = telemetry.Micros(100_000)

	// boundMost is the error up to which a synchronised clock counts as one. The
	// kernel lets a silent source's bound grow by 0.5 ms a second, so this is
	// reached after an hour; systemd-timesyncd asks every 34 minutes.
	boundMost = 2 * time.Second

	// holdover is how long the time stays good when the kernel says at once that
	// its source is gone, as it does while a time daemon is restarted.
	holdover = telemetry.Micros(3600 * 1_000_000)

	// settle is how long a clock that has been set is given to be confirmed:
	// daemons set first and confirm then. Samples that waited for the time are
	// placed after it.
	settle = telemetry.Micros(5 * 1_000_000)
)

// Options are what a Clock needs.
type Options struct {
	Kernel Kernel
	Notes  Notes
	// Assume that a plausible wall clock is synchronised, by something that the
	// kernel doesn't know about.
	Assume bool
	// RequireSync holds samples of counters until the clock is synchronised,
	// MaxHold bounds how long any are held.
	RequireSync bool
	MaxHold     time.Duration
	// Sign, if there is one, signs the records that Prepare has changed.
	Sign func(*record.Record) error
	Log  *slog.Logger
}

// Clock is a gateway's clock. It is safe for concurrent use. Observe must be
// called every second.
type Clock struct {
	o     Options
	maxed telemetry.Micros // MaxHold

	mu         sync.Mutex
	notes      notes
	saved      telemetry.Micros // since the boot
	unsaved    bool             // something that can't wait
	failing    bool             // the last save failed
	floor      telemetry.Micros // a wall clock before it isn't set
	state      telemetry.ClockState
	discipline Discipline
	offset     telemetry.Micros // of the wall clock from the time since the boot, up to small steps
	base       telemetry.Micros // gateway time at the boot
	anchor     telemetry.Micros // base when generation last rose
	generation uint64
	known      bool             // the wall clock has been set in this boot
	set        telemetry.Micros // since the boot: when it was
	confirmed  telemetry.Micros // since the boot: when base was last confirmed; 0: never
	need       Held
	needed     telemetry.Micros // since the boot: when need began; 0: there is none
	steps      uint64
	refused    bool // a record that wasn't ready, since ripened rose
	ripened    uint64
	changes    []Change
	prior      reign // before base was last moved

	fix          *Fix             // the best one of this boot
	steering     bool             // by the fix, not by the wall clock
	contradicted bool             // the kernel's source, by the fix
	steered      telemetry.Micros // since the boot: when the fix last moved base
	kernelAt     telemetry.Micros // since the boot: when the kernel last confirmed the wall clock
	slept        telemetry.Micros // as the kernel said last
	nap          telemetry.Micros // the last sleep's length
	woken        time.Time        // when it was noticed
}

// Change is a change of the clock that people are to know of.
type Change struct {
	telemetry.ClockStep
	At telemetry.Micros // gateway time
}

// New takes up the notes and looks at the clock for the first time.
func New(o Options) *Clock {
	c := &Clock{o: o, maxed: telemetry.Micros(o.MaxHold.Microseconds()), state: telemetry.ClockUnset}
	c.notes = readNotes(o)
	now := o.Kernel.Now()
	c.floor = max(Minimum, c.notes.Known)
	present := c.notes.enter(o.Kernel.Boot(), c.floor)
	c.base, c.offset, c.slept, c.steered = present.Floor, now.Wall-now.SinceBoot, now.Slept, now.SinceBoot
	if f := present.Fix; f != nil && f.check(now) == nil {
		c.fix, c.steering = f, true
	}
	c.needed = present.Needed
	if present.Began != 0 {
		c.known, c.base, c.offset, c.state = true, present.Began, present.Began, telemetry.ClockFreeRunning
		c.set = now.SinceBoot
	}
	c.anchor, c.unsaved = c.base, true
	c.observe(now)
	if c.steps == 0 {
		c.changes = nil // a clock that is found as it is hasn't changed
	}
	c.keepNotes(now)
	return c
}

// Observe looks at the kernel's clocks, notes what has changed, and decides
// about the samples that are held.
func (c *Clock) Observe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Kernel.Now()
	c.observe(now)
	if c.placeable(now) {
		if c.notes.present().Open {
			c.place(now)
		}
		c.ripen()
	}
	c.keepNotes(now)
}

func (c *Clock) observe(now Instant) {
	c.discipline = c.o.Kernel.Discipline()
	c.noteSleep(now)
	offset := now.Wall - now.SinceBoot
	was, before, step := c.state, c.base, telemetry.Micros(0)
	set := away(offset, c.offset)
	if set {
		step, c.offset = offset-c.offset, offset
	}
	// A clock that had been set may be set back: someone corrects it.
	plausible := now.Wall >= c.floor || c.known && now.Wall >= Minimum
	kernel := c.o.Assume && plausible ||
		c.discipline.Synchronised && c.discipline.MaxError <= boundMost && now.Wall >= Minimum
	if kernel {
		c.kernelAt = max(1, now.SinceBoot)
	}
	switch c.steering = c.steers(now, offset, kernel); {
	case c.steering:
		c.follow(now)
		// What the wall clock does moves nothing.
		if step = 0; away(c.base, before) {
			step = c.base - before
		}
	case kernel:
		c.state, c.base, c.confirmed = telemetry.ClockSynchronised, offset, max(1, now.SinceBoot)
	case plausible:
		if away(offset, c.base) {
			c.confirmed = 0
		}
		c.state, c.base = telemetry.ClockFreeRunning, offset
	case c.known:
		c.state = telemetry.ClockFreeRunning
	}
	if step != 0 {
		c.steps++
	}
	if c.state != telemetry.ClockUnset && !c.known {
		c.known, c.set = true, now.SinceBoot
	}
	if away(c.base, before) {
		c.prior = reign{before, was}
	}
	if away(c.base, c.anchor) {
		c.anchor = c.base
		c.generation++
	}
	c.noteBoot(now)
	c.hold(now)
	if c.state != was || step != 0 {
		c.report(now, was, step)
	}
}

func away(a, b telemetry.Micros) bool { return a-b >= stepFrom || b-a >= stepFrom }

func (c *Clock) report(now Instant, was telemetry.ClockState, step telemetry.Micros) {
	change := Change{
		ClockStep: telemetry.ClockStep{State: c.state, Was: was, Step: int64(step), Boot: c.o.Kernel.Boot().String()},
		At:        c.base + now.SinceBoot,
	}
	if c.state != telemetry.ClockUnset {
		change.Offset = c.base
	}
	c.changes = append(c.changes, change)
	c.o.Log.Info("clock", "state", c.state, "was", was, "step", time.Duration(step)*time.Microsecond)
}

// hold decides what is to be held from now on.
func (c *Clock) hold(now Instant) {
	need := Nothing
	switch {
	case c.state == telemetry.ClockUnset:
		need = Everything
	case c.o.RequireSync && !c.trusted(now):
		need = Counters
	}
	c.need = need
	// The wait goes on in the next process.
	switch b := c.notes.present(); {
	case need == Nothing && c.needed != 0:
		c.needed, b.Needed, c.unsaved = 0, 0, true
	case need != Nothing && c.needed == 0:
		c.needed, c.unsaved = max(1, now.SinceBoot), true
		b.Needed = c.needed
	}
}

// trusted reports whether gateway time is that of a synchronised clock, or has
// been within the holdover.
func (c *Clock) trusted(now Instant) bool {
	return c.confirmed != 0 && now.SinceBoot-c.confirmed <= holdover
}

// overdue reports whether samples have been held for as long as they may be.
func (c *Clock) overdue(now Instant) bool {
	return c.need != Nothing && now.SinceBoot-c.needed >= c.maxed
}

// Now is gateway time.
func (c *Clock) Now() telemetry.Micros {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base + c.look().SinceBoot
}

// SinceBoot is the kernel's time since the boot, which a Fix counts by.
func (c *Clock) SinceBoot() telemetry.Micros { return c.o.Kernel.Now().SinceBoot }

// look reads the kernel's clocks, and observes them at once if they have been
// set.
func (c *Clock) look() Instant {
	now := c.o.Kernel.Now()
	if away(now.Wall-now.SinceBoot, c.offset) || away(now.Slept, c.slept) {
		c.observe(now)
	}
	return now
}

// At is the gateway time of an instant of this process, which must have its
// monotonic reading.
func (c *Clock) At(t time.Time) telemetry.Micros {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(c.look(), t)
}

// at keeps what the wall clock said at t, to the µs, if that gives gateway time
// and hasn't been set since.
func (c *Clock) at(now Instant, t time.Time) telemetry.Micros {
	at, wall := c.base+c.sinceBoot(now, t), telemetry.MicrosOf(t)
	if c.steering || away(at, wall) {
		return at
	}
	return wall
}

// reign is a time in which gateway time wasn't moved.
type reign struct {
	base  telemetry.Micros
	state telemetry.ClockState
}

// Reading says which clock gave an event's time, which was decided just now; nil if
// it is synchronised. Gateway time may have been moved since.
func (c *Clock) Reading(decided telemetry.Micros) *telemetry.ClockReading {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, by := c.look().SinceBoot, reign{c.base, c.state}
	if c.prior.state != "" && distance(decided-c.prior.base, now) < distance(decided-by.base, now) {
		by = c.prior
	}
	if by.state == telemetry.ClockSynchronised {
		return nil
	}
	return &telemetry.ClockReading{State: by.state, Boot: c.o.Kernel.Boot().String(), SinceBoot: int64(decided - by.base)}
}

// Boot is the id of this boot.
func (c *Clock) Boot() record.Boot { return c.o.Kernel.Boot() }

// Changes are those since the last call.
func (c *Clock) Changes() []Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes := c.changes
	c.changes = nil
	return changes
}

// Stats are a clock's state for people.
type Stats struct {
	State    telemetry.ClockState
	Source   string        // what gives the time: kernel, or that of a fix
	Steps    uint64        // since the process started
	MaxError time.Duration // bounds the error, as the source says; 0: it doesn't
	Holding  Held
	// Contradiction is how far the kernel's source, which says that the wall clock
	// is right, and the fix are apart, if both can't be true; else 0.
	Contradiction time.Duration
	// Waiting is how long the time has been awaited, 0 if it isn't.
	Waiting time.Duration
}

func (c *Clock) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.look()
	s := Stats{State: c.state, Steps: c.steps, Source: "kernel"}
	switch {
	case c.steering:
		s.Source, s.MaxError = c.fix.Source, c.fix.bound(now)
	case c.discipline.Synchronised:
		s.MaxError = c.discipline.MaxError
	}
	if c.contradicted {
		s.Contradiction = time.Duration(c.fix.Began-c.offset) * time.Microsecond
	}
	if c.need != Nothing {
		s.Waiting = time.Duration(now.SinceBoot-c.needed) * time.Microsecond
	}
	if !c.overdue(now) {
		s.Holding = c.need
	}
	return s
}

// Close saves the notes. The clock can still be read.
func (c *Clock) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.save(c.o.Kernel.Now())
}
