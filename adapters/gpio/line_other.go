//go:build !linux

package gpio

import (
	"errors"

	"github.com/busbar/busbar/telemetry"
)

var errNoGPIO = errors.New("GPIO lines can be read on Linux only")

// openLine implements opener.
func openLine(string, Line) (input, error) { return nil, &failure{telemetry.NotImplemented, errNoGPIO} }
