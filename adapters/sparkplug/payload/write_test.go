package payload

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/busbar/busbar/telemetry"
)

// arrayValue is an array of the type with the elements.
func arrayValue(t DataType, elements []telemetry.Value) Value {
	b := []byte{}
	switch element := t.Element(); element {
	case String:
		for _, e := range elements {
			b = append(append(b, e.Text()...), 0)
		}
	case Boolean:
		b = binary.LittleEndian.AppendUint32(b, uint32(len(elements)))
		b = append(b, make([]byte, (len(elements)+7)/8)...)
		for i, e := range elements {
			if e.Bits() != 0 {
				b[4+i/8] |= 0x80 >> (i % 8)
			}
		}
	default:
		for _, e := range elements {
			bits := e.Bits()
			if element == Float {
				f, _ := e.Float()
				bits = uint64(math.Float32bits(float32(f)))
			}
			b = append(b, binary.LittleEndian.AppendUint64(nil, bits)[:element.size()]...)
		}
	}
	return BytesValue(b)
}

// compress is the message compressed by an algorithm.
func (p Payload) compress(how string) (Payload, error) {
	var body bytes.Buffer
	var w io.WriteCloser
	switch how {
	case GZIP:
		w = gzip.NewWriter(&body)
	case DEFLATE:
		w = zlib.NewWriter(&body)
	default:
		return Payload{}, fmt.Errorf("no algorithm %q", how)
	}
	w.Write(p.Append(nil)) // a Buffer takes everything
	w.Close()
	return Payload{
		UUID: []byte(compressed), Body: body.Bytes(),
		Metrics: []Metric{{Name: []byte(algorithm), Type: String, Value: StringValue(how)}},
	}, nil
}

// dataSetValue is a table as a value.
func dataSetValue(s DataSet) Value {
	b := appendVarint(nil, 1, uint64(len(s.Columns)))
	for _, c := range s.Columns {
		b = appendBytes(b, 2, c)
	}
	for _, t := range s.Types {
		b = appendVarint(b, 3, uint64(t))
	}
	for _, row := range s.Rows {
		b = appendMessage(b, 4, func(b []byte) []byte {
			for _, cell := range row {
				b = appendMessage(b, 1, func(b []byte) []byte { return cell.append(b, 1, scalarForms) })
			}
			return b
		})
	}
	return Value{form: AsDataSet, bytes: b}
}

// templateValue is a template as a value.
func templateValue(t Template) Value {
	b := []byte{}
	if t.Version != nil {
		b = appendBytes(b, 1, t.Version)
	}
	for i := range t.Metrics {
		b = appendMessage(b, 2, t.Metrics[i].append)
	}
	if t.Ref != nil {
		b = appendBytes(b, 4, t.Ref)
	}
	if t.Definition {
		b = appendVarint(b, 5, 1)
	}
	return Value{form: AsTemplate, bytes: b}
}
