// Package sml reads the files that meters of the Smart Message Language 1.04 (BSI TR-03109-1,
// annex IV) send by themselves: the transport that frames them, their messages, and the
// registers in them. It does no I/O.
package sml

import (
	"bytes"
	"fmt"

	"github.com/busbar/busbar/adapters/crc16"
)

// longest bounds a file, in bytes. Real ones have some 200 to 1,000.
const longest = 16 << 10

var (
	escape = []byte{0x1B, 0x1B, 0x1B, 0x1B}
	begin  = []byte{0x1B, 0x1B, 0x1B, 0x1B, 0x01, 0x01, 0x01, 0x01}
)

// Splitter finds the files in a stream of bytes that may begin anywhere.
type Splitter struct {
	raw  []byte // from its beginning on, as it came
	file []byte
	in   bool
	seen int // of raw, the bytes that file has
}

// Write takes the next bytes and calls do for each file that is whole, without the transport
// around it, and with an error for what was none. The file is valid until do returns.
func (s *Splitter) Write(data []byte, do func(file []byte, err error)) {
	s.raw = append(s.raw, data...)
	for {
		if !s.in {
			at := bytes.Index(s.raw, begin)
			if at < 0 { // its end may be the beginning of one
				s.cut(max(0, len(s.raw)-len(begin)+1))
				return
			}
			s.cut(at)
			s.in, s.seen, s.file = true, len(begin), s.file[:0]
		}
		done, err := s.next()
		switch {
		case err != nil:
			do(nil, err)
			s.in = false
			s.cut(len(escape)) // what follows may begin another one
		case done > 0:
			do(s.file, nil)
			s.in = false
			s.cut(done)
		default:
			return
		}
	}
}

func (s *Splitter) cut(n int) { s.raw = s.raw[:copy(s.raw, s.raw[n:])] }

// next goes on with the file in raw. done is where it ends; 0 if more has to come.
func (s *Splitter) next() (done int, err error) {
	for {
		rest := s.raw[s.seen:]
		if len(s.file) > longest {
			return 0, fmt.Errorf("more than %d bytes without the end of a file", longest)
		}
		at := bytes.Index(rest, escape)
		if at < 0 { // the last three bytes may begin an escape sequence
			n := max(0, len(rest)-len(escape)+1)
			s.file = append(s.file, rest[:n]...)
			s.seen += n
			return 0, nil
		}
		s.file = append(s.file, rest[:at]...)
		s.seen += at
		if rest = rest[at+len(escape):]; len(rest) < 4 {
			return 0, nil
		}
		switch {
		case bytes.HasPrefix(rest, escape):
			s.file = append(s.file, escape...)
			s.seen += 2 * len(escape)
		case rest[0] == 0x1A:
			end := s.seen + 2*len(escape)
			return end, s.finish(int(rest[1]), s.raw[:end-2], uint16(rest[2])|uint16(rest[3])<<8)
		case bytes.HasPrefix(rest, begin[len(escape):]):
			return 0, fmt.Errorf("a file has no end")
		default:
			return 0, fmt.Errorf("an escape sequence % X, which is none", rest[:4])
		}
	}
}

// finish takes the padding off and checks the checksum. Most meters use that of X.25; some, of
// Holley, the same polynomial from 0 (Kermit).
func (s *Splitter) finish(padding int, checked []byte, told uint16) error {
	if padding > 3 || padding > len(s.file) {
		return fmt.Errorf("%d bytes of padding, expected 0 to 3", padding)
	}
	if is := x25(checked); is != told && kermit(checked) != told {
		return fmt.Errorf("the checksum is %04X, the file says %04X", is, told)
	}
	s.file = s.file[:len(s.file)-padding]
	return nil
}

func x25(data []byte) uint16    { return ^crcTable.Update(0xFFFF, data) }
func kermit(data []byte) uint16 { return crcTable.Update(0, data) }

var crcTable = crc16.Of(0x8408)
