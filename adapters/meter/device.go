// Package meter reads electricity meters that tell by themselves what they measure, by the
// OBIS codes of their registers: over a P1 port, by SML, or by the data read-out of
// IEC 62056-21, on a serial port or behind a serial device server.
package meter

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// Adapter is the adapters.Adapter for such meters.
type Adapter = session.Adapter[Device]

// New is an adapter of devices that have been checked. logger nil means slog.Default.
func New(devices []Device, logger *slog.Logger) *Adapter { return session.New(devices, logger) }

// Protocol is what a meter speaks.
type Protocol string

const (
	P1       Protocol = "p1"
	SML      Protocol = "sml"
	IEC62056 Protocol = "iec62056"
)

// lines are how the lines of each are driven that say nothing else.
var lines = map[Protocol]modbus.Line{
	P1:       {Baud: 115200, DataBits: 8, Parity: modbus.NoParity, StopBits: 1},
	SML:      {Baud: 9600, DataBits: 8, Parity: modbus.NoParity, StopBits: 1},
	IEC62056: {Baud: 300, DataBits: 7, Parity: modbus.Even, StopBits: 1},
}

// Device is one meter, and what hangs on its M-Bus.
type Device struct {
	ID       string
	Protocol Protocol
	Endpoint string // as ParseEndpoint takes it
	Zone     string // of the meter's clock, in the IANA database; of P1
	// KeyFile has the key of encrypted telegrams; "": they aren't. AuthenticationKeyFile has
	// the other one; "": it is Luxembourg's. They are read at each connection.
	KeyFile, AuthenticationKeyFile string
	// Address is that of the meter among several, and ReadEvery how often it is asked; of
	// IEC62056.
	Address   string
	ReadEvery time.Duration
	// Timeout is for how long nothing may come.
	Timeout time.Duration
	Points  []Point
	Live    telemetry.SignalID
}

// Point is a register that has a signal of its own name. What other registers the meter has
// it tells itself.
type Point struct {
	Name          string
	Code          obis.Code
	Scale, Offset float64
	Signal        telemetry.SignalID
}

// About implements session.Device.
func (d Device) About() session.About {
	a := session.About{ID: d.ID, Where: d.Endpoint, Live: d.Live, Open: true, ToldWithin: 4 * d.Timeout}
	for _, p := range d.Points {
		a.Points = append(a.Points, session.Point{Name: p.Name, Signal: p.Signal})
	}
	return a
}

// Endpoint is where a meter is: a serial port, or a serial device server.
type Endpoint struct {
	Path    string // of the port; "": a server
	Address string // host:port of the server
	Line    modbus.Line
}

// ParseEndpoint reads serial:///dev/ttyUSB0 with the options of modbus.ParseSerial, or
// tcp://host:port; of IEC62056 with the option baud, the speed of the line behind the server.
func (p Protocol) ParseEndpoint(endpoint string) (e Endpoint, err error) {
	line := lines[p]
	if strings.HasPrefix(endpoint, "serial:") {
		e.Path, e.Line, err = modbus.ParseSerial(endpoint, line)
		return e, err
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "tcp" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.Fragment != "" {
		return e, fmt.Errorf("%q, expected serial:///dev/ttyUSB0 or tcp://host:port", endpoint)
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
		return e, fmt.Errorf("%q: port %q, expected a number from 1 to 65535", endpoint, u.Port())
	}
	e.Address, e.Line = net.JoinHostPort(strings.ToLower(u.Hostname()), u.Port()), line
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return e, fmt.Errorf("%q: options: %w", endpoint, err)
	}
	for name, values := range options {
		if name != "baud" || p != IEC62056 || len(values) != 1 {
			return e, fmt.Errorf("%q: option %q is unknown here", endpoint, name)
		}
		if e.Line.Baud, err = strconv.Atoi(values[0]); err != nil || e.Line.Baud < 300 || e.Line.Baud > 19200 {
			return e, fmt.Errorf("%q: baud is %q, expected 300 to 19200", endpoint, values[0])
		}
	}
	return e, nil
}
