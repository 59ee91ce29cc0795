package opcuaconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"

	"github.com/gopcua/opcua/ua"
)

// Bounds of what is sent to us, in bytes (OPC 10000-6, 7.1.2.3).
const (
	longestChunk   = 65535
	longestMessage = 4 << 20
	shortestChunk  = 8192 // that either side has to take
	chunkHeader    = 12   // type, size and channel
	sequenceHeader = 8    // sequence number and request
	mostReason     = 256  // of the text of an error that a server sends
)

// Kinds of messages, in the first three bytes of a chunk, and the fourth one.
const (
	hello, acknowledge, failure  = "HEL", "ACK", "ERR"
	open, message, closing       = "OPN", "MSG", "CLO"
	final, intermediate, aborted = 'F', 'C', 'A'
)

var errWire = errors.New("the server sends what isn't OPC UA")

// readChunk reads the next chunk into buffer, and returns it with its header.
func readChunk(r io.Reader, buffer []byte) ([]byte, error) {
	head := buffer[:8]
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	switch kind := string(head[:3]); kind {
	case acknowledge, failure, open, message, closing:
	default:
		return nil, fmt.Errorf("%w: a message that begins with %q", errWire, head[:4])
	}
	switch head[3] {
	case final, intermediate, aborted:
	default:
		return nil, fmt.Errorf("%w: a chunk of the type %q", errWire, head[3])
	}
	size := binary.LittleEndian.Uint32(head[4:])
	if size < 8 || int64(size) > int64(len(buffer)) {
		return nil, fmt.Errorf("%w: a chunk of %d bytes", errWire, size)
	}
	if _, err := io.ReadFull(r, buffer[8:size]); err != nil {
		return nil, err
	}
	return buffer[:size], nil
}

// serverError is an error message of the server, after which it ends the connection
// (OPC 10000-6, 7.1.2.5).
type serverError struct {
	status ua.StatusCode
	reason string
}

func (e *serverError) Error() string {
	if e.reason == "" {
		return fmt.Sprintf("the server ends the connection: %s", Status(e.status))
	}
	return fmt.Sprintf("the server ends the connection: %s: %s", Status(e.status), e.reason)
}

func (e *serverError) Unwrap() error { return e.status }

// decodeServerError reads a status and its reason, of an error message or of an answer that
// is broken off (OPC 10000-6, 7.1.2.5 and 6.7.3).
func decodeServerError(body []byte) (*serverError, error) {
	if len(body) < 4 {
		return nil, fmt.Errorf("%w: an error of %d bytes", errWire, len(body))
	}
	reason, _, ok := field(body[4:])
	if !ok {
		return nil, fmt.Errorf("%w: an error whose reason isn't there", errWire)
	}
	return &serverError{ua.StatusCode(binary.LittleEndian.Uint32(body)), shorten(string(reason))}, nil
}

// field splits off what begins with its length; nothing is a length of -1.
func field(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int64(int32(binary.LittleEndian.Uint32(b)))
	if b = b[4:]; n > int64(len(b)) {
		return nil, nil, false
	}
	n = max(n, 0)
	return b[:n], b[n:], true
}

// shorten bounds a text of the server, and makes it one that can be printed.
func shorten(text string) string {
	clean := []rune{}
	for _, r := range text {
		if len(clean) == mostReason {
			break
		}
		if !printable(string(r)) {
			r = ' '
		}
		clean = append(clean, r)
	}
	return string(clean)
}

// bounds are what the server takes, in bytes and chunks; 0 is no bound.
type bounds struct {
	chunk, message, chunks int
}

// shake exchanges Hello and Acknowledge (OPC 10000-6, 7.1.2.3).
func shake(conn net.Conn, endpoint string) (bounds, error) {
	var body []byte
	for _, v := range [...]uint32{0, longestChunk, longestChunk, longestMessage, 0} { // version, receive, send, message, and as many chunks as that has
		body = binary.LittleEndian.AppendUint32(body, v)
	}
	body = appendBytes(body, []byte(endpoint))
	out := append([]byte(hello), final)
	out = binary.LittleEndian.AppendUint32(out, uint32(8+len(body)))
	if _, err := conn.Write(append(out, body...)); err != nil {
		return bounds{}, err
	}
	chunk, err := readChunk(conn, make([]byte, shortestChunk))
	if err != nil {
		return bounds{}, err
	}
	body = chunk[8:]
	switch string(chunk[:3]) {
	case failure:
		refused, err := decodeServerError(body)
		if err != nil {
			return bounds{}, err
		}
		return bounds{}, refused
	case acknowledge:
	default:
		return bounds{}, fmt.Errorf("%w: %q instead of an acknowledgement", errWire, chunk[:3])
	}
	if len(body) < 20 {
		return bounds{}, fmt.Errorf("%w: an acknowledgement of %d bytes", errWire, len(body))
	}
	number := func(i int) int { return int(min(binary.LittleEndian.Uint32(body[4*i:]), math.MaxInt32)) }
	most := bounds{chunk: min(number(1), longestChunk), message: number(3), chunks: number(4)}
	if most.chunk < shortestChunk {
		return bounds{}, fmt.Errorf("%w: it takes chunks of %d bytes only", errWire, most.chunk)
	}
	return most, nil
}

// Status is a status code as the specification names it.
func Status(code ua.StatusCode) string {
	if d, ok := ua.StatusCodes[code]; ok && len(d.Name) > len("Status") {
		return d.Name[len("Status"):]
	}
	return fmt.Sprintf("status %#08x", uint32(code))
}
