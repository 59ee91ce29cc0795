package gatewayconfig

import (
	"time"

	"github.com/busbar/busbar/adapters/gpio"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/mqtt"
	"github.com/busbar/busbar/adapters/nut"
	"github.com/busbar/busbar/adapters/opcua"
)

// ModbusDevice is a device that is read by modbus, as the adapter takes it, without ids
// of signals. Of this and the following, a device has the signals that are written down
// only.
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

// OPCUADevice is the same of one that is read by opcua. keep is the directory of the
// gateway's own certificate for it.
func (d Device) OPCUADevice(dir, keep string) opcua.Device {
	o := opcua.Device{
		ID: d.ID, Server: d.OPCUA.Config, Dir: dir, Keep: keep, Poll: d.OPCUA.Mode == OPCUAPoll,
		PublishEvery: time.Duration(d.OPCUA.PublishEvery), SampleEvery: time.Duration(d.OPCUA.SampleEvery),
		KeepAlive: time.Duration(d.OPCUA.KeepAlive), Queue: d.OPCUA.Queue, History: d.OPCUA.History == Enabled,
		Timeout: time.Duration(d.Timeout), FollowEvery: time.Duration(d.OPCUA.FollowEvery), Revision: d.Fingerprint(),
	}
	for _, s := range d.Signals {
		node, err := opcua.ParseNode(s.Node)
		if err != nil {
			panic(err) // it has been checked
		}
		p := opcua.Point{Name: s.Name, Node: node, Element: opcua.Element(s.Element), Scale: s.Scale, Offset: s.Offset, Bool: s.Type == modbus.Bool}
		if d.OPCUA.ServerDeadband && s.Deadband != nil && !s.Deadband.Percent { // theirs is one of the range, and ours of the value
			p.Deadband = s.Deadband.Value
		}
		o.Points = append(o.Points, p)
	}
	for _, c := range d.Control {
		o.Controls = append(o.Controls, c.opcua())
	}
	for _, f := range d.Follow {
		node, err := opcua.ParseNode(f.Node)
		if err != nil {
			panic(err) // it has been checked
		}
		follow := opcua.Follow{Node: node, Match: opcua.Pattern(f.Match)}
		if d.OPCUA.ServerDeadband && f.Deadband != nil && !f.Deadband.Percent {
			follow.Deadband = f.Deadband.Value
		}
		o.Follow = append(o.Follow, follow)
	}
	for _, a := range d.Alarms {
		node, err := opcua.ParseNode(a.Node)
		if err != nil {
			panic(err) // it has been checked
		}
		o.Alarms = append(o.Alarms, opcua.Alarms{Node: node, Severity: a.Severity, Match: opcua.Pattern(a.Match)})
	}
	return o
}

// MQTTDevice is the same of one that is read by mqtt. dir is what file names are relative
// to.
func (d Device) MQTTDevice(dir string) mqtt.Device {
	m := mqtt.Device{
		ID: d.ID, Connection: d.MQTT.Config, Dir: dir, QoS: d.MQTT.QoS, SharedGroup: d.MQTT.SharedGroup,
		StaleAfter: time.Duration(d.MQTT.StaleAfter),
	}
	for _, a := range d.MQTT.available() {
		m.Available = append(m.Available, a.MQTT())
	}
	for _, s := range d.Signals {
		m.Points = append(m.Points, s.MQTT())
	}
	for _, f := range d.Follow {
		m.Follow = append(m.Follow, f.MQTT())
	}
	return m
}

// ByChange reports whether the device says by itself what changes, and has no period.
func (d Device) ByChange() bool {
	return d.GPIO != nil || d.OPCUA != nil || d.MQTT != nil || d.Sparkplug != nil || d.telecontrol() != nil || d.Meter()
}
