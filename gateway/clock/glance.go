package clock

import (
	"sync"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Glance makes a kernel whose clocks can be read for every batch: to read the time
// since the boot is a system call, while the process's own clock isn't one. Up to
// glanceFor after a reading, the kernel's clocks are taken to have gone as far as
// that has, unless the wall clock was set or the machine slept meanwhile.
func Glance(k Kernel) Kernel { return &glance{Kernel: k, process: processClock} }

const (
	glanceFor = 10 * time.Millisecond
	// A reading that was interrupted for longer isn't remembered, and a wall clock
	// that has gone otherwise by more was set.
	glanceError = 200 * time.Microsecond
)

type glance struct {
	Kernel
	process func() (wall telemetry.Micros, running time.Duration)

	mu   sync.Mutex
	last Instant
	at   time.Duration // of the process; 0: there is none
}

var processStart = time.Now()

func processClock() (wall telemetry.Micros, running time.Duration) {
	now := time.Now()
	return telemetry.MicrosOf(now), now.Sub(processStart)
}

func (g *glance) Now() Instant {
	g.mu.Lock()
	defer g.mu.Unlock()
	wall, running := g.process()
	if passed := running - g.at; g.at != 0 && passed < glanceFor {
		now := g.last
		now.Wall += telemetry.Micros(passed.Microseconds())
		now.SinceBoot += telemetry.Micros(passed.Microseconds())
		if wall.Sub(now.Wall).Abs() <= glanceError {
			return now
		}
	}
	g.last, g.at = g.Kernel.Now(), running
	if _, after := g.process(); after-running > glanceError {
		g.at = 0
	}
	return g.last
}
