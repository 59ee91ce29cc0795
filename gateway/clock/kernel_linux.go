package clock

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

type linux struct{ boot record.Boot }

// System is this machine's kernel.
func System() (Kernel, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("clock: read the id of this boot: %w", err)
	}
	boot, err := record.ParseBoot(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("clock: %w", err)
	}
	return linux{boot}, nil
}

func (k linux) Boot() record.Boot { return k.boot }

// Now reads the wall clock between two readings of the other one, and again if
// the process was interrupted meanwhile.
func (k linux) Now() Instant {
	var best Instant
	closest := telemetry.Micros(1 << 62)
	for range 3 {
		before, wall, after := sinceBoot(), telemetry.MicrosOf(time.Now()), sinceBoot()
		if gap := after - before; gap < closest {
			closest, best = gap, Instant{wall, before + gap/2}
		}
		if closest < 20 {
			break
		}
	}
	return best
}

func sinceBoot() telemetry.Micros {
	var t unix.Timespec
	// It fails only for a clock that doesn't exist.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return telemetry.Micros(t.Nano() / 1000)
}

// Discipline asks what chrony, ntpd, systemd-timesyncd or a PTP daemon has told
// the kernel. Where the call is forbidden, as in some containers, nothing
// confirms the clock.
func (k linux) Discipline() Discipline {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return Discipline{}
	}
	return Discipline{t.Status&unix.STA_UNSYNC == 0, time.Duration(t.Maxerror) * time.Microsecond}
}
