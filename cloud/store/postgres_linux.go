package store

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// giveUpSending ends a connection whose data nobody has confirmed for so long. Keepalive
// asks only while nothing is on its way.
func giveUpSending(after time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		if network == "unix" {
			return nil
		}
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
		})
		if err == nil {
			err = failed
		}
		return err
	}
}
