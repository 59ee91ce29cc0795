package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Message is a record or a birth as it stands in the log: a key, headers and a
// value.
type Message struct {
	Key     []byte
	Headers []Header
	Value   []byte
}

// Message is the record as it stands in the log, keyed by its gateway.
func (r Record) Message() Message {
	return Message{Key: []byte(r.Gateway), Headers: r.Headers(), Value: r.Payload}
}

// KeyGateway is the gateway under whose key a message stands in the log: of one that
// can't be read there is nothing else to tell by.
func KeyGateway(key []byte) string {
	gateway, _, _ := strings.Cut(string(key), "/") // of births the table follows
	return gateway
}

// MaxMessageBytes bounds a message in its binary form: a log's usual limit.
const MaxMessageBytes = 1 << 20

// The form on the wire: the length of all that follows (32 bits), the key with
// its length (16 bits), the number of headers (8 bits), each with the lengths of
// its name (8 bits) and value (16 bits), and the value. Integers are big-endian.

// AppendBinary appends the message's form on the wire. ReadMessage reads it.
func (m Message) AppendBinary(dst []byte) ([]byte, error) {
	if len(m.Key) > 1<<16-1 || len(m.Headers) > 1<<8-1 {
		return dst, fmt.Errorf("message: a key of %d bytes and %d headers are too long", len(m.Key), len(m.Headers))
	}
	begin := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.Key)))
	dst = append(dst, m.Key...)
	dst = append(dst, byte(len(m.Headers)))
	for _, h := range m.Headers {
		if len(h.Key) > 1<<8-1 || len(h.Value) > 1<<16-1 {
			return dst[:begin], fmt.Errorf("message: header %.40q of %d bytes is too long", h.Key, len(h.Value))
		}
		dst = append(append(dst, byte(len(h.Key))), h.Key...)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.Value)))
		dst = append(dst, h.Value...)
	}
	dst = append(dst, m.Value...)
	size := len(dst) - begin - 4
	if size > MaxMessageBytes {
		return dst[:begin], fmt.Errorf("message: %d bytes, at most %d", size, MaxMessageBytes)
	}
	binary.BigEndian.PutUint32(dst[begin:], uint32(size))
	return dst, nil
}

var errCut = errors.New("message: cut short")

// ReadMessage reads one message. The error is io.EOF if the source ended before
// its first byte, and the source's own if that failed.
func ReadMessage(r io.Reader) (Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Message{}, errCut
		}
		return Message{}, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > MaxMessageBytes {
		return Message{}, fmt.Errorf("message: %d bytes, at most %d", size, MaxMessageBytes)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return Message{}, errCut
		}
		return Message{}, err
	}
	d := decoder{rest: body}
	m := Message{Key: d.take(int(d.uint16())), Headers: make([]Header, d.byte())}
	for i := range m.Headers {
		m.Headers[i].Key = d.string()
		m.Headers[i].Value = d.take(int(d.uint16()))
	}
	if d.short {
		return Message{}, errCut
	}
	m.Value = d.rest
	return m, nil
}

func (d *decoder) uint16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }
