package modbus

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Device is one unit behind an endpoint.
type Device struct {
	ID        string
	Endpoint  string        // as ParseEndpoint takes it
	Unit      uint8         // unit identifier
	PollEvery time.Duration // 0 means DefaultPollEvery
	// Timeout is for a connection, and for a whole answer, without the time that it
	// takes on a serial line; 0 means DefaultTimeout.
	Timeout time.Duration
	Points  []Point
	Live    telemetry.SignalID // the device's telemetry.ChannelLive

	// Pause is how long the device is left alone after each answer.
	// PauseAfterConnect is how long nothing is asked after a connection; of the
	// devices of an endpoint, the longest counts.
	Pause, PauseAfterConnect time.Duration

	// MaxGap is how many registers that nobody asked for may be read along to
	// save a request, and 16 times as many coils or inputs. 0 means
	// DefaultMaxGap. A device that refuses to read addresses it doesn't have
	// needs less; negative means none.
	MaxGap int
}

const (
	DefaultPollEvery = time.Second
	DefaultTimeout   = time.Second
	DefaultMaxGap    = 16

	// MinPollEvery bounds what a mistyped period can do to a device.
	MinPollEvery = time.Millisecond

	// MaxPause bounds the pauses that a device may need.
	MaxPause = 10 * time.Second
)

// Point is one value of a device and where it lies.
type Point struct {
	Signal  telemetry.SignalID
	Name    string
	Table   Table
	Address uint16 // as it travels: zero-based, holding register 40001 is 0
	Type    Type
	Order   Order // "" means ABCD

	// The value is raw × Scale + Offset; Scale 0 means 1. With Scale 1 and
	// Offset 0 the value keeps the type it has on the wire, otherwise it is a
	// float64. Decimal scales give decimals: 2301 × 0.1 is 230.1.
	Scale, Offset float64
}

// Table is one of the four address spaces of a Modbus device.
type Table string

const (
	Coil     Table = "coil"
	Discrete Table = "discrete"
	Input    Table = "input"
	Holding  Table = "holding"
)

func (t Table) known() bool { return t == Coil || t == Discrete || t.registers() }

func (t Table) registers() bool { return t == Input || t == Holding }

// Type is how a value is laid out in its registers.
type Type string

const (
	Bool    Type = "bool" // the only type of tables coil and discrete
	Int16   Type = "int16"
	Uint16  Type = "uint16"
	Int32   Type = "int32"
	Uint32  Type = "uint32"
	Int64   Type = "int64"
	Uint64  Type = "uint64"
	Float32 Type = "float32"
	Float64 Type = "float64"
)

// Registers is how many addresses a value takes, 0 for a type that doesn't exist.
func (t Type) Registers() int {
	switch t {
	case Bool, Int16, Uint16:
		return 1
	case Int32, Uint32, Float32:
		return 2
	case Int64, Uint64, Float64:
		return 4
	}
	return 0
}

// Order is how a value's bytes lie in its registers, shown for the 32-bit
// number 0xAABBCCDD. 64-bit values continue the pattern, 16-bit values have
// only its first half.
type Order string

const (
	ABCD Order = "ABCD" // as the standard has it: the most significant byte first
	CDAB Order = "CDAB" // the least significant register first
	BADC Order = "BADC" // the bytes of each register swapped
	DCBA Order = "DCBA" // both: the least significant byte first
)

func (o Order) known() bool { return o == "" || o == ABCD || o == CDAB || o == BADC || o == DCBA }

// Check lists everything that is wrong with the device itself, not with its
// points.
func (d Device) Check() []error {
	var errs []error
	if d.ID == "" {
		errs = append(errs, errors.New("id: missing"))
	}
	if _, err := ParseEndpoint(d.Endpoint); err != nil {
		errs = append(errs, fmt.Errorf("endpoint: %w", err))
	}
	if d.PollEvery != 0 && d.PollEvery < MinPollEvery {
		errs = append(errs, fmt.Errorf("poll every: %v is too short, at least %v", d.PollEvery, MinPollEvery))
	}
	if d.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %v is negative", d.Timeout))
	}
	for name, pause := range map[string]time.Duration{"pause": d.Pause, "pause after connect": d.PauseAfterConnect} {
		if pause < 0 || pause > MaxPause {
			errs = append(errs, fmt.Errorf("%s: %v, expected 0s to %v", name, pause, MaxPause))
		}
	}
	if len(d.Points) == 0 {
		errs = append(errs, errors.New("points: none, so there is nothing to read"))
	}
	return errs
}

// Check lists everything that is wrong with the point.
func (p Point) Check() []error {
	var errs []error
	switch {
	case !p.Table.known():
		errs = append(errs, fmt.Errorf("table: %q, expected coil, discrete, input or holding", p.Table))
	case p.Type.Registers() == 0:
	case p.Table.registers() && p.Type == Bool:
		errs = append(errs, fmt.Errorf("type: bool is for coil and discrete, table %s has registers", p.Table))
	case !p.Table.registers() && p.Type != Bool:
		errs = append(errs, fmt.Errorf("type: %s, but table %s has only bool", p.Type, p.Table))
	}
	if p.Type.Registers() == 0 {
		errs = append(errs, fmt.Errorf("type: %q, expected bool, int16, uint16, int32, uint32, int64, uint64, float32 or float64", p.Type))
	}
	if last := int(p.Address) + p.Type.Registers() - 1; last > math.MaxUint16 {
		errs = append(errs, fmt.Errorf("address: %s at %d would end at %d, the last address is %d", p.Type, p.Address, last, math.MaxUint16))
	}
	if !p.Order.known() {
		errs = append(errs, fmt.Errorf("order: %q, expected ABCD, CDAB, BADC or DCBA", p.Order))
	}
	if math.IsNaN(p.Scale) || math.IsInf(p.Scale, 0) {
		errs = append(errs, fmt.Errorf("scale: %v is not a number to multiply by", p.Scale))
	}
	if math.IsNaN(p.Offset) || math.IsInf(p.Offset, 0) {
		errs = append(errs, fmt.Errorf("offset: %v is not a number to add", p.Offset))
	}
	if p.Type == Bool && (p.Order != "" || p.scaled()) {
		errs = append(errs, errors.New("type: bool has no order, scale or offset"))
	}
	return errs
}

func (p Point) scaled() bool { return p.Scale != 0 && p.Scale != 1 || p.Offset != 0 }
