//go:build !linux

package devices

import (
	"errors"
	"os"
)

// PTY is a pseudo terminal: a serial port without a line.
type PTY struct{ *os.File }

// OpenPTY makes one, on Linux.
func OpenPTY() (*PTY, error) {
	return nil, errors.New("pseudo terminals are supported on Linux only")
}

// Path is where a client opens it.
func (p *PTY) Path() string { return "" }
