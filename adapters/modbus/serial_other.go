//go:build !linux

package modbus

import "errors"

func openSerial(path string, l Line) (port, error) {
	return nil, errors.New("serial ports are supported on Linux only")
}
