//go:build !linux

package clock

// System is this machine's kernel, of which only Linux's is asked for its boot.
func System() Kernel { return newProcess() }
