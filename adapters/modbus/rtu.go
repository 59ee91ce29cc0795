package modbus

import (
	"bytes"

	goburrow "github.com/goburrow/modbus"
)

// A frame is the unit, a PDU and a checksum of two bytes (Modbus over Serial Line
// V1.02, 2.5.1).
const (
	maxRTU          = 256
	rtuExtra        = 1 + 2 + 2 // around the data of an answer: unit, function and size, checksum
	rtuExceptionEnd = 1 + 2 + 2
)

// rtu is the framing of serial lines. A frame has no number and no start, so what
// is looked for is one of the unit, function and size that were asked for, with a
// right checksum, wherever it begins: noise goes before it when a transmitter is
// switched on, and the request itself on lines where the sender hears itself.
type rtu struct {
	*goburrow.RTUClientHandler
}

func (f rtu) ask(unit uint8) { f.SlaveId = unit }

func (f rtu) find(request []byte, data, _ int, b []byte) (r found) {
	if n := min(len(b), len(request)); bytes.Equal(b[:n], request[:n]) {
		if n < len(request) {
			return r
		}
		b = b[n:]
	}
	unit, function := request[0], request[1]
	for at := range b {
		rest := b[at:]
		if rest[0] != unit {
			continue
		}
		end := 0
		switch {
		case len(rest) < 2:
			continue
		case rest[1] == function|exceptionFlag:
			end = rtuExceptionEnd
		case rest[1] == function && len(rest) > 2 && int(rest[2]) == data:
			end = rtuExtra + data
		default:
			continue
		}
		r.begun = true
		if len(rest) < end {
			continue
		}
		if _, err := f.Decode(rest[:end]); err != nil {
			r.broken = true
			continue
		}
		// An answer can have the bytes of the request, and then can't be told from
		// its echo.
		if !bytes.Equal(rest[:end], request) {
			return found{answer: rest[:end]}
		}
	}
	return r
}

// follows is true: what follows an answer is passed over while the line settles.
func (f rtu) follows([]byte, int, []byte) bool { return true }
