package main

import (
	"fmt"
	"syscall"
)

// costs is what the process has taken so far, for so many samples.
func costs(samples uint64) string {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return err.Error()
	}
	cpu := float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	return fmt.Sprintf("%.1f s of CPU time, %.2f M samples for each", cpu, float64(samples)/cpu/1e6)
}
