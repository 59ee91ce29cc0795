package clock

import (
	"fmt"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Fix is what a source other than the kernel says about the time: an NTP client,
// or an adapter whose master tells it.
type Fix struct {
	Source string           `json:"source"`   // for people, such as "NTP"
	Began  telemetry.Micros `json:"began_us"` // when the time since the boot was 0
	At     telemetry.Micros `json:"at_us"`    // since the boot: when that was found out
	// MaxError bounds how far Began is off, at At.
	MaxError time.Duration `json:"max_error_ns"`
	// Agreeing is how many independent clocks say so. The kernel's source is
	// overruled only by two or more.
	Agreeing int `json:"agreeing"`
}

// check finds what can't be true.
func (f *Fix) check(now Instant) error {
	switch {
	case f.MaxError < 0 || f.MaxError > boundMost:
		return fmt.Errorf("clock: %s may be off by %v, more than %v", f.Source, f.MaxError, boundMost)
	case f.At < 0 || f.At > now.SinceBoot:
		return fmt.Errorf("clock: %s speaks of %d µs since the boot, which was %d µs ago", f.Source, f.At, now.SinceBoot)
	case f.Began+f.At < Minimum:
		return fmt.Errorf("clock: %s says that it is %v, which has passed", f.Source, (f.Began + f.At).Time())
	}
	return nil
}

// bound is how far the time by the fix may be off now. It grows by 0.5 ms a second,
// as the kernel's does.
func (f *Fix) bound(now Instant) time.Duration {
	return f.MaxError + time.Duration(max(0, now.SinceBoot-f.At)/2000)*time.Microsecond
}

// Offer says what time a source has found it to be. The fix that is the better one
// by now counts; of one source the newer one also if both can't be true. On an
// error the fix can't be true.
func (c *Clock) Offer(f Fix) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.look()
	if err := f.check(now); err != nil {
		return err
	}
	if c.fix != nil && f.bound(now) > c.fix.bound(now) {
		apart := time.Duration(f.Began-c.fix.Began) * time.Microsecond
		if f.Source != c.fix.Source || apart.Abs() <= f.bound(now)+c.fix.bound(now) {
			return nil
		}
	}
	c.unsaved = c.unsaved || c.fix == nil
	c.fix = &f
	c.observe(now)
	return nil
}

// steers decides whether the fix gives gateway time, or the wall clock: kernel says
// whether the kernel's source confirms that.
func (c *Clock) steers(now Instant, offset telemetry.Micros, kernel bool) bool {
	f := c.fix
	if f == nil {
		return false
	}
	fresh := f.bound(now) <= boundMost
	if !kernel {
		c.contradicted = false
		// A wall clock that was confirmed later is the better one of the two. One that
		// never was isn't, however old the fix.
		return fresh || f.At >= c.kernelAt
	}
	bound := f.bound(now)
	if c.discipline.Synchronised {
		bound += c.discipline.MaxError
	}
	apart := time.Duration(f.Began-offset) * time.Microsecond
	// Once they are apart, they are until they have come together: bounds grow.
	c.contradicted = fresh && away(f.Began, offset) && (c.contradicted || apart.Abs() > bound)
	return c.contradicted && f.Agreeing >= 2
}

// Amiss is how far the wall clock is ahead of gateway time, which a fix gives that is good; 0
// where nothing is known that is better than the wall clock, where it is less than what
// counts as a step, and where gateway time is before one that has passed. Setting the wall
// clock right moves nothing else.
func (c *Clock) Amiss() telemetry.Micros {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.look()
	if !c.steering || c.state != telemetry.ClockSynchronised || c.base+now.SinceBoot < c.floor || !away(now.Wall-now.SinceBoot, c.base) {
		return 0
	}
	return now.Wall - now.SinceBoot - c.base
}

// slewing is how much of the time that passes base may move: fast enough for any
// quartz, and too slow for times to go backwards.
const slewing = 2000 // µs for one

// follow moves base to where the fix has it: at once if that is far, and farther than
// the fix may be off, else slowly. On a line with long queues each fix is elsewhere.
func (c *Clock) follow(now Instant) {
	c.state = telemetry.ClockFreeRunning
	if c.fix.bound(now) <= boundMost {
		c.state, c.confirmed = telemetry.ClockSynchronised, max(1, now.SinceBoot)
	}
	most := (now.SinceBoot - c.steered) / slewing
	apart := time.Duration(c.fix.Began-c.base) * time.Microsecond
	if away(c.fix.Began, c.base) && apart.Abs() > c.fix.MaxError {
		c.base = c.fix.Began
	} else {
		c.base += max(-most, min(most, c.fix.Began-c.base))
	}
	if most > 0 {
		c.steered = now.SinceBoot
	}
}

// noteSleep notices that the machine has slept.
func (c *Clock) noteSleep(now Instant) {
	if away(now.Slept, c.slept) {
		c.nap, c.woken = now.Slept-c.slept, time.Now()
	}
	c.slept = now.Slept
}

// sinceBoot is when an instant of this process was, which must have its monotonic
// reading. That doesn't count while the machine sleeps.
func (c *Clock) sinceBoot(now Instant, t time.Time) telemetry.Micros {
	since := now.SinceBoot - telemetry.Micros(time.Since(t).Microseconds())
	if c.nap == 0 || !t.Before(c.woken) {
		return since
	}
	// It may have been before the machine slept, or behind it and before anybody
	// noticed: the wall clock tells.
	byWall := telemetry.MicrosOf(t) - (now.Wall - now.SinceBoot)
	if distance(byWall, since-c.nap) < distance(byWall, since) {
		return since - c.nap
	}
	return since
}

func distance(a, b telemetry.Micros) telemetry.Micros { return max(a-b, b-a) }
