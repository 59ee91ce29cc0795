package profile

import (
	"time"

	"github.com/busbar/busbar/adapters/gpio"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Signal is one measured quantity of a device and where it lies. Of a device that is
// read by modbus, exactly one of input, holding, coil and discrete gives its address:
// from 0 as it travels on the wire, so that holding register 40001 is holding: 0 and
// input register 30001 is input: 0. Of one by nut, exactly one of variable and status
// does, of one by gpio, line, of one by opcua, node, of one by mqtt, topic, of one by
// iec104 or iec101, ioa, and of one by p1, sml or iec62056, obis. Its value
// is raw × factor × scale + offset.
type Signal struct {
	// The signal's name, unique on its device: words of letters and digits
	// with dots between them, after IEC 61850 where it has a name.
	// Example: PhV.phsA.
	Name string `yaml:"name,required"`

	// Address of the first input register. Example: 0x48.
	Input *uint16 `yaml:"input"`

	// Address of the first holding register. Example: 0.
	Holding *uint16 `yaml:"holding"`

	// Address of the coil. Example: 0.
	Coil *uint16 `yaml:"coil"`

	// Address of the discrete input. Example: 0.
	Discrete *uint16 `yaml:"discrete"`

	// The variable of the UPS, as upsc prints it. It is a number, unless type is string.
	// Example: battery.charge.
	Variable string `yaml:"variable"`

	// A flag of the UPS's ups.status, and thus a bool: OL, it is on line power; OB, on
	// battery; LB, the battery is low; RB, it has to be replaced; and others.
	// Example: OL.
	Status string `yaml:"status"`

	// The number of the GPIO line on its chip; from 0 to 65535. It is a bool, stored when
	// it changes. Example: 17.
	Line *uint16 `yaml:"line"`

	// The node of the OPC UA server whose value it is: its id, with the namespace by its
	// URI, as busbar device browse prints it. An index, as in ns=2;i=1001, is accepted too,
	// but may mean another namespace when the server starts again. In a URI, ; and % are
	// written as %3B and %25. Example: nsu=urn:example;s=T1.TopOil.
	Node string `yaml:"node"`

	// Which part of the node's value it is, if that is an array or a structure: members by
	// their names, and of arrays by their indices from 0. Example: "Windings[2].Temp".
	Element string `yaml:"element"`

	// The address of the information object of an IEC 60870-5-101 or -104 station; from 0 to
	// 16777215. Example: 1001.
	IOA *uint32 `yaml:"ioa"`

	// The common address of the station that has it, if there are several behind the same
	// link. Default: that of the device.
	CommonAddress uint16 `yaml:"common_address"`

	// The OBIS code of the meter's register. It is then told under this name only, and not
	// under the one that it has by itself. Example: "1-0:1.8.0".
	OBIS string `yaml:"obis"`

	// A low level of the line is 1, as of a contact to ground that is closed.
	// Default: false.
	ActiveLow bool `yaml:"active_low"`

	// What holds the level of a line that nothing drives: pull-up, pull-down, none, or
	// as-is, what the machine's firmware has set. Default: as-is.
	Bias gpio.Bias `yaml:"bias"`

	// For how long a level of the line has to last before it counts, for contacts that
	// bounce; up to 10s. It is done by the kernel, and the time of the change is then
	// when it has lasted. Default: 0s.
	Debounce configfile.Duration `yaml:"debounce"`

	// Where it lies in messages, of a device that is read by mqtt.
	Payload `yaml:",inline"`

	// How the registers hold the value: int8, uint8, int16, uint16, float16 or
	// bcd16 in one; int32, uint32, float32 or bcd32 in two; int64, uint64, float64
	// or bcd64 in four; string in length; bool in one bit. Required for registers,
	// unless bit is given; coils and discrete inputs are always bool. A byte is the
	// low one of its register, with order BADC the high one. Of a variable, string if it
	// is a text; of a node, bool or string if it is one, as the server says itself what
	// numbers it has; of a register of a meter, string if it is a text; of an MQTT payload,
	// string if it is a text, or bool; of an object of
	// IEC 60870-5-104, bool if it is a single or double point that is one.
	Type modbus.Type `yaml:"type"`

	// The order of the bytes of 0xAABBCCDD in its registers: ABCD, most
	// significant first; CDAB, registers swapped; BADC, the bytes of each
	// register swapped; DCBA, both. Default: ABCD.
	Order modbus.Order `yaml:"order"`

	// How many registers a string takes; from 1 to 125.
	Length int `yaml:"length"`

	// Which bit of its register the value is; from 0, the least significant, to 15.
	// Then it is a bool. Example: 3.
	Bit *uint8 `yaml:"bit"`

	// Neighbouring bits of an unsigned integer, which the value is made of and
	// counted from. Example: 0x0F00. Default: all.
	Mask uint64 `yaml:"mask"`

	// The raw values by which the device says that it has none here, as unsigned
	// integers. Example: [0x8000].
	Absent []uint64 `yaml:"absent"`

	// The address, in the same table, of a register that holds a signed power of
	// ten, by which the raw value is multiplied before anything else.
	Factor *uint16 `yaml:"factor"`

	// A name shared by the signals of a device which are read by one request, and
	// so are of one instant. Example: energy.
	Group string `yaml:"group"`

	// What the raw value is multiplied by to be in unit; not 0. Default: 1.
	Scale float64 `yaml:"scale"`

	// What is then added, in unit. Default: 0.
	Offset float64 `yaml:"offset"`

	// The unit of the scaled value after UCUM, and var and varh; "1" for none.
	// Required for gauges and counters, "1" if left out for states.
	// Example: V.
	Unit string `yaml:"unit"`

	// How far it may move before it is stored again: a number in unit, or like 1% of
	// the value stored last; 0 stores each change. Rules see every value all the same,
	// and what has no value is always stored. Default: every value is stored.
	// Example: 0.2.
	Deadband *Deadband `yaml:"deadband"`

	// Instead of a deadband: store so few values, in unit, that every other one lies
	// within this of the straight line between its stored neighbours. A value is then
	// stored, and sent, when the one after it has come. Example: 0.5.
	SwingingDoor float64 `yaml:"swinging_door"`

	// With a deadband or a swinging door, how long after a value the next one is
	// stored, whatever it is; from 1s to 24h. Default: 1m.
	ReportEvery configfile.Duration `yaml:"report_every"`

	// In a profile: the product takes values here. They are written only if the control
	// of the device lists the signal, and control of the gateway is enabled. Default: false.
	Writable bool `yaml:"writable"`

	// What values mean over time: gauge, a level such as a voltage; counter, a
	// register that only rises, such as energy; state, one of a few positions.
	// Default: gauge for registers, state for bools, strings and what has states or flags.
	Kind telemetry.Kind `yaml:"kind"`

	// What its values are called, of an integer without a scale or a bit. It is stored
	// as the number, shown as both, and compared in rules by either.
	// Example: {0: off, 1: starting, 2: running}.
	States map[string]string `yaml:"states"`

	// What the bits of an unsigned integer without a scale are called; from 0, the
	// least significant. Example: {0: ground fault, 7: over temperature}.
	Flags map[string]string `yaml:"flags"`

	// Of a counter, the value at which it begins again, in unit; for meters that do so
	// before their registers are full, and for floats.
	// Default: where the registers are full. Example: 1000000.
	RollsOverAt float64 `yaml:"rolls_over_at"`

	// Found is how the values come about of a signal that the device has told of itself;
	// "": it is written down.
	Found string `yaml:"-" json:"-"`
}

// SetDefaults implements configfile.Defaulter.
func (s *Signal) SetDefaults() { s.Scale = 1 }

// Point is where the signal lies, of a device that is read by modbus. It is valid once
// the signal is filled and checked.
func (s Signal) Point() modbus.Point {
	table, address := s.register()
	p := modbus.Point{
		Name: s.Name, Table: table, Address: address, Type: s.Type, Order: s.Order,
		Length: s.Length, Mask: s.Mask, Scale: s.Scale, Offset: s.Offset,
		Factor: s.Factor, Absent: s.Absent, Group: s.Group,
	}
	if s.Bit != nil {
		p.Bit = *s.Bit
	}
	return p
}

// register is the table and the address of a signal that gives exactly one.
func (s Signal) register() (modbus.Table, uint16) {
	for _, a := range s.addresses() {
		if a.value != nil {
			return a.table, *a.value
		}
	}
	return "", 0
}

type address struct {
	table modbus.Table
	value *uint16
}

func (s Signal) addresses() []address {
	return []address{{modbus.Input, s.Input}, {modbus.Holding, s.Holding}, {modbus.Coil, s.Coil}, {modbus.Discrete, s.Discrete}}
}

// Fill puts in what the signal implies.
func (s *Signal) Fill() {
	s.Type = s.impliedType()
	s.Kind = s.impliedKind()
	if s.Unit == "" {
		s.Unit = "1"
	}
	if s.Line != nil && s.Bias == "" {
		s.Bias = gpio.AsIs
	}
	if s.ReportEvery == 0 && s.sifted() {
		s.ReportEvery = configfile.Duration(time.Minute)
	}
}

// sifted reports whether some of its values aren't stored.
func (s Signal) sifted() bool { return s.Deadband != nil || s.SwingingDoor > 0 }

func (s Signal) bit() bool {
	return s.Coil != nil || s.Discrete != nil || s.Bit != nil || s.Status != "" || s.Line != nil
}

func (s Signal) impliedType() modbus.Type {
	switch {
	case s.Type == "" && s.bit():
		return modbus.Bool
	case s.Type == "" && (s.Variable != "" || s.Node != "" || s.IOA != nil || s.OBIS != ""):
		return modbus.Float64
	}
	return s.Type
}

func (s Signal) impliedKind() telemetry.Kind {
	switch {
	case s.Kind != "":
		return s.Kind
	case s.bit() || s.Type == modbus.Bool || s.Type == modbus.String || len(s.States)+len(s.Flags) > 0:
		return telemetry.State
	}
	return telemetry.Gauge
}
