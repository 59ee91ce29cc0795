package payload

import "fmt"

// DataType is what a value means (6.4.16, Data Types).
type DataType uint32

const (
	Unknown DataType = iota
	Int8
	Int16
	Int32
	Int64
	UInt8
	UInt16
	UInt32
	UInt64
	Float
	Double
	Boolean
	String
	DateTime // ms since 1970-01-01 UTC
	Text
	UUID
	DataSetType
	Bytes
	File
	TemplateType
	PropertySetType
	PropertySetListType
	Int8Array
	Int16Array
	Int32Array
	Int64Array
	UInt8Array
	UInt16Array
	UInt32Array
	UInt64Array
	FloatArray
	DoubleArray
	BooleanArray
	StringArray
	DateTimeArray

	unheardOf // and what comes after it
)

var typeNames = [...]string{"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64",
	"Float", "Double", "Boolean", "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template",
	"PropertySet", "PropertySetList", "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array",
	"UInt32Array", "UInt64Array", "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray"}

func (t DataType) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("DataType(%d)", uint32(t))
}

// Scalar reports whether a value of the type is one number, bool or text.
func (t DataType) Scalar() bool { return t >= Int8 && t <= UUID }

// Element is the type of the elements of an array; Unknown if it is none.
func (t DataType) Element() DataType {
	switch {
	case t >= Int8Array && t <= UInt64Array:
		return t - Int8Array + Int8
	case t == FloatArray, t == DoubleArray, t == BooleanArray, t == StringArray, t == DateTimeArray:
		return t - FloatArray + Float
	}
	return Unknown
}

// signed is how many bits an integer of the type has, with its sign; 0: it has none.
func (t DataType) signed() int {
	if t >= Int8 && t <= Int64 {
		return 8 << (t - Int8)
	}
	return 0
}

// unsigned is the same of one without a sign.
func (t DataType) unsigned() int {
	if t >= UInt8 && t <= UInt64 {
		return 8 << (t - UInt8)
	}
	return 0
}
