package asdu

import (
	"errors"
	"fmt"
)

// Params are how many octets the fields of ASDUs take, which both ends have to know.
type Params struct {
	Cause   int // 1 or 2; with 2 the second is the originator
	Address int // common address of ASDU: 1 or 2
	Object  int // address of an information object: 1 to 3
}

// What 60870-5-104 fixes, and what is usual of 60870-5-101.
var (
	IEC104 = Params{Cause: 2, Address: 2, Object: 3}
	IEC101 = Params{Cause: 1, Address: 1, Object: 2}
)

// MaxLen is how many octets an ASDU of 60870-5-104 has at most.
const MaxLen = 249

// Check says what is wrong with the sizes.
func (p Params) Check() error {
	if p.Cause < 1 || p.Cause > 2 || p.Address < 1 || p.Address > 2 || p.Object < 1 || p.Object > 3 {
		return fmt.Errorf("iec104: fields of %d, %d and %d octets, expected 1 or 2 of cause, 1 or 2 of common address, 1 to 3 of object address", p.Cause, p.Address, p.Object)
	}
	return nil
}

// header is how many octets come before the first object.
func (p Params) header() int { return 2 + p.Cause + p.Address }

// maxObject is the highest address of an object.
func (p Params) maxObject() uint32 { return 1<<(8*p.Object) - 1 }

// Header is what an ASDU says about all of its objects.
type Header struct {
	Type       Type
	Cause      Cause
	Negative   bool // P/N: what was asked for isn't done
	Test       bool
	Originator uint8
	Address    uint16 // common address of ASDU
	// Sequence is that the objects have consecutive addresses (SQ), of which only the
	// first is sent.
	Sequence bool
}

// ASDU is one that was read. It refers to the bytes that it was read from.
type ASDU struct {
	Header
	params  Params
	layout  layout
	count   int
	objects []byte
}

// What is wrong with an ASDU. The error of Parse wraps one of these, except that a type
// has an error of its own.
var (
	ErrLength = errors.New("its length isn't what its type and number of objects ask for")
	ErrEmpty  = errors.New("it has no object")
	ErrCause  = errors.New("it has no cause")
)

// UnknownTypeError is a type that isn't read here.
type UnknownTypeError Type

func (e UnknownTypeError) Error() string {
	return fmt.Sprintf("iec104: ASDUs of type %d aren't known", uint8(e))
}

// Parse reads an ASDU. What it returns is right as a whole: every object is there, and
// nothing is left over. With an UnknownTypeError the header is right.
func (p Params) Parse(b []byte) (ASDU, error) {
	n := p.header()
	if len(b) < n {
		return ASDU{}, malformed(b, ErrLength)
	}
	a := ASDU{params: p, count: int(b[1] & 0x7F)}
	a.Type, a.Sequence = Type(b[0]), b[1]&0x80 != 0
	a.Cause, a.Negative, a.Test = Cause(b[2]&0x3F), b[2]&0x40 != 0, b[2]&0x80 != 0
	at := 3
	if p.Cause == 2 {
		a.Originator = b[at]
		at++
	}
	a.Address = uint16(b[at])
	if p.Address == 2 {
		a.Address |= uint16(b[at+1]) << 8
	}
	var known bool
	if a.layout, known = a.Type.layout(); !known {
		return a, UnknownTypeError(a.Type)
	}
	size := a.layout.len()
	want := a.count * (p.Object + size)
	if a.Sequence {
		want = p.Object + a.count*size
	}
	switch a.objects = b[n:]; {
	case a.Cause == 0:
		return ASDU{}, malformed(b, ErrCause)
	case a.count == 0:
		return ASDU{}, malformed(b, ErrEmpty)
	case len(a.objects) != want:
		return ASDU{}, malformed(b, ErrLength)
	case a.Sequence && uint64(le(a.objects, p.Object))+uint64(a.count)-1 > uint64(p.maxObject()):
		return ASDU{}, malformed(b, errBeyond)
	}
	return a, nil
}

var errBeyond = errors.New("its addresses go beyond the last one")

func (l layout) len() int { return int(l.size) + int(l.time) }

// malformed is an error that tells which ASDU it is.
func malformed(b []byte, what error) error {
	if len(b) > 0 {
		return fmt.Errorf("iec104: ASDU of %d octets, %v: %w", len(b), Type(b[0]), what)
	}
	return fmt.Errorf("iec104: empty ASDU: %w", what)
}

// Len is how many objects there are, at least one.
func (a *ASDU) Len() int { return a.count }

// Object reads the i-th object, from 0.
func (a *ASDU) Object(i int) Object {
	size, p := a.layout.len(), a.params.Object
	if a.Sequence {
		b := a.objects[p+i*size:]
		o := a.layout.decode(b[:size:size])
		o.Address = le(a.objects, p) + uint32(i)
		return o
	}
	b := a.objects[i*(p+size):]
	o := a.layout.decode(b[p : p+size : p+size])
	o.Address = le(b, p)
	return o
}

// le is an unsigned number of n octets, the least significant first.
func le(b []byte, n int) (v uint32) {
	for i := range n {
		v |= uint32(b[i]) << (8 * i)
	}
	return v
}

// Append adds an ASDU to dst. All of it has to fit: an address, a value or a number of
// objects that doesn't is an error, and dst is as it was. With Sequence the objects'
// addresses have to be consecutive.
func (p Params) Append(dst []byte, h Header, objects []Object) ([]byte, error) {
	l, known := h.Type.layout()
	n := len(objects)
	size := p.header() + n*(p.Object+l.len())
	if h.Sequence {
		size = p.header() + p.Object + n*l.len()
	}
	switch {
	case !known:
		return dst, UnknownTypeError(h.Type)
	case n == 0:
		return dst, fmt.Errorf("iec104: write %v: %w", h.Type, ErrEmpty)
	case n > 127 || size > MaxLen:
		return dst, fmt.Errorf("iec104: write %v: %d objects don't fit into one", h.Type, n)
	case h.Cause == 0 || h.Cause > 63:
		return dst, fmt.Errorf("iec104: write %v: %w", h.Type, ErrCause)
	case p.Address == 1 && h.Address > 0xFF:
		return dst, fmt.Errorf("iec104: write %v: common address %d doesn't fit into one octet", h.Type, h.Address)
	case p.Cause == 1 && h.Originator != 0:
		return dst, fmt.Errorf("iec104: write %v: there is no room for an originator", h.Type)
	}
	b := append(dst, byte(h.Type), byte(n)|bit(h.Sequence, 0x80), byte(h.Cause)|bit(h.Negative, 0x40)|bit(h.Test, 0x80))
	if p.Cause == 2 {
		b = append(b, h.Originator)
	}
	b = appendLE(b, uint32(h.Address), p.Address)
	for i, o := range objects {
		if o.Address > p.maxObject() {
			return dst, fmt.Errorf("iec104: write %v: object address %d doesn't fit into %d octets", h.Type, o.Address, p.Object)
		}
		switch {
		case !h.Sequence || i == 0:
			b = appendLE(b, o.Address, p.Object)
		case o.Address != objects[0].Address+uint32(i):
			return dst, fmt.Errorf("iec104: write %v: object %d isn't next to the one before it", h.Type, o.Address)
		}
		var err error
		if b, err = l.append(b, o); err != nil {
			return dst, fmt.Errorf("iec104: write %v: object %d: %w", h.Type, o.Address, err)
		}
	}
	return b, nil
}

// Fits is how many objects of the type go into one ASDU.
func (p Params) Fits(t Type) int {
	l, _ := t.layout()
	return min(127, (MaxLen-p.header())/(p.Object+l.len()))
}

func bit(set bool, b byte) byte {
	if set {
		return b
	}
	return 0
}

func appendLE(b []byte, v uint32, n int) []byte {
	for range n {
		b = append(b, byte(v))
		v >>= 8
	}
	return b
}
