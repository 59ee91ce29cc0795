package modbus

import (
	"fmt"

	goburrow "github.com/goburrow/modbus"
)

// maxPDU is the size of the largest PDU (Modbus Application Protocol V1.1b3, 4.1).
const maxPDU = 253

// reply is what is known of the PDU that answers a request, before it comes.
type reply struct {
	head  [7]byte // how it begins
	known int     // so much of head
	size  int     // of the PDU; 0: it says so itself, which is for function 43 only
}

// readReply answers a read: the function, the number of bytes, and these.
func readReply(r request) reply {
	return reply{head: [7]byte{r.function(), byte(r.bytes())}, known: 2, size: 2 + r.bytes()}
}

// writeReply answers a write, of which it repeats the function, the address and
// the value or count; all of function 22.
func writeReply(pdu goburrow.ProtocolDataUnit) reply {
	size := 5
	if pdu.FunctionCode == goburrow.FuncCodeMaskWriteRegister {
		size = 7
	}
	r := reply{head: [7]byte{pdu.FunctionCode}, known: size, size: size}
	copy(r.head[1:size], pdu.Data)
	return r
}

// longest is how many bytes the PDU has at most.
func (r *reply) longest() int {
	if r.size == 0 {
		return maxPDU
	}
	return r.size
}

// length is how long the PDU is that begins with b, the answer or the exception; 0
// while its bytes don't say it yet. It fails as soon as b can't become either.
func (r *reply) length(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if b[0] == r.head[0]|exceptionFlag {
		return 2, nil
	}
	for i := range min(len(b), r.known) {
		switch got, want := b[i], r.head[i]; {
		case got == want:
		case i == 0:
			return 0, fmt.Errorf("answer to function %d, expected %d", got, want)
		case r.size == 2+int(r.head[1]):
			return 0, fmt.Errorf("%d bytes of data, expected %d", got, want)
		default:
			return 0, fmt.Errorf("answer % x, expected % x", b[:min(len(b), r.known)], r.head[:r.known])
		}
	}
	switch {
	case len(b) < r.known:
		return 0, nil
	case r.size > 0:
		return r.size, nil
	}
	return identificationLength(b)
}

// Where the answer of function 43/14 says how many objects it has, and the first
// of them begins with its number and its length (V1.1b3, 6.21).
const (
	objectCountAt = 6
	objectsAt     = 7
)

// identificationLength is the length of an answer of function 43/14.
func identificationLength(b []byte) (int, error) {
	if len(b) < objectsAt {
		return 0, nil
	}
	end := objectsAt
	for range b[objectCountAt] {
		if len(b) < end+2 {
			return 0, nil
		}
		if end += 2 + int(b[end+1]); end > maxPDU {
			return 0, fmt.Errorf("objects of more than %d bytes", maxPDU)
		}
	}
	return end, nil
}
