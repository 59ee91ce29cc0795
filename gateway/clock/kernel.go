package clock

import (
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Instant is what the kernel's two clocks say at one moment.
type Instant struct {
	Wall      telemetry.Micros // which can be set, and starts anywhere
	SinceBoot telemetry.Micros // which can't be set; it counts while the machine sleeps, too
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
