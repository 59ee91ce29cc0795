package modbus

import (
	"bytes"

	goburrow "github.com/goburrow/modbus"
)

// A frame is the unit, a PDU and a checksum of two bytes (Modbus over Serial Line
// V1.02, 2.5.1).
const (
	minRTU   = 5 // an exception
	maxRTU   = 256
	rtuExtra = 1 + 2 // around the PDU
)

// rtu is the framing of serial lines. A frame has no number and no start, so what
// is looked for is one of the unit that begins and ends as expected, with a right
// checksum, wherever it begins: noise goes before it when a transmitter is
// switched on, and the request itself on lines where the sender hears itself.
type rtu struct {
	*goburrow.RTUClientHandler
	echoes bool // the last answer to a read came after the request's echo
}

func (f *rtu) ask(unit uint8) { f.SlaveId = unit }

func (f *rtu) find(request []byte, want *reply, _ int, b []byte) (r found) {
	all := b
	// The answer to a write may be the request itself, and then is the second one on
	// a line that has an echo.
	repeats := want.size+rtuExtra == len(request) && bytes.Equal(want.head[:want.known], request[1:1+want.size])
	passOver := repeats && f.echoes
	if n := min(len(b), len(request)); !repeats && bytes.Equal(b[:n], request[:n]) {
		if n < len(request) {
			return r
		}
		b = b[n:]
	}
	for at := range b {
		rest := b[at:]
		if rest[0] != request[0] {
			continue
		}
		n, err := want.length(rest[1:])
		if err != nil || n == 0 && len(rest) <= want.known {
			continue
		}
		r.begun = true
		end := n + rtuExtra
		if n == 0 || len(rest) < end {
			continue
		}
		if _, err := f.Decode(rest[:end]); err != nil {
			r.broken = true
			continue
		}
		if bytes.Equal(rest[:end], request) && (passOver || !repeats) {
			// The answer to a read can have its bytes too, and then can't be told from
			// its echo.
			passOver = false
			continue
		}
		if !repeats {
			f.echoes = bytes.Contains(all[:len(all)-len(rest)], request)
		}
		return found{answer: rest[:end], after: len(rest) - end}
	}
	return r
}

// follows is true: what follows an answer is passed over while the line settles.
func (f *rtu) follows([]byte, int, []byte) bool { return true }
