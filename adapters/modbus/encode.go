package modbus

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/busbar/busbar/telemetry"
)

// Encode puts a value into the registers of a point, which are all of data; what
// else is in them stays. It is what Decode undoes, to the resolution of the
// registers. It fails, and leaves data alone, if they can't hold the value. A
// factor isn't thought of: the value is that without it.
func (p Point) Encode(v telemetry.Value, data []byte) error {
	if !p.Table.Registers() || len(data) != 2*p.Size() {
		return fmt.Errorf("%s %d is not %d registers", p.Table, p.Address, len(data)/2)
	}
	d := newDecoder(p)
	if d.format == text {
		if v.Kind() != telemetry.Text || len(v.Text()) > len(data) {
			return fmt.Errorf("%v is no text of at most %d bytes", v, len(data))
		}
		d.putText(data, v.Text())
		return nil
	}
	raw, err := d.encode(v)
	if err != nil {
		return err
	}
	switch {
	case d.format == boolean:
		raw = d.raw(data)&^(1<<d.bit) | raw<<d.bit
	case d.mask != 0:
		raw = d.raw(data)&^d.mask | raw<<bits.TrailingZeros64(d.mask)
	case d.width == 8:
		raw = d.raw(data)&^0xFF | raw
	}
	d.put(data, raw)
	return nil
}

// PutRaw puts a raw value, as Absent has them, into the registers of a point.
func (p Point) PutRaw(raw uint64, data []byte) {
	d := newDecoder(p)
	d.put(data, raw)
}

// encode is the raw value, of the point's own bits only.
func (d *decoder) encode(v telemetry.Value) (uint64, error) {
	number, ok := v.Float()
	if !ok {
		return 0, fmt.Errorf("%v is no number", v)
	}
	exact := !d.scaled && (v.Kind() == telemetry.Int64 || v.Kind() == telemetry.Uint64)
	if d.scaled {
		number = (number*d.divisor - d.addend) / d.multiplier
	}
	width := int(d.width)
	if d.mask != 0 {
		width = bits.OnesCount64(d.mask)
	}
	switch d.format {
	case boolean:
		if number != 0 && number != 1 {
			return 0, fmt.Errorf("%v is neither 0 nor 1", v)
		}
		return uint64(number), nil
	case floating:
		return d.encodeFloat(number, v)
	case signed:
		integer, limit := int64(v.Bits()), math.Ldexp(1, width-1)
		fits := integer<<(64-width)>>(64-width) == integer && (v.Kind() == telemetry.Int64 || integer >= 0)
		if !exact {
			number = math.RoundToEven(number)
			integer, fits = int64(number), number >= -limit && number < limit
		}
		if fits {
			return uint64(integer) & (1<<width - 1), nil
		}
	default:
		raw := uint64(math.RoundToEven(number))
		fits := number >= -0.5 && math.RoundToEven(number) < math.Ldexp(1, width)
		if exact {
			raw = v.Bits()
			fits = bits.Len64(raw) <= width && (v.Kind() == telemetry.Uint64 || int64(raw) >= 0)
		}
		if d.format == decimalDigits {
			raw, fits = toBCD(raw, width, fits)
		}
		if fits {
			return raw, nil
		}
	}
	return 0, fmt.Errorf("%v is beyond what %d bits hold", v, width)
}

func (d *decoder) encodeFloat(number float64, v telemetry.Value) (uint64, error) {
	switch d.width {
	case 16:
		raw, ok := toFloat16(number)
		if !ok {
			return 0, fmt.Errorf("%v is beyond what a float16 holds", v)
		}
		return uint64(raw), nil
	case 32:
		if math.Abs(number) > math.MaxFloat32 && !math.IsInf(number, 0) {
			return 0, fmt.Errorf("%v is beyond what a float32 holds", v)
		}
		return uint64(math.Float32bits(float32(number))), nil
	}
	return math.Float64bits(number), nil
}

// toFloat16 rounds to the nearest binary16, of two the even one.
func toFloat16(v float64) (raw uint16, ok bool) {
	var sign uint16
	if math.Signbit(v) {
		sign, v = 1<<15, -v
	}
	switch {
	case math.IsNaN(v):
		return sign | 0x7E00, true
	case math.IsInf(v, 0):
		return sign | 0x7C00, true
	}
	_, exponent := math.Frexp(v) // v is from 2^(exponent-1) to 2^exponent
	exponent = max(exponent-1, -14)
	fraction := math.RoundToEven(math.Ldexp(v, 10-exponent))
	if fraction == 2048 {
		fraction, exponent = 1024, exponent+1
	}
	if exponent > 15 {
		return 0, false
	}
	if fraction < 1024 {
		return sign | uint16(fraction), true
	}
	return sign | uint16(exponent+15)<<10 | uint16(fraction-1024), true
}

func toBCD(number uint64, width int, ok bool) (raw uint64, fits bool) {
	for shift := 0; shift < width; shift += 4 {
		raw |= number % 10 << shift
		number /= 10
	}
	return raw, ok && number == 0
}

func (d *decoder) put(data []byte, raw uint64) {
	for i := int(d.registers) - 1; i >= 0; i-- {
		d.putWord(data, i, uint16(raw))
		raw >>= 16
	}
}

// putWord sets the i-th register, the most significant first.
func (d *decoder) putWord(data []byte, i int, word uint16) {
	if d.reverseWords {
		i = int(d.registers) - 1 - i
	}
	if d.swapBytes {
		word = word<<8 | word>>8
	}
	binary.BigEndian.PutUint16(data[2*i:], word)
}

func (d *decoder) putText(data []byte, s string) {
	var buffer [2 * maxRegisters]byte
	copy(buffer[:], s)
	for i := range int(d.registers) {
		d.putWord(data, i, binary.BigEndian.Uint16(buffer[2*i:]))
	}
}
