package telemetry

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ValueKind says which type a Value holds.
type ValueKind uint8

const (
	None    ValueKind = iota // no value was obtained; the sample's quality says why
	Float64                  // IEEE 754 binary64, kept bit for bit, NaN payloads included
	Int64
	Uint64
	Bool
	Text // UTF-8, at most MaxTextBytes
)

// MaxTextBytes bounds a text value. Text is meant for states and identifiers
// that are stored when they change, not for documents.
const MaxTextBytes = 256

var valueKindNames = [...]string{"none", "float64", "int64", "uint64", "bool", "text"}

func (k ValueKind) String() string {
	if int(k) < len(valueKindNames) {
		return valueKindNames[k]
	}
	return "ValueKind(" + strconv.Itoa(int(k)) + ")"
}

// Value is one measured value. The zero Value is None. Values are comparable
// with ==, which compares floats by their bits: two NaNs with the same payload
// are equal, 0 and −0 are not.
type Value struct {
	bits uint64
	text string
	kind ValueKind
}

func FloatValue(v float64) Value { return Value{kind: Float64, bits: math.Float64bits(v)} }
func IntValue(v int64) Value     { return Value{kind: Int64, bits: uint64(v)} }
func UintValue(v uint64) Value   { return Value{kind: Uint64, bits: v} }

func BoolValue(v bool) Value {
	if v {
		return Value{kind: Bool, bits: 1}
	}
	return Value{kind: Bool}
}

// TextValue holds s, cut to MaxTextBytes and to valid UTF-8.
func TextValue(s string) Value {
	if len(s) > MaxTextBytes {
		end := MaxTextBytes
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	return Value{kind: Text, text: strings.ToValidUTF8(s, "")}
}

// ValueFromBits rebuilds a value of a kind other than None and Text from Bits.
func ValueFromBits(k ValueKind, bits uint64) Value { return Value{kind: k, bits: bits} }

func (v Value) Kind() ValueKind { return v.kind }

// Bits is the value's exact representation: the IEEE 754 bits of a Float64, the
// two's complement of an Int64, 0 or 1 for a Bool, 0 for None and Text.
func (v Value) Bits() uint64 { return v.bits }

// Text is the text of a Text value and "" for every other kind.
func (v Value) Text() string { return v.text }

// Float is the value as a number, for rules and plots: integers beyond ±2⁵³ are
// rounded, booleans are 0 or 1. ok is false for None and Text.
func (v Value) Float() (f float64, ok bool) {
	switch v.kind {
	case Float64:
		return math.Float64frombits(v.bits), true
	case Int64:
		return float64(int64(v.bits)), true
	case Uint64, Bool:
		return float64(v.bits), true
	}
	return 0, false
}

// String is the value as a person reads it; None is "–".
func (v Value) String() string {
	switch v.kind {
	case Float64:
		return strconv.FormatFloat(math.Float64frombits(v.bits), 'g', -1, 64)
	case Int64:
		return strconv.FormatInt(int64(v.bits), 10)
	case Uint64:
		return strconv.FormatUint(v.bits, 10)
	case Bool:
		return strconv.FormatBool(v.bits != 0)
	case Text:
		return v.text
	}
	return "–"
}
