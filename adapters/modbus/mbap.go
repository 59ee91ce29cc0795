package modbus

import (
	"bytes"
	"encoding/binary"
	"fmt"

	goburrow "github.com/goburrow/modbus"
)

// A frame is the MBAP header (transaction, protocol and length of two bytes
// each, unit of one) and a PDU (Modbus Messaging on TCP/IP V1.0b, 3.1.3).
const (
	headerSize = 7
	maxFrame   = 260

	exceptionSize = headerSize + 2
	exceptionFlag = 0x80

	// maxOld is how many transactions may lie between a request and a late answer
	// that is still known for one.
	maxOld = 256
)

// mbap is the framing of Modbus TCP.
type mbap struct {
	// One packager for all units: a transaction id comes back only after 65,536
	// requests, whichever unit they were for.
	*goburrow.TCPClientHandler
}

func (f mbap) ask(unit uint8) { f.SlaveId = unit }

// find drops answers to earlier requests of the connection, which came too late
// or twice.
func (f mbap) find(request []byte, want *reply, earlier int, b []byte) (r found) {
	for {
		rest := b[r.drop:]
		end, err := endOfOld(request, 1, earlier, rest)
		if err != nil {
			return found{wrong: err}
		}
		if end == 0 {
			n, err := replyLength(request, want, rest)
			if err != nil {
				return found{wrong: err}
			}
			if n > 0 {
				r.answer = rest[:n]
			}
			return r
		}
		if len(rest) < end {
			return r
		}
		r.drop += end
	}
}

// follows reports whether b may follow the answer to request: another copy of it,
// or an answer to an earlier one.
func (f mbap) follows(request []byte, earlier int, b []byte) bool {
	for len(b) >= headerSize {
		end, err := endOfOld(request, 0, earlier, b)
		if err != nil || end == 0 {
			return false
		}
		if len(b) <= end {
			return true
		}
		b = b[end:]
	}
	return true
}

// endOfOld is the length of the frame at the start of b if it answers a
// transaction that is youngest to earlier ones before that of the request, else 0.
func endOfOld(request []byte, youngest, earlier int, b []byte) (int, error) {
	if len(b) < headerSize {
		return 0, nil
	}
	age := int(binary.BigEndian.Uint16(request) - binary.BigEndian.Uint16(b))
	if age < youngest || age > min(earlier, maxOld) {
		return 0, nil
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if !bytes.Equal(b[2:4], request[2:4]) || length < exceptionSize-headerSize+1 || length > maxFrame-headerSize+1 {
		return 0, fmt.Errorf("answer to an earlier transaction with protocol %d and length %d", binary.BigEndian.Uint16(b[2:]), length)
	}
	return headerSize - 1 + length, nil
}

// replyLength is the length of the frame at the start of b, which is the whole
// answer, or the exception; 0 while more bytes are needed. It fails as soon as b
// can't become that.
func replyLength(request []byte, want *reply, b []byte) (int, error) {
	if len(b) < exceptionSize {
		return 0, nil
	}
	if !bytes.Equal(b[:2], request[:2]) {
		return 0, fmt.Errorf("answer to transaction %d, expected %d", binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(request))
	}
	if !bytes.Equal(b[2:4], request[2:4]) {
		return 0, fmt.Errorf("protocol %d, expected 0", binary.BigEndian.Uint16(b[2:]))
	}
	if b[6] != request[6] {
		return 0, fmt.Errorf("answer of unit %d, expected %d", b[6], request[6])
	}
	size, err := want.length(b[headerSize:])
	if err != nil {
		return 0, err
	}
	length := int(binary.BigEndian.Uint16(b[4:])) - 1
	switch {
	case size > 0 && length != size:
		return 0, fmt.Errorf("length %d, expected %d", length+1, size+1)
	case size == 0 && (length > maxPDU || len(b) >= headerSize+length):
		return 0, fmt.Errorf("length %d, which is another than that of what follows", length+1)
	case size == 0 || len(b) < headerSize+size:
		return 0, nil
	}
	return headerSize + size, nil
}
