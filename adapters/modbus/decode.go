package modbus

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/busbar/busbar/telemetry"
)

// decoder turns the registers of one point into its value.
type decoder struct {
	words        int // 0: a bit
	format       format
	reverseWords bool
	swapBytes    bool

	scaled                      bool
	multiplier, addend, divisor float64
}

type format uint8

const (
	unsigned format = iota
	signed
	floating
)

func newDecoder(p Point) decoder {
	d := decoder{
		reverseWords: p.Order == CDAB || p.Order == DCBA,
		swapBytes:    p.Order == BADC || p.Order == DCBA,
		scaled:       p.scaled(),
	}
	if p.Type != Bool {
		d.words = p.Type.Registers()
	}
	switch p.Type {
	case Int16, Int32, Int64:
		d.format = signed
	case Float32, Float64:
		d.format = floating
	}
	scale := p.Scale
	if scale == 0 {
		scale = 1
	}
	d.multiplier, d.addend, d.divisor = decimal(scale, p.Offset)
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
// data holds. The reason is not NoReason when that is no value.
func (d *decoder) value(data []byte, at int) (telemetry.Value, telemetry.Reason) {
	if d.words == 0 {
		return telemetry.BoolValue(data[at/8]>>(at%8)&1 != 0), telemetry.NoReason
	}
	raw := d.raw(data[2*at:])
	var number float64
	switch d.format {
	case floating:
		if d.words == 2 {
			number = float64(math.Float32frombits(uint32(raw)))
		} else {
			number = math.Float64frombits(raw)
		}
		if math.IsNaN(number) {
			return telemetry.Value{}, telemetry.NotANumber
		}
		if !d.scaled {
			return telemetry.FloatValue(number), telemetry.NoReason
		}
		if d.words == 2 {
			number = meant(math.Float32frombits(uint32(raw)))
		}
	case signed:
		unused := 64 - 16*d.words
		integer := int64(raw<<unused) >> unused
		if !d.scaled {
			return telemetry.IntValue(integer), telemetry.NoReason
		}
		number = float64(integer)
	default:
		if !d.scaled {
			return telemetry.UintValue(raw), telemetry.NoReason
		}
		number = float64(raw)
	}
	// The conversion forbids a fused multiply-add, which would make the result
	// depend on the processor.
	product := float64(number * d.multiplier)
	return telemetry.FloatValue((product + d.addend) / d.divisor), telemetry.NoReason
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
	for i := range d.words {
		at := 2 * i
		if d.reverseWords {
			at = 2 * (d.words - 1 - i)
		}
		word := binary.BigEndian.Uint16(data[at:])
		if d.swapBytes {
			word = word<<8 | word>>8
		}
		raw = raw<<16 | uint64(word)
	}
	return raw
}
