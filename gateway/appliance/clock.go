//go:build linux

package appliance

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// SetClock sets the kernel's wall clock forward, or back if by is negative, so that files and
// what is on the screen have the time. The clock of the board, if it has one, isn't set.
func (m *Machine) SetClock(by time.Duration) error {
	to := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	if err := unix.Settimeofday(&to); err != nil {
		return fmt.Errorf("settimeofday: %w", err)
	}
	return nil
}
