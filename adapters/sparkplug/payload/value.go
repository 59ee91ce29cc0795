package payload

import (
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/busbar/busbar/telemetry"
)

// Form is how a value travels.
type Form uint8

const (
	Absent Form = iota
	AsInt       // int_value: 32 bits, of which a data type says whether they have a sign
	AsLong
	AsFloat
	AsDouble
	AsBoolean
	AsString
	AsBytes
	AsDataSet
	AsTemplate
	AsPropertySet
	AsPropertySetList
)

// The forms in the order of their fields, beginning with int_value.
var (
	metricForms   = []Form{AsInt, AsLong, AsFloat, AsDouble, AsBoolean, AsString, AsBytes, AsDataSet, AsTemplate}
	propertyForms = []Form{AsInt, AsLong, AsFloat, AsDouble, AsBoolean, AsString, AsPropertySet, AsPropertySetList}
	scalarForms   = []Form{AsInt, AsLong, AsFloat, AsDouble, AsBoolean, AsString}
)

// Value is a value as it travels. Its data type says what it means.
type Value struct {
	bits  uint64
	bytes []byte
	form  Form
}

// Form is how it travels; Absent if there is none.
func (v Value) Form() Form { return v.form }

// Bytes are those of a value that isn't a number, encoded if it has parts.
func (v Value) Bytes() []byte { return v.bytes }

// take reads the field of a oneof whose first one has the number 0.
func (v *Value) take(num protowire.Number, f field, forms []Form) {
	if int(num) >= len(forms) {
		return
	}
	form := forms[num]
	switch {
	case (form == AsInt || form == AsLong || form == AsBoolean) && f.wire == protowire.VarintType,
		form == AsFloat && f.wire == protowire.Fixed32Type,
		form == AsDouble && f.wire == protowire.Fixed64Type,
		form >= AsString && f.wire == protowire.BytesType:
	default:
		return
	}
	*v = Value{form: form, bits: f.number, bytes: f.bytes}
	switch form {
	case AsInt:
		v.bits = uint64(uint32(f.number))
	case AsBoolean:
		v.bits = min(f.number, 1)
	}
}

// append encodes the value as a field of a oneof whose first one is first.
func (v Value) append(dst []byte, first protowire.Number, forms []Form) []byte {
	at := slices.Index(forms, v.form)
	if at < 0 {
		return dst
	}
	num := first + protowire.Number(at)
	switch v.form {
	case AsInt, AsLong, AsBoolean:
		return appendVarint(dst, num, v.bits)
	case AsFloat:
		return protowire.AppendFixed32(protowire.AppendTag(dst, num, protowire.Fixed32Type), uint32(v.bits))
	case AsDouble:
		return protowire.AppendFixed64(protowire.AppendTag(dst, num, protowire.Fixed64Type), v.bits)
	}
	return appendBytes(dst, num, v.bytes)
}

// IntValue is an integer of a type that is one, or a DateTime.
func IntValue(t DataType, v int64) Value {
	if t == Int64 || t == UInt64 || t == DateTime {
		return Value{form: AsLong, bits: uint64(v)}
	}
	return Value{form: AsInt, bits: uint64(uint32(v))}
}

func FloatValue(v float32) Value  { return Value{form: AsFloat, bits: uint64(math.Float32bits(v))} }
func DoubleValue(v float64) Value { return Value{form: AsDouble, bits: math.Float64bits(v)} }
func StringValue(v string) Value  { return Value{form: AsString, bytes: []byte(v)} }

// BytesValue is that of Bytes, of a File, or of an array.
func BytesValue(v []byte) Value { return Value{form: AsBytes, bytes: v} }

func BooleanValue(v bool) Value {
	if v {
		return Value{form: AsBoolean, bits: 1}
	}
	return Value{form: AsBoolean}
}

// Natural is the type of a value whose type nobody has given.
func (v Value) Natural() DataType {
	return [...]DataType{AsInt: Int32, AsLong: Int64, AsFloat: Float, AsDouble: Double, AsBoolean: Boolean, AsString: String,
		AsBytes: Bytes, AsDataSet: DataSetType, AsTemplate: TemplateType, AsPropertySet: PropertySetType, AsPropertySetList: PropertySetListType}[v.form]
}

// Scalar is the value as one of the type, which is Scalar. Integers travel as the
// unsigned form of their two's complement, some of them in more bits than their type has:
// the type says where the sign is.
func (v Value) Scalar(t DataType) (telemetry.Value, error) {
	switch {
	case v.form == AsInt || v.form == AsLong:
		if bits := t.signed(); bits != 0 {
			if v.form == AsInt {
				bits = min(bits, 32)
			}
			return telemetry.IntValue(int64(v.bits<<(64-bits)) >> (64 - bits)), nil
		}
		if bits := t.unsigned(); bits != 0 {
			return telemetry.UintValue(v.bits << (64 - bits) >> (64 - bits)), nil
		}
		switch t {
		case DateTime:
			return telemetry.IntValue(int64(v.bits)), nil
		case Boolean:
			return telemetry.BoolValue(v.bits != 0), nil
		}
	case v.form == AsFloat && (t == Float || t == Double):
		return telemetry.FloatValue(float64(math.Float32frombits(uint32(v.bits)))), nil
	case v.form == AsDouble && (t == Float || t == Double):
		return telemetry.FloatValue(math.Float64frombits(v.bits)), nil
	case v.form == AsBoolean && t == Boolean:
		return telemetry.BoolValue(v.bits != 0), nil
	case v.form == AsString && (t == String || t == Text || t == UUID):
		return telemetry.TextValue(string(v.bytes)), nil
	}
	return telemetry.Value{}, fmt.Errorf("%w: a value of another form than %s has", ErrMalformed, t)
}

// TypeOf is the type of a value of the gateway's own; Unknown if there is none.
func TypeOf(v telemetry.Value) DataType {
	return [...]DataType{telemetry.Float64: Double, telemetry.Int64: Int64, telemetry.Uint64: UInt64, telemetry.Bool: Boolean, telemetry.Text: String}[v.Kind()]
}

// ScalarOf is how such a value travels.
func ScalarOf(v telemetry.Value) Value {
	switch v.Kind() {
	case telemetry.Float64:
		f, _ := v.Float()
		return DoubleValue(f)
	case telemetry.Int64, telemetry.Uint64:
		return Value{form: AsLong, bits: v.Bits()}
	case telemetry.Bool:
		return BooleanValue(v.Bits() != 0)
	case telemetry.Text:
		return StringValue(v.Text())
	}
	return Value{}
}
