// Package endpoint plays one Modbus endpoint with meters behind it: a TCP port, a
// serial port, or a pseudo terminal that it makes.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/sim/devices"
)

// Config is an endpoint and what is behind it.
type Config struct {
	Transport modbus.Transport
	// Address is host:port, or the path of a serial port. "" makes a pseudo terminal
	// for RTU, and Link is then a name for it that stays the same, if it isn't "".
	Address, Link string
	Line          devices.LineConfig

	Product *devices.Product
	Units   []byte
	// Meter is what they measure. ID, Seed, Product and Clock are not used.
	Meter devices.MeterConfig
	Seed  uint64
	// Misbehave is what units do wrong from the start on.
	Misbehave map[byte][]devices.Misbehaviour
}

// Endpoint is an endpoint that is open.
type Endpoint struct {
	*devices.Bus
	config Config
	path   string // of the serial port, as a client opens it
	server *devices.Server
	port   devices.Port
}

// New opens the endpoint, which Run closes.
func New(c Config, log *slog.Logger) (*Endpoint, error) {
	began := time.Now()
	units := map[byte]devices.Unit{}
	for _, unit := range c.Units {
		meter := c.Meter
		meter.ID, meter.Seed, meter.Product = fmt.Sprint("unit-", unit), c.Seed, c.Product
		meter.Clock = func() time.Duration { return time.Since(began) }
		units[unit] = devices.NewMeter(meter)
	}
	e := &Endpoint{Bus: devices.NewBus(units, c.Seed), config: c}
	for unit, list := range c.Misbehave {
		e.Misbehave(unit, list...)
	}
	var err error
	switch {
	case c.Transport == modbus.TCP:
		e.server, err = e.Listen(c.Address, log)
	case c.Transport == modbus.RTUOverTCP:
		e.server, err = e.ListenRTU(c.Address, c.Line, log)
	case c.Address != "":
		e.path = c.Address
		e.port, err = modbus.OpenSerial(c.Address, c.Line.Line)
	default:
		err = e.openPTY()
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Endpoint) openPTY() error {
	pty, err := devices.OpenPTY()
	if err != nil {
		return err
	}
	e.path, e.port = pty.Path(), pty
	if e.config.Link == "" {
		return nil
	}
	// One that an earlier run has left.
	if to, err := os.Readlink(e.config.Link); err == nil {
		if _, err := os.Stat(to); errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(e.config.Link)
		}
	}
	if err := os.Symlink(e.path, e.config.Link); err != nil {
		return errors.Join(fmt.Errorf("link to the pseudo terminal: %w", err), pty.Close())
	}
	e.path = e.config.Link
	return nil
}

// Run answers until ctx ends, or the serial port fails.
func (e *Endpoint) Run(ctx context.Context) error {
	if e.server != nil {
		e.server.Serve(ctx)
		return nil
	}
	err := e.ServeLine(ctx, e.port, e.config.Line)
	if e.config.Link != "" {
		_ = os.Remove(e.config.Link)
	}
	if err != nil {
		return fmt.Errorf("serial port %s: %w", e.path, err)
	}
	return nil
}

// URL is the endpoint as a gateway's configuration has it.
func (e *Endpoint) URL() string {
	line := e.config.Line
	switch e.config.Transport {
	case modbus.TCP:
		return "tcp://" + e.server.Addr().String()
	case modbus.RTUOverTCP:
		return fmt.Sprintf("rtu+tcp://%s?baud=%d", e.server.Addr(), line.Baud)
	}
	stop := ""
	if line.StopBits == 2 {
		stop = "&stop_bits=2"
	}
	return fmt.Sprintf("rtu://%s?baud=%d&parity=%s%s", e.path, line.Baud, line.Parity, stop)
}
