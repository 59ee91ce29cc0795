//go:build !linux

package clock

import (
	"crypto/rand"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// process counts from its own start, since only Linux is asked for the boot's:
// each process is a boot of its own. Nothing confirms its clock.
type process struct {
	boot  record.Boot
	start time.Time
}

// System is this machine's kernel.
func System() (Kernel, error) {
	p := process{start: time.Now()}
	rand.Read(p.boot[:])
	return p, nil
}

func (p process) Boot() record.Boot { return p.boot }

func (p process) Now() Instant {
	now := time.Now()
	return Instant{telemetry.MicrosOf(now), telemetry.Micros(now.Sub(p.start).Microseconds())}
}

func (p process) Discipline() Discipline { return Discipline{} }
