// Package apdu frames what IEC 60870-5-104 sends over TCP: the start byte, the length and
// the four octets of control in front of an ASDU.
package apdu

import (
	"errors"
	"fmt"
	"io"
)

const (
	Start = 0x68
	// MaxLen is the longest APDU in octets, with start and length.
	MaxLen = 255
	// Modulo is where sequence numbers begin again.
	Modulo = 1 << 15

	control = 4 // octets of the control field
	header  = 2
)

// Format is what an APDU is for.
type Format uint8

const (
	I Format = iota // numbered information
	S               // acknowledges
	U               // starts, stops and tests
)

// Function is that of a U-format APDU, by the bits of its first octet of control.
type Function uint8

const (
	StartAct Function = 0x07
	StartCon Function = 0x0B
	StopAct  Function = 0x13
	StopCon  Function = 0x23
	TestAct  Function = 0x43
	TestCon  Function = 0x83
)

var functions = map[Function]string{
	StartAct: "STARTDT act", StartCon: "STARTDT con", StopAct: "STOPDT act", StopCon: "STOPDT con", TestAct: "TESTFR act", TestCon: "TESTFR con",
}

func (f Function) String() string {
	if name, known := functions[f]; known {
		return name
	}
	return fmt.Sprintf("U %#02x", uint8(f))
}

// Frame is one APDU.
type Frame struct {
	Format   Format
	Send     uint16 // N(S), of I
	Receive  uint16 // N(R), of I and S
	Function Function
	ASDU     []byte // of I; not checked
}

func (f Frame) String() string {
	switch f.Format {
	case I:
		return fmt.Sprintf("I N(S)=%d N(R)=%d", f.Send, f.Receive)
	case S:
		return fmt.Sprintf("S N(R)=%d", f.Receive)
	}
	return f.Function.String()
}

// What is wrong with what comes. Nothing after it can be told apart from what came
// before, so the connection has to be closed.
var (
	ErrStart    = errors.New("iec104: what comes doesn't begin with 0x68")
	ErrLength   = errors.New("iec104: impossible length of an APDU")
	ErrControl  = errors.New("iec104: impossible control field")
	ErrHalf     = errors.New("iec104: the connection ended within an APDU")
	ErrTooLarge = errors.New("iec104: the ASDU is longer than 249 octets")
)

// Parse reads an APDU that is there as a whole. ASDU refers to b.
func Parse(b []byte) (Frame, error) {
	if len(b) < header+control {
		return Frame{}, fmt.Errorf("%w: %d octets", ErrLength, len(b))
	}
	if b[0] != Start {
		return Frame{}, fmt.Errorf("%w: %#02x", ErrStart, b[0])
	}
	if int(b[1]) != len(b)-header || len(b) > MaxLen {
		return Frame{}, fmt.Errorf("%w: %d, with %d octets there", ErrLength, b[1], len(b)-header)
	}
	return parseControl(b[header:])
}

// parseControl reads what is behind the length.
func parseControl(c []byte) (Frame, error) {
	receive := uint16(c[2])>>1 | uint16(c[3])<<7
	switch {
	case c[0]&1 == 0:
		if len(c) == control {
			return Frame{}, fmt.Errorf("%w: information without an ASDU", ErrLength)
		}
		return Frame{Format: I, Send: uint16(c[0])>>1 | uint16(c[1])<<7, Receive: receive, ASDU: c[control:]}, nil
	case len(c) != control:
		return Frame{}, fmt.Errorf("%w: %d octets without information", ErrLength, len(c))
	case c[0]&3 == 1:
		if c[0] != 1 || c[1] != 0 {
			return Frame{}, fmt.Errorf("%w: % x", ErrControl, c[:control])
		}
		return Frame{Format: S, Receive: receive}, nil
	}
	f := Function(c[0])
	switch f {
	case StartAct, StartCon, StopAct, StopCon, TestAct, TestCon:
	default:
		return Frame{}, fmt.Errorf("%w: % x", ErrControl, c[:control])
	}
	if c[1]|c[2]|c[3] != 0 {
		return Frame{}, fmt.Errorf("%w: % x", ErrControl, c[:control])
	}
	return Frame{Format: U, Function: f}, nil
}

// Append adds the APDU to dst.
func (f Frame) Append(dst []byte) ([]byte, error) {
	if len(f.ASDU) > MaxLen-header-control {
		return dst, ErrTooLarge
	}
	b := append(dst, Start, control)
	receive := func(b []byte) []byte { return append(b, byte(f.Receive<<1), byte(f.Receive>>7)) }
	switch f.Format {
	case I:
		b[len(b)-1] += byte(len(f.ASDU))
		b = receive(append(b, byte(f.Send<<1), byte(f.Send>>7)))
		return append(b, f.ASDU...), nil
	case S:
		return receive(append(b, 1, 0)), nil
	}
	return append(b, byte(f.Function), 0, 0, 0), nil
}

// Reader reads APDUs from a stream, however they are cut into pieces. After an error
// there are no more.
type Reader struct {
	r        io.Reader
	buf      [4096]byte
	from, to int
	err      error
}

func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next is the next APDU; its ASDU is good until Next is called again. The error is
// io.EOF where the stream ends between two APDUs, ErrHalf within one, one of the others
// for what isn't an APDU, or that of the stream.
func (r *Reader) Next() (Frame, error) {
	if r.err != nil {
		return Frame{}, r.err
	}
	f, err := r.next()
	r.err = err
	return f, err
}

func (r *Reader) next() (Frame, error) {
	if err := r.fill(header); err != nil {
		return Frame{}, err
	}
	// What is wrong in the first two octets is told before waiting for more.
	if b := r.buf[r.from]; b != Start {
		return Frame{}, fmt.Errorf("%w: %#02x", ErrStart, b)
	}
	length := int(r.buf[r.from+1])
	if length < control || length > MaxLen-header {
		return Frame{}, fmt.Errorf("%w: %d", ErrLength, length)
	}
	if err := r.fill(header + length); err != nil {
		return Frame{}, err
	}
	c := r.buf[r.from+header : r.from+header+length : r.from+header+length]
	r.from += header + length
	return parseControl(c)
}

// fill reads until so many octets are there.
func (r *Reader) fill(n int) error {
	if len(r.buf)-r.from < n {
		r.to = copy(r.buf[:], r.buf[r.from:r.to])
		r.from = 0
	}
	for empty := 0; r.to-r.from < n; {
		// An octet that can't begin an APDU needs no second one to be refused.
		if r.to > r.from && r.buf[r.from] != Start {
			return fmt.Errorf("%w: %#02x", ErrStart, r.buf[r.from])
		}
		got, err := r.r.Read(r.buf[r.to:])
		r.to += got
		switch {
		case r.to-r.from >= n:
			return nil
		case err == io.EOF && r.to > r.from:
			return ErrHalf
		case err != nil:
			return err
		case got > 0:
			empty = 0
		default:
			if empty++; empty == 100 {
				return io.ErrNoProgress
			}
		}
	}
	return nil
}
