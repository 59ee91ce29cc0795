package modbus

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

// Point is one value of a device and where it lies.
type Point struct {
	Signal  telemetry.SignalID
	Name    string
	Table   Table
	Address uint16 // as it travels: zero-based, holding register 40001 is 0
	Type    Type
	Order   Order // "" means ABCD

	// Length is how many registers a String takes; 0 for every other type.
	Length int
	// Bit is which bit of its register a Bool is, 0 the least significant.
	Bit uint8
	// Mask picks neighbouring bits of an unsigned integer, which then count from
	// the lowest of them. 0 means the whole integer.
	Mask uint64

	// The value is raw × Scale + Offset; Scale 0 means 1. With Scale 1 and
	// Offset 0 the value keeps the type it has on the wire, otherwise it is a
	// float64. Decimal scales give decimals: 2301 × 0.1 is 230.1.
	Scale, Offset float64
	// Factor is the address, in the same table, of a signed power of ten which
	// raw is multiplied by before anything else, SunSpec's sunssf. Nil means none.
	Factor *uint16

	// Absent are the raw values that say that the device has none here, as
	// unsigned integers of the type's width, before Mask.
	Absent []uint64

	// Group is shared by points that belong to one instant, and are read by one
	// request. "" means none.
	Group string
}

// Table is one of the four address spaces of a Modbus device.
type Table string

const (
	Coil     Table = "coil"
	Discrete Table = "discrete"
	Input    Table = "input"
	Holding  Table = "holding"
)

func (t Table) known() bool { return t == Coil || t == Discrete || t.Registers() }

// Registers reports whether the table has registers, and not bits.
func (t Table) Registers() bool { return t == Input || t == Holding }

// index is a number from 0 to 3.
func (t Table) index() int {
	switch t {
	case Coil:
		return 0
	case Discrete:
		return 1
	case Input:
		return 2
	}
	return 3
}

// Type is how a value is laid out in its registers.
type Type string

const (
	Bool    Type = "bool" // a coil, a discrete input, or one bit of a register
	Int8    Type = "int8" // the low byte of a register, with order BADC the high one
	Uint8   Type = "uint8"
	Int16   Type = "int16"
	Uint16  Type = "uint16"
	Int32   Type = "int32"
	Uint32  Type = "uint32"
	Int64   Type = "int64"
	Uint64  Type = "uint64"
	Float16 Type = "float16"
	Float32 Type = "float32"
	Float64 Type = "float64"
	BCD16   Type = "bcd16" // a decimal digit in each four bits
	BCD32   Type = "bcd32"
	BCD64   Type = "bcd64"
	String  Type = "string" // two bytes a register, up to a NUL; UTF-8, or else Latin-1
)

// Types is every type.
func Types() []Type {
	return []Type{Bool, Int8, Uint8, Int16, Uint16, Int32, Uint32, Int64, Uint64, Float16, Float32, Float64, BCD16, BCD32, BCD64, String}
}

// TypesExpected lists types as an error does.
func TypesExpected(types []Type) string {
	var list strings.Builder
	for i, t := range types {
		switch {
		case i == 0:
		case i == len(types)-1:
			list.WriteString(" or ")
		default:
			list.WriteString(", ")
		}
		list.WriteString(string(t))
	}
	return list.String()
}

// layout is the format of a type and how many registers it has, 0 for a string.
type layout struct {
	format    format
	registers int
}

var layouts = map[Type]layout{
	Bool: {boolean, 1},
	Int8: {signed, 1}, Int16: {signed, 1}, Int32: {signed, 2}, Int64: {signed, 4},
	Uint8: {unsigned, 1}, Uint16: {unsigned, 1}, Uint32: {unsigned, 2}, Uint64: {unsigned, 4},
	Float16: {floating, 1}, Float32: {floating, 2}, Float64: {floating, 4},
	BCD16: {decimalDigits, 1}, BCD32: {decimalDigits, 2}, BCD64: {decimalDigits, 4},
	String: {text, 0},
}

// bits is how wide the raw value of a type with registers is.
func (t Type) bits() int {
	switch t {
	case Bool:
		return 1
	case Int8, Uint8:
		return 8
	}
	return 16 * layouts[t].registers
}

// Size is how many addresses the point takes.
func (p Point) Size() int {
	if p.Type == String {
		return p.Length
	}
	return layouts[p.Type].registers
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

// Check lists everything that is wrong with the point. Each error begins with
// the name of what it is about: table, type, address, order, length, bit, mask,
// scale, offset, factor or absent.
func (p Point) Check() []error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	l, known := layouts[p.Type]
	switch {
	case !p.Table.known():
		report("table: %q, expected coil, discrete, input or holding", p.Table)
	case known && !p.Table.Registers() && p.Type != Bool:
		report("type: %s, but table %s has only bool", p.Type, p.Table)
	}
	if !known {
		report("type: %q, expected %s", p.Type, TypesExpected(Types()))
		return errs
	}
	if last := int(p.Address) + p.Size() - 1; last > math.MaxUint16 {
		report("address: %s at %d would end at %d, the last address is %d", p.Type, p.Address, last, math.MaxUint16)
	}
	if !p.Order.known() {
		report("order: %q, expected ABCD, CDAB, BADC or DCBA", p.Order)
	}
	p.checkParts(l, report)
	if math.IsNaN(p.Scale) || math.IsInf(p.Scale, 0) {
		report("scale: %v is not a number to multiply by", p.Scale)
	}
	if math.IsNaN(p.Offset) || math.IsInf(p.Offset, 0) {
		report("offset: %v is not a number to add", p.Offset)
	}
	number := l.format != boolean && l.format != text
	if !number && p.scaled() {
		errs = append(errs, errors.New("type: "+string(p.Type)+" has no scale, offset or factor"))
	}
	if p.Type == Bool && !p.Table.Registers() && p.Order != "" {
		errs = append(errs, errors.New("order: a single bit has none"))
	}
	return errs
}

// checkParts reports what is wrong with the parts of the registers that the
// value is in.
func (p Point) checkParts(l layout, report func(format string, args ...any)) {
	switch {
	case p.Type == String && (p.Length < 1 || p.Length > maxRegisters):
		report("length: %d, expected 1 to %d registers", p.Length, maxRegisters)
	case p.Type != String && p.Length != 0:
		report("length: %d, but only a string has one", p.Length)
	}
	switch {
	case p.Bit == 0:
	case p.Type != Bool || !p.Table.Registers():
		report("bit: %d, but only a bool in a register has one", p.Bit)
	case p.Bit > 15:
		report("bit: %d, expected 0 to 15", p.Bit)
	}
	width := p.Type.bits()
	switch field := p.Mask >> (bits.TrailingZeros64(p.Mask) % 64); {
	case p.Mask == 0:
	case l.format != unsigned:
		report("mask: %#x, but %s is no unsigned integer", p.Mask, p.Type)
	case field&(field+1) != 0:
		report("mask: %#x has a gap, expected neighbouring bits", p.Mask)
	case bits.Len64(p.Mask) > width:
		report("mask: %#x is wider than %s", p.Mask, p.Type)
	}
	if p.Factor != nil && !p.Table.Registers() {
		report("factor: table %s has no numbers", p.Table)
	}
	if len(p.Absent) > 0 && (l.format == boolean || l.format == text) {
		report("absent: %s has every value", p.Type)
		return
	}
	for _, raw := range p.Absent {
		if bits.Len64(raw) > width {
			report("absent: %#x is wider than %s", raw, p.Type)
		}
	}
}

func (p Point) scaled() bool { return p.Scale != 0 && p.Scale != 1 || p.Offset != 0 || p.Factor != nil }

// Decode is the point's value in a part of a table that begins at an address. It
// fails if the point, or the factor that its value needs, doesn't lie in it.
func (p Point) Decode(table Table, first uint16, data []byte) (telemetry.Value, telemetry.Reason, error) {
	at := int(p.Address) - int(first)
	if p.Table != table || at < 0 || !table.Registers() || 2*(at+p.Size()) > len(data) {
		return telemetry.Value{}, 0, fmt.Errorf("%s %d is not among these registers", p.Table, p.Address)
	}
	d := newDecoder(p)
	value, reason := d.value(data, at)
	if p.Factor == nil || reason != telemetry.NoReason {
		return value, reason, nil
	}
	factor, absent, err := Point{Table: table, Address: *p.Factor, Type: Int16, Order: p.Order}.Decode(table, first, data)
	if err != nil {
		return telemetry.Value{}, 0, fmt.Errorf("its factor: %w", err)
	}
	f := newFactor(factor, absent)
	if f.reason != telemetry.NoReason {
		return telemetry.Value{}, f.reason, nil
	}
	number, _ := value.Float()
	return telemetry.FloatValue(d.scale(f.apply(number))), telemetry.NoReason, nil
}
