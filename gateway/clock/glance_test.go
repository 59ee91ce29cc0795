package clock

import (
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// readings counts how often a machine's clocks are read.
type readings struct {
	*fake
	n int
}

func (r *readings) Now() Instant {
	r.n++
	return r.fake.Now()
}

// A glance reads the kernel's clocks now and then, and always when the wall clock
// was set, the machine slept, or the reading before was interrupted.
func TestGlance(t *testing.T) {
	r := &readings{fake: &fake{now: Instant{Wall: Minimum + hour, SinceBoot: hour}}}
	running, interrupted := time.Hour, time.Duration(0)
	g := &glance{Kernel: r, process: func() (telemetry.Micros, time.Duration) {
		running += interrupted
		return r.now.Wall, running
	}}
	pass := func(d time.Duration) {
		r.pass(telemetry.Micros(d.Microseconds()))
		running += d
	}
	for _, step := range []struct {
		what  string
		do    func()
		reads int
	}{
		{"at first", func() {}, 1},
		{"soon after", func() { pass(glanceFor / 2) }, 0},
		{"later", func() { pass(glanceFor / 2) }, 1},
		{"the wall clock was set", func() { r.set(r.now.Wall + second); pass(time.Millisecond) }, 1},
		{"soon after that", func() { pass(time.Millisecond) }, 0},
		{"the machine slept", func() { r.pass(second) }, 1},
		{"a reading is interrupted", func() { pass(glanceFor); interrupted = time.Millisecond }, 1},
		{"soon after one that was interrupted", func() { interrupted = 0 }, 1},
	} {
		step.do()
		before := r.n
		if got := g.Now(); got != r.now || r.n-before != step.reads {
			t.Errorf("%s: %+v by %d readings, it is %+v", step.what, got, r.n-before, r.now)
		}
	}
}
