//go:build linux

package appliance

import (
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

// mostTrial is how long a machine whose version is on trial is kept on for: longer than
// anybody gives a version to prove itself.
const mostTrial = 2 * time.Hour

// trial bounds how long a version may run that isn't confirmed, whatever hangs in it.
type trial struct {
	until atomic.Pointer[time.Time] // nil: for ever
}

func (t *trial) over() bool {
	until := t.until.Load()
	return until != nil && time.Now().After(*until)
}

// readStart reads what the machine was started with.
func (m *Machine) readStart() {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		m.log.Error("what the kernel was told can't be read", "error", err)
		return
	}
	m.started = layout.ParseStarted(string(line))
	if m.started.Trial {
		m.Limit(mostTrial)
	}
}

// Limit has the machine start anew after a while, whatever hangs; 0 lifts that.
func (m *Machine) Limit(long time.Duration) {
	if long == 0 {
		m.trial.until.Store(nil)
		return
	}
	until := time.Now().Add(long)
	m.trial.until.Store(&until)
}

// rebootWith restarts the machine and says something to its firmware.
func rebootWith(argument string) error {
	text, err := unix.BytePtrFromString(argument)
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall6(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2,
		unix.LINUX_REBOOT_CMD_RESTART2, uintptr(unsafe.Pointer(text)), 0, 0)
	return errno
}
