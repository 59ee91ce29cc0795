package payload

import (
	"encoding/hex"
	"testing"
)

func seeds(f *testing.F) {
	whole, err := hex.DecodeString(named)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(data(3))
	inner := templateValue(Template{Ref: []byte("r"), Metrics: []Metric{{Name: []byte("m"), Type: Int8, Value: IntValue(Int8, -1)}}})
	nested := templateValue(Template{Metrics: []Metric{{Name: []byte("t"), Type: TemplateType, Value: inner}}})
	properties := AppendProperties(nil, []Property{{Name: []byte("quality"), Type: Int32, Value: IntValue(Int32, 192)}, {Name: []byte("s"), Type: PropertySetType, Value: Value{form: AsPropertySet, bytes: AppendProperties(nil, []Property{{Name: []byte("x"), Type: String, Value: StringValue("y")}})}}})
	p := Payload{Seq: 1, HasSeq: true, Metrics: []Metric{
		{Name: []byte("t"), Type: TemplateType, Value: nested, Properties: properties},
		{Name: []byte("d"), Type: DataSetType, Value: dataSetValue(DataSet{Columns: [][]byte{[]byte("c")}, Types: []DataType{Int8}, Rows: [][]Value{{IntValue(Int8, 1)}}})},
		{Name: []byte("a"), Type: BooleanArray, Value: BytesValue([]byte{3, 0, 0, 0, 0xA0})},
		{Name: []byte("s"), Type: StringArray, Value: BytesValue([]byte("a\x00"))},
	}}
	f.Add(p.Append(nil))
	for _, how := range []string{GZIP, DEFLATE} {
		c, err := p.compress(how)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.Append(nil))
	}
}

// visit reads everything that there is within metrics, and returns how many there are.
func visit(metrics []Metric, depth int) {
	if depth > MaxDepth {
		return
	}
	for _, m := range metrics {
		for _, v := range []DataType{m.Type, m.Value.Natural()} {
			m.Value.Scalar(v)
			m.Value.Array(nil, v, 1000)
		}
		m.Value.DataSet()
		if t, err := m.Value.Template(); err == nil {
			visit(t.Metrics, depth+1)
		}
		Properties(nil, m.Properties)
	}
}

// Whatever comes, it is read or refused, and what was read means the same once it is
// written again.
func FuzzPayload(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again Payload
		if p.Decode(b) != nil {
			return
		}
		visit(p.Metrics, 0)
		first := p.Append(nil)
		if err := again.Decode(first); err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if second := again.Append(nil); string(second) != string(first) {
			t.Fatalf("%x became %x", first, second)
		}
	})
}

// The same of messages that may be compressed.
func FuzzDecoder(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Decoder
		if d.Decode(b) == nil {
			visit(d.Metrics, 0)
		}
		if d.inflated.Cap() > 4*MaxInflated {
			t.Errorf("%d bytes are kept", d.inflated.Cap())
		}
	})
}
