package gatewayconfig

import (
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/telemetry"
)

// Signal is one measured quantity of a device and where it lies. Exactly one of
// input, holding, coil and discrete gives its address: from 0 as it travels on
// the wire, so that holding register 40001 is holding: 0 and input register
// 30001 is input: 0. Its value is raw × scale + offset.
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

	// How the registers hold the value: int16 or uint16 in one; int32, uint32
	// or float32 in two; int64, uint64 or float64 in four. Required for
	// registers; coils and discrete inputs are always bool.
	Type modbus.Type `yaml:"type"`

	// The order of the bytes of 0xAABBCCDD in its registers: ABCD, most
	// significant first; CDAB, registers swapped; BADC, the bytes of each
	// register swapped; DCBA, both. Default: ABCD.
	Order modbus.Order `yaml:"order"`

	// What the raw value is multiplied by to be in unit; not 0. Default: 1.
	Scale float64 `yaml:"scale"`

	// What is then added, in unit. Default: 0.
	Offset float64 `yaml:"offset"`

	// The unit of the scaled value after UCUM, and var and varh; "1" for none.
	// Required for gauges and counters, "1" if left out for states.
	// Example: V.
	Unit string `yaml:"unit"`

	// What values mean over time: gauge, a level such as a voltage; counter, a
	// register that only rises, such as energy; state, one of a few positions.
	// Default: gauge for registers, state for coils and discrete inputs.
	Kind telemetry.Kind `yaml:"kind"`
}

// Register is the table and the address of a signal that gives exactly one.
func (s Signal) Register() (modbus.Table, uint16) {
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
