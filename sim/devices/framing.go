package devices

import (
	"encoding/binary"
	"fmt"
)

const (
	headerSize = 7   // transaction 2, protocol 2, length 2, unit 1
	maxADU     = 260 // header and a PDU of 253 bytes
	maxRTU     = 256 // unit, a PDU of 253 bytes, and a checksum
)

// framing is how requests and answers lie in a stream of bytes.
type framing interface {
	pdu(request []byte) []byte
	// wrap appends the frame of an answer to a request.
	wrap(out, request []byte, unit byte, pdu []byte) []byte
}

// mbap is the framing of Modbus TCP.
type mbap struct{}

func (mbap) pdu(request []byte) []byte { return request[headerSize:] }

func (mbap) wrap(out, request []byte, unit byte, pdu []byte) []byte {
	out = append(out, request[:4]...)
	out = binary.BigEndian.AppendUint16(out, uint16(1+len(pdu)))
	return append(append(out, unit), pdu...)
}

// split takes the first request off a stream; it is nil if its end hasn't come.
// After an error there is no telling where the next request starts.
func split(stream []byte) (request, rest []byte, err error) {
	if len(stream) < headerSize {
		return nil, stream, nil
	}
	if p := binary.BigEndian.Uint16(stream[2:]); p != 0 {
		return nil, nil, fmt.Errorf("protocol identifier %d is not Modbus", p)
	}
	length := int(binary.BigEndian.Uint16(stream[4:]))
	if length < 2 || 6+length > maxADU {
		return nil, nil, fmt.Errorf("length field %d is not from 2 to %d", length, maxADU-6)
	}
	if len(stream) < 6+length {
		return nil, stream, nil
	}
	return stream[:6+length], stream[6+length:], nil
}

// rtu is the framing of serial lines: unit, PDU and checksum (Modbus over Serial
// Line V1.02, 2.5.1).
type rtu struct{}

func (rtu) pdu(request []byte) []byte { return request[1 : len(request)-2] }

func (rtu) wrap(out, _ []byte, unit byte, pdu []byte) []byte {
	start := len(out)
	out = append(append(out, unit), pdu...)
	return binary.LittleEndian.AppendUint16(out, crc(out[start:]))
}

// splitRTU takes the first request off a stream, and passes over what comes before
// it; the request is nil if none is there, and rest then what may become one. Frames
// have no start, so a request is what a right checksum comes after. Of a function
// that isn't known only a silence tells the end.
func splitRTU(stream []byte, silent bool) (request, rest []byte) {
	waits := -1 // where what may become a request begins
	for at := range stream {
		frame := stream[at:]
		size, known := requestSize(frame)
		if !known && silent {
			size, known = len(frame), true
		}
		if !known || size > len(frame) {
			if waits < 0 {
				waits = at
			}
			continue
		}
		if size >= 4 && size <= maxRTU && crc(frame[:size-2]) == binary.LittleEndian.Uint16(frame[size-2:]) {
			return frame[:size], frame[size:]
		}
	}
	if waits < 0 || silent {
		return nil, nil
	}
	return nil, stream[waits:]
}

// requestSize is how long the request is that a stream begins with, more than
// there is if that isn't known yet. It isn't known at all of other functions.
func requestSize(b []byte) (size int, known bool) {
	if len(b) < 2 {
		return 4, true
	}
	switch b[1] {
	case byte(Coils), byte(DiscreteInputs), byte(HoldingRegisters), byte(InputRegisters), writeCoil, writeRegister:
		return 8, true
	case writeCoils, writeRegisters:
		if len(b) < 7 {
			return 9, true
		}
		return 9 + int(b[6]), true
	case maskRegister:
		return 10, true
	case encapsulated:
		return 7, true
	}
	return 0, false
}

// crc is the checksum of Modbus over Serial Line V1.02, 6.2.2.
func crc(b []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, c := range b {
		sum = sum>>8 ^ crcTable[byte(sum)^c]
	}
	return sum
}

var crcTable = func() (table [256]uint16) {
	for i := range table {
		sum := uint16(i)
		for range 8 {
			odd := sum & 1
			sum = sum>>1 ^ odd*0xA001
		}
		table[i] = sum
	}
	return table
}()
