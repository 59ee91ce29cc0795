package modbus

import (
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"
	"time"
)

// ParseSerial reads serial:///dev/ttyUSB0, with the options baud, data_bits (7 or 8), parity
// and stop_bits; those that are left out are otherwise's. It is for what else is spoken on
// serial ports than Modbus.
func ParseSerial(endpoint string, otherwise Line) (file string, l Line, err error) {
	wrong := fmt.Errorf("%q, expected the path of a serial port, like serial:///dev/ttyUSB0", endpoint)
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "serial" || u.Opaque != "" || u.User != nil || u.Host != "" || u.Fragment != "" || !path.IsAbs(u.Path) || path.Clean(u.Path) == "/" {
		return "", Line{}, wrong
	}
	o := options{endpoint: endpoint}
	if o.values, err = url.ParseQuery(u.RawQuery); err != nil {
		return "", Line{}, fmt.Errorf("%q: options: %w", endpoint, err)
	}
	l = Line{
		Baud:     o.baud(otherwise.Baud),
		DataBits: int(o.choice("data_bits", strconv.Itoa(otherwise.dataBits()), "7", "8")[0] - '0'),
		Parity:   Parity(o.choice("parity", string(otherwise.Parity), string(NoParity), string(Even), string(Odd))),
		StopBits: int(o.choice("stop_bits", strconv.Itoa(otherwise.StopBits), "1", "2")[0] - '0'),
	}
	return path.Clean(u.Path), l, o.finish()
}

// SerialPort is a serial port that is open, and that no other program has.
type SerialPort interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// SetBaud changes the speed once all that was written is on its way.
	SetBaud(baud int) error
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
