package demo

import "syscall"

// endWithParent keeps the terminal's Ctrl-C from reaching a child, so that the
// parts stop in order, and ends it if the demo itself is killed.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
