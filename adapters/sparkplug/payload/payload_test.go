package payload

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

// The example of 6.4.2 (Payload Metric Naming Convention), encoded by hand after the
// schema of 6.4.1.
const named = "08eaf2f5a8a02b" + "121c" + "0a094d79204d6574726963" + "1001" + "18a2828395862b" + "200c" + "7a0454657374" + "1802"

func TestTheSpecificationsMessage(t *testing.T) {
	b, err := hex.DecodeString(named)
	if err != nil {
		t.Fatal(err)
	}
	want := Payload{
		Timestamp: 1486144502122, HasTimestamp: true, Seq: 2, HasSeq: true,
		Metrics: []Metric{{
			Name: []byte("My Metric"), Alias: 1, HasAlias: true, Timestamp: 1479123452194, HasTimestamp: true,
			Type: String, Value: StringValue("Test"),
		}},
	}
	var got Payload
	if err := got.Decode(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if again := want.Append(nil); !bytes.Equal(again, b) {
		t.Errorf("encoded as %x, expected %s", again, named)
	}
}

// Integers have their sign where their type says, whatever they travel in.
func TestScalars(t *testing.T) {
	for _, c := range []struct {
		t    DataType
		v    Value
		want telemetry.Value
	}{
		{Int8, IntValue(Int8, -1), telemetry.IntValue(-1)},
		{Int8, Value{form: AsInt, bits: 0xFF}, telemetry.IntValue(-1)},
		{Int8, Value{form: AsInt, bits: 0x80}, telemetry.IntValue(-128)},
		{Int16, Value{form: AsInt, bits: 0xFFFF}, telemetry.IntValue(-1)},
		{Int16, IntValue(Int16, math.MinInt16), telemetry.IntValue(math.MinInt16)},
		{Int32, IntValue(Int32, math.MinInt32), telemetry.IntValue(math.MinInt32)},
		{Int32, Value{form: AsLong, bits: 0xFFFFFFFF}, telemetry.IntValue(-1)},
		{Int64, IntValue(Int64, math.MinInt64), telemetry.IntValue(math.MinInt64)},
		{Int64, Value{form: AsInt, bits: 0xFFFFFFFF}, telemetry.IntValue(-1)},
		{UInt8, IntValue(UInt8, 255), telemetry.UintValue(255)},
		{UInt16, IntValue(UInt16, 65535), telemetry.UintValue(65535)},
		{UInt32, IntValue(UInt32, math.MaxUint32), telemetry.UintValue(math.MaxUint32)},
		{UInt32, Value{form: AsLong, bits: math.MaxUint32}, telemetry.UintValue(math.MaxUint32)},
		{UInt64, IntValue(UInt64, -1), telemetry.UintValue(math.MaxUint64)},
		{Float, FloatValue(1.5), telemetry.FloatValue(1.5)},
		{Double, DoubleValue(math.Inf(-1)), telemetry.FloatValue(math.Inf(-1))},
		{Boolean, BooleanValue(true), telemetry.BoolValue(true)},
		{Boolean, IntValue(Int8, 0), telemetry.BoolValue(false)},
		{DateTime, IntValue(DateTime, 1656107875000), telemetry.IntValue(1656107875000)},
		{Text, StringValue("x"), telemetry.TextValue("x")},
		{UUID, StringValue("0b5e"), telemetry.TextValue("0b5e")},
	} {
		p := Payload{Metrics: []Metric{{Type: c.t, Value: c.v}}}
		var d Payload
		if err := d.Decode(p.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Metrics[0].Value.Scalar(c.t); err != nil || got != c.want {
			t.Errorf("%s %+v: %v, %v, expected %v", c.t, c.v, got, err, c.want)
		}
	}
	for _, c := range []struct {
		t DataType
		v Value
	}{{Int8, StringValue("1")}, {String, IntValue(Int8, 1)}, {Boolean, Value{}}, {Float, IntValue(Int32, 1)}, {Bytes, BytesValue(nil)}} {
		if v, err := c.v.Scalar(c.t); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s %+v: %v, %v", c.t, c.v, v, err)
		}
	}
}

func ints(of func(int64) telemetry.Value, list ...int64) (values []telemetry.Value) {
	for _, v := range list {
		values = append(values, of(v))
	}
	return values
}

// The examples of 6.4.16, Array Types. Left out are those that contradict the text beside
// them: that of Int8Array (-23 isn't 0xEF), those of FloatArray and DoubleArray (they are
// big endian), and that of DateTimeArray (its elements have six bytes and not eight).
func TestTheSpecificationsArrays(t *testing.T) {
	signed := func(v int64) telemetry.Value { return telemetry.IntValue(v) }
	unsigned := func(v int64) telemetry.Value { return telemetry.UintValue(uint64(v)) }
	truth := func(v int64) telemetry.Value { return telemetry.BoolValue(v != 0) }
	for _, c := range []struct {
		t    DataType
		b    []byte
		want []telemetry.Value
	}{
		{Int16Array, []byte{0xD0, 0x8A, 0x30, 0x75}, ints(signed, -30000, 30000)},
		{Int32Array, []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFA, 0xAF, 0xCB, 0x12}, ints(signed, -1, 315338746)},
		{Int64Array, []byte{0xCE, 0x06, 0x72, 0xAC, 0x18, 0x9C, 0xBA, 0xC4, 0xC4, 0xBA, 0x9C, 0x18, 0xAC, 0x72, 0x06, 0xCE}, ints(signed, -4270929666821191986, -3601064768563266876)},
		{UInt8Array, []byte{0x17, 0xFA}, ints(unsigned, 23, 250)},
		{UInt16Array, []byte{0x1E, 0x00, 0x88, 0xCC}, ints(unsigned, 30, 52360)},
		{UInt32Array, []byte{0x34, 0, 0, 0, 0x49, 0xFB, 0x55, 0xC4}, ints(unsigned, 52, 3293969225)},
		{UInt64Array, []byte{0x34, 0, 0, 0, 0, 0, 0, 0, 0xD9, 0x9E, 0x02, 0xD1, 0xB2, 0x76, 0x37, 0xE4}, []telemetry.Value{telemetry.UintValue(52), telemetry.UintValue(16444743074749521625)}},
		{BooleanArray, []byte{0x0C, 0, 0, 0, 0x34, 0xD0}, ints(truth, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1)},
		{StringArray, []byte("ABC\x00hello\x00"), []telemetry.Value{telemetry.TextValue("ABC"), telemetry.TextValue("hello")}},
	} {
		got, err := BytesValue(c.b).Array(nil, c.t, 100)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v, expected %v", c.t, got, err, c.want)
		}
		if b := arrayValue(c.t, c.want).Bytes(); !bytes.Equal(b, c.b) {
			t.Errorf("%s: encoded as %x, expected %x", c.t, b, c.b)
		}
	}
	for _, c := range []struct {
		t DataType
		b string
	}{{Int16Array, "\x01"}, {BooleanArray, "\x01"}, {BooleanArray, "\xFF\xFF\xFF\xFF\x01"}, {StringArray, "ABC"}, {Int8, "\x01"}} {
		if got, err := BytesValue([]byte(c.b)).Array(nil, c.t, 100); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s %q: %v, %v", c.t, c.b, got, err)
		}
	}
	if got, err := BytesValue(make([]byte, 1000)).Array(nil, Int8Array, 3); err != nil || len(got) != 3 {
		t.Errorf("%d elements, %v, expected 3", len(got), err)
	}
}

var texts = rapid.SliceOfN(rapid.Byte(), 0, 12)

func drawType(t *rapid.T) DataType {
	return DataType(rapid.Uint32Range(1, uint32(DateTimeArray)).Draw(t, "type"))
}

func drawScalar(t *rapid.T) Value {
	switch rapid.IntRange(0, 5).Draw(t, "form") {
	case 0:
		return IntValue(Int32, rapid.Int64().Draw(t, "int"))
	case 1:
		return IntValue(Int64, rapid.Int64().Draw(t, "long"))
	case 2:
		return FloatValue(rapid.Float32().Draw(t, "float"))
	case 3:
		return DoubleValue(rapid.Float64().Draw(t, "double"))
	case 4:
		return BooleanValue(rapid.Bool().Draw(t, "boolean"))
	}
	return StringValue(string(texts.Draw(t, "string")))
}

func drawMetric(t *rapid.T, depth int) Metric {
	m := Metric{
		Type: drawType(t), Historical: rapid.Bool().Draw(t, "historical"), Transient: rapid.Bool().Draw(t, "transient"), Null: rapid.Bool().Draw(t, "null"),
	}
	if rapid.Bool().Draw(t, "named") {
		m.Name = texts.Draw(t, "name")
	}
	if m.HasAlias = rapid.Bool().Draw(t, "aliased"); m.HasAlias {
		m.Alias = rapid.Uint64().Draw(t, "alias")
	}
	if m.HasTimestamp = rapid.Bool().Draw(t, "timed"); m.HasTimestamp {
		m.Timestamp = rapid.Uint64().Draw(t, "time")
	}
	if rapid.Bool().Draw(t, "properties") {
		m.Properties = AppendProperties([]byte{}, drawProperties(t, depth))
	}
	switch rapid.IntRange(0, 4).Draw(t, "value") {
	case 0:
	case 1:
		m.Value = BytesValue(texts.Draw(t, "bytes"))
	case 2:
		m.Value = dataSetValue(drawDataSet(t))
	case 3:
		m.Value = templateValue(drawTemplate(t, depth+1))
	default:
		m.Value = drawScalar(t)
	}
	return m
}

func drawProperties(t *rapid.T, depth int) (list []Property) {
	for range rapid.IntRange(0, 3).Draw(t, "properties") {
		p := Property{Name: texts.Draw(t, "property"), Type: drawType(t), Null: rapid.Bool().Draw(t, "null"), Value: drawScalar(t)}
		if depth < 3 && rapid.Bool().Draw(t, "nested") {
			p.Value = Value{form: AsPropertySet, bytes: AppendProperties([]byte{}, drawProperties(t, depth+1))}
		}
		list = append(list, p)
	}
	return list
}

func drawDataSet(t *rapid.T) (s DataSet) {
	columns := rapid.IntRange(0, 3).Draw(t, "columns")
	for range columns {
		s.Columns, s.Types = append(s.Columns, texts.Draw(t, "column")), append(s.Types, drawType(t))
	}
	for range rapid.IntRange(0, 3).Draw(t, "rows") {
		var row []Value
		for range columns {
			row = append(row, drawScalar(t))
		}
		s.Rows = append(s.Rows, row)
	}
	return s
}

func drawTemplate(t *rapid.T, depth int) Template {
	tmpl := Template{Definition: rapid.Bool().Draw(t, "definition")}
	if rapid.Bool().Draw(t, "ref") {
		tmpl.Ref, tmpl.Version = texts.Draw(t, "ref"), texts.Draw(t, "version")
	}
	for range rapid.IntRange(0, 3-min(depth, 3)).Draw(t, "members") {
		tmpl.Metrics = append(tmpl.Metrics, drawMetric(t, depth))
	}
	return tmpl
}

func drawPayload(t *rapid.T) (p Payload) {
	if p.HasTimestamp = rapid.Bool().Draw(t, "timed"); p.HasTimestamp {
		p.Timestamp = rapid.Uint64().Draw(t, "time")
	}
	if p.HasSeq = rapid.Bool().Draw(t, "numbered"); p.HasSeq {
		p.Seq = rapid.Uint64().Draw(t, "seq")
	}
	if rapid.Bool().Draw(t, "body") {
		p.UUID, p.Body = texts.Draw(t, "uuid"), texts.Draw(t, "body")
	}
	for range rapid.IntRange(0, 4).Draw(t, "metrics") {
		p.Metrics = append(p.Metrics, drawMetric(t, 0))
	}
	return p
}

// What was encoded comes back as it was, compressed or not, and so do the parts of what
// has parts.
func TestWhatIsWrittenIsRead(t *testing.T) {
	var d Decoder
	rapid.Check(t, func(t *rapid.T) {
		p := drawPayload(t)
		sent := p
		if how := rapid.SampledFrom([]string{"", GZIP, DEFLATE}).Draw(t, "compressed"); how != "" && string(p.UUID) != compressed {
			var err error
			if sent, err = p.compress(how); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Decode(sent.Append(nil)); err != nil {
			t.Fatal(err)
		}
		got := d.Payload
		if len(got.Metrics) == 0 {
			got.Metrics = nil
		}
		if !reflect.DeepEqual(got, p) {
			t.Fatalf("%+v\nexpected %+v", got, p)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		s := drawDataSet(t)
		got, err := dataSetValue(s).DataSet()
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("%+v, %v\nexpected %+v", got, err, s)
		}
		tmpl := drawTemplate(t, 0)
		again, err := templateValue(tmpl).Template()
		if err != nil || !reflect.DeepEqual(again, tmpl) {
			t.Fatalf("%+v, %v\nexpected %+v", again, err, tmpl)
		}
		list := drawProperties(t, 0)
		read, err := Properties(nil, AppendProperties(nil, list))
		if err != nil || !reflect.DeepEqual(read, list) {
			t.Fatalf("%+v, %v\nexpected %+v", read, err, list)
		}
	})
}

// Scalars of the gateway's own come back as they were.
func TestScalarsOfOurOwn(t *testing.T) {
	for _, v := range []telemetry.Value{
		telemetry.FloatValue(-0.1), telemetry.IntValue(math.MinInt64), telemetry.UintValue(math.MaxUint64), telemetry.BoolValue(true), telemetry.TextValue("é"),
	} {
		if got, err := ScalarOf(v).Scalar(TypeOf(v)); err != nil || got != v {
			t.Errorf("%v, %v, expected %v", got, err, v)
		}
	}
	if kind, value := TypeOf(telemetry.Value{}), ScalarOf(telemetry.Value{}); kind != Unknown || value.Form() != Absent {
		t.Errorf("%v %+v", kind, value)
	}
}

// A few bytes that would become gigabytes are refused before they have.
func TestBombs(t *testing.T) {
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 200 {
		w.Write(zeros)
	}
	w.Close()
	outer := Payload{UUID: []byte(compressed), Body: bomb.Bytes(), Metrics: []Metric{{Name: []byte(algorithm), Type: String, Value: StringValue(GZIP)}}}
	var d Decoder
	if err := d.Decode(outer.Append(nil)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d bytes that inflate to 200 MB: %v", bomb.Len(), err)
	}
	if d.inflated.Cap() > MaxInflated {
		t.Errorf("%d bytes are kept", d.inflated.Cap())
	}
	inner, _ := Payload{UUID: []byte("x")}.compress(DEFLATE)
	twice, _ := inner.compress(GZIP)
	if err := d.Decode(twice.Append(nil)); !errors.Is(err, ErrMalformed) {
		t.Errorf("compressed twice: %v", err)
	}
	outer.Metrics[0].Value = StringValue("LZ4")
	if err := d.Decode(outer.Append(nil)); err == nil || !strings.Contains(err.Error(), "LZ4") {
		t.Errorf("another algorithm: %v", err)
	}
	many := bytes.Repeat([]byte{0x12, 0x00}, MaxMetrics+1)
	if err := d.Decode(many); !errors.Is(err, ErrTooLarge) {
		t.Errorf("many empty metrics: %v", err)
	}
	rows := Value{form: AsDataSet, bytes: bytes.Repeat([]byte{0x22, 0x00}, MaxCells+1)}
	if _, err := rows.DataSet(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("many empty rows: %v", err)
	}
}

// What is only begun is malformed, at every length.
func TestCutShort(t *testing.T) {
	whole, err := hex.DecodeString(named)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int]bool{0: true, 7: true, 37: true, len(whole): true} // between two fields
	for n := range len(whole) + 1 {
		var p Payload
		if err := p.Decode(whole[:n]); (err == nil) != ends[n] {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// data is a message of as many metrics by alias.
func data(metrics int) []byte {
	p := Payload{Timestamp: 1700000000000, HasTimestamp: true, Seq: 7, HasSeq: true}
	for i := range metrics {
		p.Metrics = append(p.Metrics, Metric{Alias: uint64(i), HasAlias: true, Timestamp: 1700000000000, HasTimestamp: true, Value: DoubleValue(float64(i))})
	}
	return p.Append(nil)
}

func TestReadingAllocatesNothing(t *testing.T) {
	message := data(100)
	var d Decoder
	if n := testing.AllocsPerRun(100, func() {
		if err := d.Decode(message); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, metrics := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("metrics=%d", metrics), func(b *testing.B) {
			message := data(metrics)
			var d Decoder
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(message); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*metrics), "ns/metric")
		})
	}
}
