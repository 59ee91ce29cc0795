package clock

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

type linux struct{ boot record.Boot }

const bootID = "/proc/sys/kernel/random/boot_id"

// System is this machine's kernel. Where it doesn't tell the id of its boot, as in
// some containers, each process counts as a boot of its own.
func System() Kernel { return system(bootID) }

func system(bootID string) Kernel {
	text, err := os.ReadFile(bootID)
	if err == nil {
		var boot record.Boot
		if boot, err = record.ParseBoot(strings.TrimSpace(string(text))); err == nil && boot != (record.Boot{}) {
			return linux{boot}
		}
	}
	return alone{newProcess()}
}

// alone is a process on a kernel that doesn't tell the id of its boot.
type alone struct{ process }

func (alone) Discipline() Discipline { return discipline() }

func (k linux) Boot() record.Boot { return k.boot }

// Now reads the wall clock between two readings of the other one, and again if
// the process was interrupted meanwhile.
func (k linux) Now() Instant {
	var best Instant
	closest := telemetry.Micros(1 << 62)
	for range 3 {
		before, wall, awake, after := read(unix.CLOCK_BOOTTIME), telemetry.MicrosOf(time.Now()), read(unix.CLOCK_MONOTONIC), read(unix.CLOCK_BOOTTIME)
		if gap := after - before; gap < closest {
			closest, best = gap, Instant{Wall: wall, SinceBoot: before + gap/2, Slept: max(0, before+gap/2-awake)}
		}
		if closest < 20 {
			break
		}
	}
	return best
}

func read(clock int32) telemetry.Micros {
	var t unix.Timespec
	// It fails only for a clock that doesn't exist.
	_ = unix.ClockGettime(clock, &t)
	return telemetry.Micros(t.Nano() / 1000)
}

func (k linux) Discipline() Discipline { return discipline() }

// discipline asks what chrony, ntpd, systemd-timesyncd or a PTP daemon has told
// the kernel. Where the call is forbidden, as in some containers, nothing
// confirms the clock.
func discipline() Discipline {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return Discipline{}
	}
	return Discipline{t.Status&unix.STA_UNSYNC == 0, time.Duration(t.Maxerror) * time.Microsecond}
}
