package modbus

import (
	"io"
	"time"
)

// SerialPort is a serial port that is open, and that no other program has.
type SerialPort interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// OpenSerial opens a serial port for this process alone. The error says what about
// the port, or its line's settings, can't be had.
func OpenSerial(path string, l Line) (SerialPort, error) {
	p, err := openSerial(path, l)
	if err != nil {
		return nil, err
	}
	return p.(SerialPort), nil
}
