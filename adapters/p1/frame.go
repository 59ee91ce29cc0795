// Package p1 reads the telegrams that meters send through their customer port (DSMR P1 2.2
// to 5.0, eMUCS-P1 and the ports made after them), also encrypted ones. It does no I/O.
package p1

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/busbar/busbar/adapters/crc16"
)

// longest bounds a telegram, in bytes. Real ones have up to some 3,000.
const longest = 16 << 10

// longestEnd bounds what stands behind the !, in bytes.
const longestEnd = 64

// Splitter finds the telegrams in a stream of bytes that may begin anywhere.
type Splitter struct {
	buffer []byte
	in     bool // in a telegram; buffer begins with /
	ending bool // and at its end, behind the !
}

// errShort is that a telegram begins before the one before it has ended.
var errShort = errors.New("a telegram has no end")

// Write takes the next bytes and calls do for each telegram that is whole, from / to the end
// of the line that begins with !, and with an error for what was no telegram. The telegram is
// valid until do returns.
func (s *Splitter) Write(data []byte, do func(telegram []byte, err error)) {
	for len(data) > 0 {
		if !s.in {
			at := bytes.IndexByte(data, '/')
			if at < 0 {
				return
			}
			s.in, s.ending, s.buffer = true, false, append(s.buffer[:0], '/')
			data = data[at+1:]
			continue
		}
		if s.ending {
			n := bytes.IndexByte(data, '\n') + 1
			if n == 0 {
				n = len(data)
			}
			if s.buffer = append(s.buffer, data[:min(n, longestEnd)]...); s.buffer[len(s.buffer)-1] == '\n' || n > longestEnd {
				s.in = false
				do(s.buffer, nil)
			}
			data = data[n:]
			continue
		}
		n := bytes.IndexAny(data, "/!")
		switch whole := n >= 0 && data[n] == '!'; {
		case len(s.buffer)+max(n, 0) > longest || n < 0 && len(s.buffer)+len(data) > longest:
			s.in = false
			do(nil, fmt.Errorf("more than %d bytes without the end of a telegram", longest))
			data = data[max(n, 0):]
			if n < 0 {
				return
			}
		case n < 0:
			s.buffer = append(s.buffer, data...)
			return
		case whole:
			s.buffer, s.ending = append(s.buffer, data[:n+1]...), true
			data = data[n+1:]
		default: // neither character is in a telegram but at its ends
			do(nil, errShort)
			s.in = false
			data = data[n:]
		}
	}
}

// checksum is the CRC-16 of a telegram: polynomial 0x8005 reflected, from 0 (DSMR P1 5.0.2, 5.2).
func checksum(data []byte) uint16 { return crcTable.Update(0, data) }

var crcTable = crc16.Of(0xA001)

// verify checks the checksum of a telegram and returns what stands between its header and
// the line with !. checked is false if the telegram has none, as those before DSMR 4.
func verify(telegram []byte) (header, block []byte, checked bool, err error) {
	end := bytes.LastIndexByte(telegram, '!')
	if len(telegram) == 0 || telegram[0] != '/' || end < 0 {
		return nil, nil, false, errors.New("a telegram begins with / and ends with a line that begins with !")
	}
	header, block, _ = bytes.Cut(telegram[1:end], []byte("\n"))
	header = bytes.TrimSpace(header)
	told := bytes.TrimSpace(telegram[end+1:])
	if len(told) == 0 {
		for _, c := range telegram {
			if (c < ' ' || c > '~') && c != '\r' && c != '\n' {
				return nil, nil, false, fmt.Errorf("a byte %#02x in a telegram without a checksum, which no telegram has", c)
			}
		}
		return header, block, false, nil
	}
	crc, err := strconv.ParseUint(string(told), 16, 16)
	if err != nil || len(told) != 4 {
		return nil, nil, false, fmt.Errorf("%.20q behind the !, expected four hexadecimal digits", told)
	}
	if is := checksum(telegram[:end+1]); is != uint16(crc) {
		return nil, nil, false, fmt.Errorf("the checksum is %04X, the telegram says %04X", is, crc)
	}
	return header, block, true, nil
}
