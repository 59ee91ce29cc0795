package clock

import (
	"crypto/rand"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Instant is what the kernel's two clocks say at one moment.
type Instant struct {
	Wall      telemetry.Micros // which can be set, and starts anywhere
	SinceBoot telemetry.Micros // which can't be set; it counts while the machine sleeps, too
	Slept     telemetry.Micros // of that, how long it has slept: Go's monotonic readings lack it
}

// Discipline is what the kernel knows about the source of its wall clock.
type Discipline struct {
	Synchronised bool
	// MaxError bounds how far the wall clock is off. It grows by 0.5 ms a second
	// while the source is silent.
	MaxError time.Duration
}

// Kernel is the part of the operating system that keeps time.
type Kernel interface {
	// Boot is the id of this boot, the same for every process.
	Boot() record.Boot
	Now() Instant
	Discipline() Discipline
}

// process counts from its own start, where the boot's can't be asked for: each
// process is a boot of its own. Nothing confirms its clock.
type process struct {
	boot  record.Boot
	start time.Time
}

func newProcess() process {
	p := process{start: time.Now()}
	rand.Read(p.boot[:])
	return p
}

func (p process) Boot() record.Boot { return p.boot }

func (p process) Now() Instant {
	now := time.Now()
	return Instant{Wall: telemetry.MicrosOf(now), SinceBoot: telemetry.Micros(now.Sub(p.start).Microseconds())}
}

func (p process) Discipline() Discipline { return Discipline{} }
