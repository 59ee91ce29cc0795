// Package payload reads and writes the messages of Sparkplug B 3.0 (chapter 6 of its
// specification), which are Google Protocol Buffers. What is read lies in the bytes of
// the message: it is valid as long as they aren't changed.
package payload

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Payload is a message.
type Payload struct {
	// Timestamp is when it was sent, in ms since 1970-01-01 UTC.
	Timestamp    uint64
	HasTimestamp bool
	// Seq counts the messages of an edge node, from 0 to 255 and again from 0.
	Seq     uint64
	HasSeq  bool
	Metrics []Metric
	UUID    []byte // of the schema of Body
	Body    []byte
}

// Metric is a value of a message.
type Metric struct {
	Name  []byte // of a birth, or without an alias
	Alias uint64 // what stands for the name after the birth
	// Timestamp is when the value was acquired, in ms since 1970-01-01 UTC.
	Timestamp    uint64
	Properties   []byte // an encoded PropertySet
	Value        Value
	Type         DataType // Unknown: not given
	HasAlias     bool
	HasTimestamp bool
	Historical   bool // it doesn't change what is current
	Transient    bool // it isn't to be stored
	Null         bool // there is no value
}

const (
	// MaxMetrics bounds the metrics of a message, and of a template.
	MaxMetrics = 50_000
	// MaxDepth bounds how deep templates lie in templates.
	MaxDepth = 8
)

// Names of metrics that the specification gives: the number of a session, and what asks for
// births.
const (
	BdSeq   = "bdSeq"
	Rebirth = "Node Control/Rebirth"
)

// ErrMalformed is that bytes aren't what they should be.
var ErrMalformed = errors.New("malformed Sparkplug payload")

// ErrTooLarge is that a message has, or would become, more than is taken.
var ErrTooLarge = errors.New("Sparkplug payload too large")

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// Decode reads a message. It uses the room that Metrics has. Metrics that are compressed
// stay in Body: see Decoder.
func (p *Payload) Decode(b []byte) error {
	*p = Payload{Metrics: p.Metrics[:0]}
	return fields(b, "payload", func(num protowire.Number, f field) error {
		switch {
		case num == 1 && f.varint():
			p.Timestamp, p.HasTimestamp = f.number, true
		case num == 2 && f.delimited():
			if len(p.Metrics) == MaxMetrics {
				return fmt.Errorf("%w: more than %d metrics", ErrTooLarge, MaxMetrics)
			}
			p.Metrics = append(p.Metrics, Metric{})
			return p.Metrics[len(p.Metrics)-1].decode(f.bytes)
		case num == 3 && f.varint():
			p.Seq, p.HasSeq = f.number, true
		case num == 4 && f.delimited():
			p.UUID = f.bytes
		case num == 5 && f.delimited():
			p.Body = f.bytes
		}
		return nil
	})
}

func (m *Metric) decode(b []byte) error {
	for len(b) > 0 {
		num, f, n := next(b)
		if n < 0 {
			return malformed("metric")
		}
		b = b[n:]
		switch {
		case num == 1 && f.delimited():
			m.Name = f.bytes
		case num == 2 && f.varint():
			m.Alias, m.HasAlias = f.number, true
		case num == 3 && f.varint():
			m.Timestamp, m.HasTimestamp = f.number, true
		case num == 4 && f.varint():
			m.Type = DataType(min(f.number, uint64(unheardOf)))
		case num == 5 && f.varint():
			m.Historical = f.number != 0
		case num == 6 && f.varint():
			m.Transient = f.number != 0
		case num == 7 && f.varint():
			m.Null = f.number != 0
		case num == 9 && f.delimited():
			m.Properties = f.bytes
		case num >= 10:
			m.Value.take(num-10, f, metricForms)
		}
	}
	return nil
}

// field is what one field of a message holds.
type field struct {
	wire   protowire.Type
	number uint64 // of a varint, or the bits of a fixed one
	bytes  []byte
}

func (f field) varint() bool    { return f.wire == protowire.VarintType }
func (f field) delimited() bool { return f.wire == protowire.BytesType }

// next reads the first field of b, which takes n bytes; n is negative if it is none.
func next(b []byte) (num protowire.Number, f field, n int) {
	num, wire, tag := protowire.ConsumeTag(b)
	if tag < 0 {
		return 0, f, tag
	}
	f.wire = wire
	switch wire {
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(b[tag:])
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b[tag:])
	case protowire.Fixed32Type:
		var bits uint32
		bits, n = protowire.ConsumeFixed32(b[tag:])
		f.number = uint64(bits)
	case protowire.Fixed64Type:
		f.number, n = protowire.ConsumeFixed64(b[tag:])
	default:
		n = protowire.ConsumeFieldValue(num, wire, b[tag:])
	}
	if n < 0 {
		return 0, f, n
	}
	return num, f, tag + n
}

// fields gives take each field of b.
func fields(b []byte, what string, take func(protowire.Number, field) error) error {
	for len(b) > 0 {
		num, f, n := next(b)
		if n < 0 {
			return malformed(what)
		}
		b = b[n:]
		if err := take(num, f); err != nil {
			return err
		}
	}
	return nil
}

// Append encodes the message behind dst.
func (p Payload) Append(dst []byte) []byte {
	if p.HasTimestamp {
		dst = appendVarint(dst, 1, p.Timestamp)
	}
	for i := range p.Metrics {
		dst = appendMessage(dst, 2, p.Metrics[i].append)
	}
	if p.HasSeq {
		dst = appendVarint(dst, 3, p.Seq)
	}
	if p.UUID != nil {
		dst = appendBytes(dst, 4, p.UUID)
	}
	if p.Body != nil {
		dst = appendBytes(dst, 5, p.Body)
	}
	return dst
}

func (m *Metric) append(dst []byte) []byte {
	if m.Name != nil {
		dst = appendBytes(dst, 1, m.Name)
	}
	if m.HasAlias {
		dst = appendVarint(dst, 2, m.Alias)
	}
	if m.HasTimestamp {
		dst = appendVarint(dst, 3, m.Timestamp)
	}
	if m.Type != Unknown {
		dst = appendVarint(dst, 4, uint64(m.Type))
	}
	for num, set := range [...]bool{5: m.Historical, 6: m.Transient, 7: m.Null} {
		if set {
			dst = appendVarint(dst, protowire.Number(num), 1)
		}
	}
	if m.Properties != nil {
		dst = appendBytes(dst, 9, m.Properties)
	}
	return m.Value.append(dst, 10, metricForms)
}

func appendVarint(dst []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}

func appendBytes(dst []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), v)
}

// appendMessage encodes a message as a field of another one.
func appendMessage(dst []byte, num protowire.Number, message func([]byte) []byte) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	begin := len(dst)
	dst = message(dst)
	length := len(dst) - begin
	size := protowire.SizeVarint(uint64(length))
	dst = append(dst, make([]byte, size)...)
	copy(dst[begin+size:], dst[begin:begin+length])
	protowire.AppendVarint(dst[:begin], uint64(length))
	return dst
}
