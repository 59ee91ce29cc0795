package modbus

import (
	"math"
	"math/bits"
)

// Range is the value at which a counter begins, and what it counts from there until
// it begins again.
type Range struct{ From, Span float64 }

// Ranges are those through which the point's registers may count, in its unit, and
// for a factor of 1 if it has one; none if they don't say, as those of floats. A signed
// integer may go on at its lowest value, or at 0.
func (p Point) Ranges() []Range {
	width := p.Type.bits()
	if p.Mask != 0 {
		width = bits.OnesCount64(p.Mask)
	}
	scale := p.Scale
	if scale == 0 {
		scale = 1
	}
	if scale < 0 {
		return nil
	}
	to := func(from, span float64) Range { return Range{from*scale + p.Offset, span * scale} }
	switch layouts[p.Type].format {
	case unsigned:
		return []Range{to(0, math.Ldexp(1, width))}
	case decimalDigits:
		return []Range{to(0, math.Pow10(width/4))}
	case signed:
		ranges := []Range{to(0, math.Ldexp(1, width-1))}
		if p.Factor == nil {
			ranges = append(ranges, to(-math.Ldexp(1, width-1), math.Ldexp(1, width)))
		}
		return ranges
	}
	return nil
}

// Integer reports whether the point's values are integers, and none of them
// negative; a single bit is both.
func (p Point) Integer() (integer, positive bool) {
	if p.scaled() {
		return false, false
	}
	switch layouts[p.Type].format {
	case unsigned, decimalDigits:
		return true, true
	case boolean:
		_, known := layouts[p.Type]
		return known, known
	case signed:
		return true, false
	}
	return false, false
}

// Bounds are the lowest and the highest raw value of a point of integers.
func (p Point) Bounds() (low int64, high uint64) {
	width := p.Type.bits()
	if p.Mask != 0 {
		width = bits.OnesCount64(p.Mask)
	}
	switch layouts[p.Type].format {
	case signed:
		return -1 << (width - 1), 1<<(width-1) - 1
	case decimalDigits:
		return 0, uint64(math.Pow10(width/4)) - 1
	}
	return 0, 1<<width - 1
}

// Resolution is by which part of a value two readings of the same may differ: two
// steps of the float that holds it, and of a double those of a single, in which many
// devices count. 0 for what is exact.
func (t Type) Resolution() float64 {
	switch t {
	case Float16:
		return math.Ldexp(1, -9)
	case Float32, Float64:
		return math.Ldexp(1, -22)
	}
	return 0
}
