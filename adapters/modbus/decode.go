package modbus

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

// decoder turns the registers of one point into its value. It is small because a
// gateway has thousands, which the processor's cache forgets from poll to poll.
type decoder struct {
	signal       telemetry.SignalID
	address      uint16
	format       format
	registers    uint8
	width        uint8 // bits of the raw value
	bit          uint8
	inRegister   bool
	reverseWords bool
	swapBytes    bool
	scaled       bool
	factored     bool // a power of ten comes first, which another register holds
	*refinement
}

// refinement is what most points don't have.
type refinement struct {
	mask                        uint64
	absent                      []uint64
	multiplier, addend, divisor float64
}

var unrefined = refinement{multiplier: 1, divisor: 1}

type format uint8

const (
	boolean format = iota
	unsigned
	signed
	floating
	decimalDigits
	text
)

func newDecoder(p Point) decoder {
	d := decoder{
		signal:       p.Signal,
		address:      p.Address,
		format:       layouts[p.Type].format,
		registers:    uint8(p.Size()),
		width:        uint8(p.Type.bits()),
		bit:          p.Bit,
		inRegister:   p.Table.Registers(),
		reverseWords: p.Order == CDAB || p.Order == DCBA,
		swapBytes:    p.Order == BADC || p.Order == DCBA,
		scaled:       p.scaled(),
		factored:     p.Factor != nil,
		refinement:   &unrefined,
	}
	if d.scaled || p.Mask != 0 || len(p.Absent) > 0 {
		d.refinement = &refinement{mask: p.Mask, absent: p.Absent}
		d.multiplier, d.addend, d.divisor = decimal(cmp.Or(p.Scale, 1), p.Offset)
	}
	return d
}

// decimal writes scale and offset over one power of ten, so that the only
// rounding is that of the division: 2301 × 0.1 is 230.10000000000002, but
// 2301 × 1 / 10 is 230.1.
func decimal(scale, offset float64) (multiplier, addend, divisor float64) {
	divisor = 1
	for range 11 {
		multiplier, addend = math.Round(scale*divisor), math.Round(offset*divisor)
		if multiplier/divisor == scale && addend/divisor == offset {
			return multiplier, addend, divisor
		}
		divisor *= 10
	}
	return scale, offset, 1
}

// value decodes what starts at the given address, counted from the first that
// data holds. The reason is not NoReason when that is no value. What is factored
// is still to be scaled.
func (d *decoder) value(data []byte, at int) (telemetry.Value, telemetry.Reason) {
	if !d.inRegister {
		return telemetry.BoolValue(data[at/8]>>(at%8)&1 != 0), telemetry.NoReason
	}
	data = data[2*at:]
	switch d.format {
	case boolean:
		return telemetry.BoolValue(d.raw(data)>>d.bit&1 != 0), telemetry.NoReason
	case text:
		return telemetry.TextValue(d.text(data)), telemetry.NoReason
	}
	raw := d.raw(data) & (1<<d.width - 1) // 1<<64 is 0, and 0-1 is every bit
	if slices.Contains(d.absent, raw) {
		return telemetry.Value{}, telemetry.NotImplemented
	}
	var number float64
	switch d.format {
	case floating:
		number = d.float(raw)
		if math.IsNaN(number) {
			return telemetry.Value{}, telemetry.NotANumber
		}
		if !d.scaled {
			return telemetry.FloatValue(number), telemetry.NoReason
		}
		if d.width == 32 {
			number = meant(float32(number))
		}
	case signed:
		unused := 64 - d.width
		integer := int64(raw<<unused) >> unused
		if !d.scaled {
			return telemetry.IntValue(integer), telemetry.NoReason
		}
		number = float64(integer)
	default:
		if d.format == decimalDigits {
			var ok bool
			if raw, ok = fromBCD(raw); !ok {
				return telemetry.Value{}, telemetry.NotANumber
			}
		}
		if d.mask != 0 {
			raw = raw & d.mask >> bits.TrailingZeros64(d.mask)
		}
		if !d.scaled {
			return telemetry.UintValue(raw), telemetry.NoReason
		}
		number = float64(raw)
	}
	if !d.factored {
		number = d.scale(number)
	}
	return telemetry.FloatValue(number), telemetry.NoReason
}

// scale is number × scale + offset. The conversion forbids a fused
// multiply-add, which would make the result depend on the processor.
func (d *decoder) scale(number float64) float64 {
	product := float64(number * d.multiplier)
	return (product + d.addend) / d.divisor
}

func (d *decoder) float(raw uint64) float64 {
	switch d.width {
	case 16:
		return float16(uint16(raw))
	case 32:
		return float64(math.Float32frombits(uint32(raw)))
	}
	return math.Float64frombits(raw)
}

// float16 is IEEE 754's binary16.
func float16(b uint16) float64 {
	fraction, exponent := float64(b&0x3FF), int(b>>10&0x1F)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 0x1F:
		if fraction != 0 {
			return math.NaN()
		}
		v = math.Inf(1)
	default:
		v = math.Ldexp(1024+fraction, exponent-25)
	}
	if b>>15 != 0 {
		return -v
	}
	return v
}

func fromBCD(raw uint64) (number uint64, ok bool) {
	for shift := 60; shift >= 0; shift -= 4 {
		digit := raw >> shift & 0xF
		if digit > 9 {
			return 0, false
		}
		number = 10*number + digit
	}
	return number, true
}

// meant is the shortest decimal number that v stands for, so that 12.3 kW.h of a
// register × 1000 are 12300 W.h and not 12300.000190734863.
func meant(v float32) float64 {
	var text [32]byte
	number, err := strconv.ParseFloat(string(strconv.AppendFloat(text[:0], float64(v), 'g', -1, 32)), 64)
	if err != nil {
		return float64(v)
	}
	return number
}

func (d *decoder) raw(data []byte) (raw uint64) {
	for i := range int(d.registers) {
		raw = raw<<16 | uint64(d.word(data, i))
	}
	return raw
}

// word is the i-th register, the most significant first.
func (d *decoder) word(data []byte, i int) uint16 {
	if d.reverseWords {
		i = int(d.registers) - 1 - i
	}
	word := binary.BigEndian.Uint16(data[2*i:])
	if d.swapBytes {
		return word<<8 | word>>8
	}
	return word
}

// text is the characters up to the first NUL, without spaces around them.
func (d *decoder) text(data []byte) string {
	var buffer [2 * maxRegisters]byte
	for i := range int(d.registers) {
		binary.BigEndian.PutUint16(buffer[2*i:], d.word(data, i))
	}
	return strings.TrimSpace(textOf(buffer[:2*int(d.registers)]))
}

// textOf is the characters up to the first NUL, read as Latin-1 if they aren't UTF-8.
func textOf(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	if utf8.Valid(b) {
		return string(b)
	}
	latin1 := make([]rune, len(b))
	for i, c := range b {
		latin1[i] = rune(c)
	}
	return string(latin1)
}
