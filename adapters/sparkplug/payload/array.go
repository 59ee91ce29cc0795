package payload

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

// Array are the elements of a value of an array's type, appended to dst, as many as most.
// Numbers are packed with their least significant byte first, bits behind their number
// with the first one most significant, and texts end with a zero (6.4.16, Array Types).
func (v Value) Array(dst []telemetry.Value, t DataType, most int) ([]telemetry.Value, error) {
	element := t.Element()
	if element == Unknown || v.form != AsBytes {
		return dst, fmt.Errorf("%w: a value of another form than %s has", ErrMalformed, t)
	}
	b := v.bytes
	switch element {
	case String:
		for len(b) > 0 && most > 0 {
			end := bytes.IndexByte(b, 0)
			if end < 0 {
				return dst, malformed("a text without an end")
			}
			dst = append(dst, telemetry.TextValue(string(b[:end])))
			b, most = b[end+1:], most-1
		}
		return dst, nil
	case Boolean:
		if len(b) < 4 {
			return dst, malformed("bits without their number")
		}
		n := uint64(binary.LittleEndian.Uint32(b))
		if b = b[4:]; n > 8*uint64(len(b)) {
			return dst, malformed("fewer bits than announced")
		}
		for i := range min(int(n), most) {
			dst = append(dst, telemetry.BoolValue(b[i/8]&(0x80>>(i%8)) != 0))
		}
		return dst, nil
	}
	size := element.size()
	if len(b)%size != 0 {
		return dst, malformed("an array that ends within an element")
	}
	for ; len(b) > 0 && most > 0; b, most = b[size:], most-1 {
		var raw [8]byte
		copy(raw[:], b[:size])
		bits := binary.LittleEndian.Uint64(raw[:])
		value := Value{form: AsLong, bits: bits}
		switch element {
		case Float:
			value.form = AsFloat
		case Double:
			value.form = AsDouble
		}
		scalar, err := value.Scalar(element)
		if err != nil {
			return dst, err
		}
		dst = append(dst, scalar)
	}
	return dst, nil
}

// size is how many bytes a number takes in an array.
func (t DataType) size() int {
	switch bits := max(t.signed(), t.unsigned()); {
	case bits != 0:
		return bits / 8
	case t == Float:
		return 4
	}
	return 8
}
