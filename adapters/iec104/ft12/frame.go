// Package ft12 is the link layer of IEC 60870-5-101 as the controlling station has it:
// frames of format FT 1.2 (60870-5-1) and their transmission, unbalanced and balanced
// (60870-5-2), over a serial line or a server that passes its octets on. What is in the
// frames are the ASDUs of package asdu.
package ft12

import (
	"errors"
	"fmt"
)

const (
	startFixed    = 0x10
	startVariable = 0x68
	end           = 0x16
	single        = 0xE5

	// MaxLen is the longest frame in octets.
	MaxLen = 4 + maxUser + 2
	// maxUser is how long control, address and ASDU are together, at most.
	maxUser = 255
)

// Frame is one that was sent or has come.
type Frame struct {
	// Single is that it is the one octet by which a station acknowledges, or has nothing
	// to say. Nothing else is in it.
	Single  bool
	Control Control
	Address uint16 // of the link; 0 if it has no octets
	ASDU    []byte // nil: it has none. Not checked
}

// Control is the control field (60870-5-2, 5.1.2).
type Control byte

// The bits of the control field. FCB and FCV are those of a primary station, ACD and DFC
// have their places in what a secondary one says.
const (
	DIR Control = 0x80 // of balanced transmission: it comes from the controlling station
	PRM Control = 0x40 // it comes from the primary station: it asks
	FCB Control = 0x20 // changes with each new frame that has FCV
	FCV Control = 0x10
	ACD Control = 0x20 // there is data of class 1
	DFC Control = 0x10 // there is no room for more

	function Control = 0x0F
)

// Functions of a primary station.
const (
	ResetLink     Control = 0
	TestLink      Control = 2
	UserData      Control = 3 // to be confirmed
	UserDataPlain Control = 4 // not to be
	AccessDemand  Control = 8
	RequestStatus Control = 9
	RequestClass1 Control = 10
	RequestClass2 Control = 11
)

// Functions of a secondary station.
const (
	Ack            Control = 0
	Nack           Control = 1
	Respond        Control = 8
	NoData         Control = 9
	Status         Control = 11
	NotFunctioning Control = 14
	NotImplemented Control = 15
)

// Function is what is asked for or answered.
func (c Control) Function() Control { return c & function }

var (
	primaryNames = map[Control]string{
		ResetLink: "reset of remote link", 1: "reset of user process", TestLink: "test of link", UserData: "user data", UserDataPlain: "user data, no reply",
		AccessDemand: "access demand", RequestStatus: "request for status of link", RequestClass1: "request for class 1", RequestClass2: "request for class 2",
	}
	secondaryNames = map[Control]string{
		Ack: "ACK", Nack: "NACK", Respond: "user data", NoData: "no data", Status: "status of link", NotFunctioning: "link service not functioning", NotImplemented: "link service not implemented",
	}
)

// String is the function by its name, with the bits that are set.
func (c Control) String() string {
	names, upper, lower := secondaryNames, "ACD", "DFC"
	if c&PRM != 0 {
		names, upper, lower = primaryNames, "FCB", "FCV"
	}
	text, known := names[c.Function()]
	if !known {
		text = fmt.Sprintf("function %d", c.Function())
	}
	if c&FCB != 0 {
		text += " " + upper
	}
	if c&FCV != 0 {
		text += " " + lower
	}
	return text
}

func (f Frame) String() string {
	if f.Single {
		return "E5"
	}
	return fmt.Sprintf("%v, link address %d", f.Control, f.Address)
}

// What is wrong with what comes. The rest of it can't be told apart from noise until the
// line is silent.
var (
	ErrStart    = errors.New("ft12: what comes doesn't begin a frame")
	ErrLength   = errors.New("ft12: impossible or unequal lengths of a frame")
	ErrRestart  = errors.New("ft12: no second start behind the lengths")
	ErrChecksum = errors.New("ft12: the checksum is wrong")
	ErrEnd      = errors.New("ft12: the frame doesn't end with 0x16")
	ErrTooLong  = errors.New("ft12: the ASDU is too long for a frame")
)

// Parse reads the frame that b begins with; octets is how many the link address has, 0 to
// 2. n is how long it is; 0 says that it isn't there as a whole. What is wrong is told as
// soon as it is there. ASDU refers to b.
func Parse(b []byte, octets int) (f Frame, n int, err error) {
	if len(b) == 0 {
		return Frame{}, 0, nil
	}
	switch b[0] {
	case single:
		return Frame{Single: true}, 1, nil
	case startFixed:
		return parseBody(b, 1, 1+octets, octets)
	case startVariable:
	default:
		return Frame{}, 0, fmt.Errorf("%w: %#02x", ErrStart, b[0])
	}
	switch {
	case len(b) >= 2 && int(b[1]) < 1+octets:
		return Frame{}, 0, fmt.Errorf("%w: %d", ErrLength, b[1])
	case len(b) >= 3 && b[1] != b[2]:
		return Frame{}, 0, fmt.Errorf("%w: %d and %d", ErrLength, b[1], b[2])
	case len(b) >= 4 && b[3] != startVariable:
		return Frame{}, 0, fmt.Errorf("%w: %#02x", ErrRestart, b[3])
	case len(b) < 4:
		return Frame{}, 0, nil
	}
	return parseBody(b, 4, int(b[1]), octets)
}

// parseBody reads what lies between start and checksum: size octets from the place at.
func parseBody(b []byte, at, size, octets int) (Frame, int, error) {
	n := at + size + 2
	if len(b) < n {
		return Frame{}, 0, nil
	}
	body := b[at : at+size : at+size]
	if got, want := b[n-2], checksum(body); got != want {
		return Frame{}, 0, fmt.Errorf("%w: %#02x, expected %#02x", ErrChecksum, got, want)
	}
	if b[n-1] != end {
		return Frame{}, 0, fmt.Errorf("%w: %#02x", ErrEnd, b[n-1])
	}
	f := Frame{Control: Control(body[0])}
	for i := range octets {
		f.Address |= uint16(body[1+i]) << (8 * i)
	}
	if rest := body[1+octets:]; len(rest) > 0 {
		f.ASDU = rest
	}
	return f, n, nil
}

func checksum(b []byte) (sum byte) {
	for _, c := range b {
		sum += c
	}
	return sum
}

// Append adds the frame to dst.
func (f Frame) Append(dst []byte, octets int) ([]byte, error) {
	if f.Single {
		return append(dst, single), nil
	}
	size := 1 + octets + len(f.ASDU)
	if size > maxUser {
		return dst, ErrTooLong
	}
	b := append(dst, startFixed)
	if f.ASDU != nil {
		b = append(dst, startVariable, byte(size), byte(size), startVariable)
	}
	at := len(b)
	b = append(b, byte(f.Control))
	for i := range octets {
		b = append(b, byte(f.Address>>(8*i)))
	}
	b = append(b, f.ASDU...)
	return append(b, checksum(b[at:]), end), nil
}
