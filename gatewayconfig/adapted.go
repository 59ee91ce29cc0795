package gatewayconfig

import (
	"time"

	"github.com/busbar/busbar/adapters/gpio"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/nut"
)

// ModbusDevice is a device that is read by modbus, as the adapter takes it, without ids
// of signals.
func (d Device) ModbusDevice() modbus.Device {
	m := modbus.Device{
		ID: d.ID, Endpoint: d.Modbus.Endpoint, Unit: d.Modbus.Unit, Reads: d.Modbus.Reads(),
		PollEvery: time.Duration(d.PollEvery), Timeout: time.Duration(d.Timeout),
		Pause: time.Duration(d.Modbus.Pause), PauseAfterConnect: time.Duration(d.Modbus.PauseAfterConnect),
	}
	for _, id := range d.Identity {
		m.Identity = append(m.Identity, id.Register(d.Modbus.Base))
	}
	m.Points = make([]modbus.Point, 0, len(d.Signals))
	for _, s := range d.Signals {
		m.Points = append(m.Points, s.Point())
	}
	for _, c := range d.Control {
		m.Controls = append(m.Controls, c.modbus())
	}
	return m
}

// NUTDevice is the same of one that is read by nut. dir is what file names are relative
// to.
func (d Device) NUTDevice(dir string) nut.Device {
	n := nut.Device{
		ID: d.ID, Endpoint: d.NUT.Endpoint, UPS: d.NUT.UPS, Username: d.NUT.Username, PasswordFile: d.NUT.PasswordFile.In(dir),
		PollEvery: time.Duration(d.PollEvery), Timeout: time.Duration(d.Timeout),
		Points: make([]nut.Point, 0, len(d.Signals)),
	}
	for _, s := range d.Signals {
		n.Points = append(n.Points, nut.Point{
			Name: s.Name, Variable: s.Variable, Status: s.Status, Text: s.Type == modbus.String, Scale: s.Scale, Offset: s.Offset,
		})
	}
	return n
}

// GPIODevice is the same of one that is read by gpio.
func (d Device) GPIODevice() gpio.Device {
	g := gpio.Device{ID: d.ID, Chip: d.GPIO.Chip, Lines: make([]gpio.Line, 0, len(d.Signals))}
	for _, s := range d.Signals {
		g.Lines = append(g.Lines, gpio.Line{
			Name: s.Name, Offset: uint32(*s.Line), ActiveLow: s.ActiveLow, Bias: s.Bias, Debounce: time.Duration(s.Debounce),
		})
	}
	return g
}

// ByChange reports whether the device says by itself what changes, and has no period.
func (d Device) ByChange() bool { return d.GPIO != nil || d.Sparkplug != nil }
