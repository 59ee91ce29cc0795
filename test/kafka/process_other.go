//go:build unix && !linux

package kafka

import "syscall"

// endWithParent keeps the terminal's Ctrl-C from reaching a broker, so that all
// are stopped in order.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
