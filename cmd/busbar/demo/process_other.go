//go:build unix && !linux

package demo

import "syscall"

// endWithParent keeps the terminal's Ctrl-C from reaching a child, so that the
// parts stop in order.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
