package kafka

import "syscall"

// endWithParent keeps the terminal's Ctrl-C from reaching a broker, so that all
// are stopped in order, and ends it if this process is killed.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
