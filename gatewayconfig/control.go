package gatewayconfig

import (
	"slices"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
)

// Switch turns something on that is off by default.
type Switch string

const (
	Enabled  Switch = "enabled"
	Disabled Switch = "disabled"
)

// Control is a signal of a device that may be written, within which bounds, and how.
// Nothing is written to a device that isn't listed so, and nothing at all unless
// control of the gateway is enabled.
type Control struct {
	// The signal's name: a coil, or a number or bits in holding registers, or a node whose
	// value is a number or a bool. One of a profile has to be marked there as writable. Example: Pos.
	Signal string `yaml:"signal,required"`

	// The least value that may be written, in the signal's unit. Required with max,
	// unless one_of is given or the signal is a bool.
	Min *float64 `yaml:"min"`

	// The largest value that may be written.
	Max *float64 `yaml:"max"`

	// The only values that may be written, instead of min and max; a bool's are 0 and
	// 1. Example: [0, 25, 50, 100].
	OneOf []float64 `yaml:"one_of"`

	// select: it has to be selected before it is operated, by the same person and for
	// the same value. direct: it may be operated at once. Default: select.
	Mode ControlMode `yaml:"mode"`

	// How long a selection lasts; from 1s to 10m. Default: 30s.
	SelectTimeout configfile.Duration `yaml:"select_timeout"`

	// How long after one operation of it the next one may begin; from 0s to 24h, and less
	// than 10s if a rule has an on_clear for it. Default: 1s.
	MinInterval configfile.Duration `yaml:"min_interval"`

	// Lets the rules of this file operate it, those that name it under operate, beside
	// people. Default: false.
	ByRules bool `yaml:"by_rules"`

	// What has to be true, all of it, when it is selected and when it is operated. The
	// devices that it names are read for this, each time. What can't be decided, since
	// a value isn't there or isn't good, isn't permitted. Default: nothing.
	Interlock []Interlock `yaml:"interlock"`

	// By opcua: the methods by which it is operated, instead of its node being written. Its
	// own value, or that of feedback, shows what they have done.
	Call *Call `yaml:"call"`

	// By iec104 and iec101: the command by which it is operated. Required there.
	Command *Command `yaml:"command"`

	// How it is written by modbus. Left out: a coil by function 5, a register by 6, several by
	// 16, bits of a register by 22. multiple: a coil by function 15, a register by 16.
	// read-modify-write: bits by function 22 and, if the device hasn't got that, by
	// reading the registers and writing them back with other bits; a change that the
	// device makes to the rest of them in between is lost.
	Write modbus.Method `yaml:"write"`

	// The signal of the same device that shows what was done, with the same number,
	// such as a breaker's position. Default: the signal itself.
	Feedback string `yaml:"feedback"`

	// How long the device may take until it shows the new value; from 0s to 1m. It is
	// read back until then. Default: 1s.
	Settle configfile.Duration `yaml:"settle"`
}

// Call is the methods of an OPC UA server by which a signal is operated: one that takes
// the value, or one for each of a bool's.
type Call struct {
	// The object whose methods they are, by its node's id. Example: nsu=urn:example;s=T1.Fans.
	Object string `yaml:"object,required"`

	// The method that takes the value as its only argument, as what the argument is.
	// Example: nsu=urn:example;s=T1.SetFans.
	Method string `yaml:"method"`

	// The method without arguments that makes a bool 1. Example: nsu=urn:example;s=T1.Fans.Start.
	On string `yaml:"on"`

	// The method without arguments that makes it 0. If on or off is left out, that value can't
	// be given. Example: nsu=urn:example;s=T1.Fans.Stop.
	Off string `yaml:"off"`
}

// SetDefaults is called before a control is read.
func (c *Control) SetDefaults() {
	c.Mode = ControlSelected
	c.SelectTimeout = configfile.Duration(30 * time.Second)
	c.MinInterval = configfile.Duration(time.Second)
	c.Settle = configfile.Duration(time.Second)
}

// ControlMode is whether a point has to be selected first.
type ControlMode string

const (
	ControlSelected ControlMode = "select"
	ControlDirect   ControlMode = "direct"
)

// Interlock is a condition without which a point isn't operated.
type Interlock struct {
	// The condition, of signals of one device or asset, as when of a rule has it.
	// Example: not Earthed and Remote.
	When string `yaml:"when,required"`

	// The device whose signals it names. Default: that of the point.
	Device string `yaml:"device"`

	// Instead of a device, the asset whose signals it names. Example: feeder-1.
	Asset string `yaml:"asset"`
}

// Target is whose signals the interlock of a device names.
func (i Interlock) Target(device string) rules.Target {
	switch {
	case i.Asset != "":
		return rules.Target{Asset: i.Asset}
	case i.Device != "":
		device = i.Device
	}
	return rules.Target{Device: device}
}

// ControlOf is the control of the signal of that name.
func (d Device) ControlOf(signal string) (Control, bool) {
	i := slices.IndexFunc(d.Control, func(c Control) bool { return c.Signal == signal })
	if i < 0 {
		return Control{}, false
	}
	return d.Control[i], true
}

// Signal is the device's signal of that name.
func (d Device) Signal(name string) (Signal, bool) {
	i := slices.IndexFunc(d.Signals, func(s Signal) bool { return s.Name == name })
	if i < 0 {
		return Signal{}, false
	}
	return d.Signals[i], true
}
