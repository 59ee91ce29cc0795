package modbus

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A frame is the MBAP header (transaction, protocol and length of two bytes
// each, unit of one) and a PDU (Modbus Messaging on TCP/IP V1.0b, 3.1.3).
const (
	headerSize = 7
	maxFrame   = 260

	exceptionSize = headerSize + 2
	exceptionFlag = 0x80
)

// replyLength is the length of the frame at the start of b, which is the whole
// answer, or the exception, to a read of data bytes; 0 while more bytes are
// needed. It fails as soon as b can't become that answer.
func replyLength(request []byte, data int, b []byte) (int, error) {
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
	function, size := request[headerSize], headerSize+2+data
	switch b[headerSize] {
	case function:
		if int(b[8]) != data {
			return 0, fmt.Errorf("%d bytes of data, expected %d", b[8], data)
		}
	case function | exceptionFlag:
		size = exceptionSize
	default:
		return 0, fmt.Errorf("answer to function %d, expected %d", b[headerSize], function)
	}
	if length := int(binary.BigEndian.Uint16(b[4:])); length != size-headerSize+1 {
		return 0, fmt.Errorf("length %d, expected %d", length, size-headerSize+1)
	}
	if len(b) < size {
		return 0, nil
	}
	return size, nil
}
