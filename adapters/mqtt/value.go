package mqtt

import (
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/busbar/busbar/telemetry"
)

// Type is what the values of a signal are.
type Type string

const (
	Number Type = "number"
	Bool   Type = "bool"
	Text   Type = "string"
	// Any is a state: a number or a bool as it comes, or a text that one of States has.
	Any Type = ""
)

// reading is what a value in a payload comes to: a value, or a reason why there is none.
type reading struct {
	value  telemetry.Value
	reason telemetry.Reason
}

func lacks(reason telemetry.Reason) reading { return reading{reason: reason} }

// read is what a token is to a point.
func (s *Selector) read(t token, scratch *[]byte) reading {
	b := t.text
	if t.escaped {
		*scratch = unescape((*scratch)[:0], b)
		b = *scratch
	}
	switch {
	case t.kind == null:
		return lacks(telemetry.NotImplemented)
	case t.kind == other:
		return lacks(telemetry.Malformed)
	}
	if value, named := s.States[string(b)]; named && t.kind != number {
		return reading{value: telemetry.IntValue(value)}
	}
	switch s.Type {
	case Text:
		if len(b) > telemetry.MaxTextBytes || !utf8.Valid(b) {
			return lacks(telemetry.Malformed)
		}
		return reading{value: telemetry.TextValue(string(b))}
	case Bool:
		if v, ok := truth(b); ok {
			return reading{value: telemetry.BoolValue(v)}
		}
		return lacks(telemetry.Malformed)
	case Number:
		if t.kind == boolean {
			return lacks(telemetry.Malformed)
		}
		return s.number(b)
	}
	if r := s.number(b); r.reason != telemetry.Malformed {
		return r
	}
	if v, ok := truth(b); ok {
		return reading{value: telemetry.BoolValue(v)}
	}
	return lacks(telemetry.Malformed)
}

// truth is a bool as devices write it.
func truth(b []byte) (value, ok bool) {
	if len(b) > 5 {
		return false, false
	}
	var lower [5]byte
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	switch string(lower[:len(b)]) {
	case "true", "on", "1", "yes":
		return true, true
	case "false", "off", "0", "no":
		return false, true
	}
	return false, false
}

// number is a decimal number, in the unit of the signal.
func (s *Selector) number(b []byte) reading {
	value, ok := parseNumber(b)
	if !ok {
		if notANumber(b) {
			return lacks(telemetry.NotANumber)
		}
		return lacks(telemetry.Malformed)
	}
	if s.Scale != 1 || s.Offset != 0 {
		f, _ := value.Float()
		value = telemetry.FloatValue(f*s.Scale + s.Offset)
	}
	if f, _ := value.Float(); math.IsInf(f, 0) {
		return lacks(telemetry.NotANumber)
	}
	return reading{value: value}
}

// notANumber reports whether a text is how programs print what isn't one.
func notANumber(b []byte) bool {
	f, err := strconv.ParseFloat(view(b), 64)
	return err == nil && (math.IsNaN(f) || math.IsInf(f, 0))
}

// parseNumber is a decimal number: an integer exactly where 64 bits hold it, else the
// nearest float64.
func parseNumber(b []byte) (telemetry.Value, bool) {
	if len(b) == 0 || len(b) > 1024 {
		return telemetry.Value{}, false
	}
	integer, digit := true, false
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digit = true
		case (c == '-' || c == '+') && i == 0:
		case c == '.' || c == 'e' || c == 'E' || c == '-' || c == '+':
			integer = false
		default:
			return telemetry.Value{}, false
		}
	}
	if !digit {
		return telemetry.Value{}, false
	}
	if integer {
		if v, err := strconv.ParseInt(view(b), 10, 64); err == nil {
			return telemetry.IntValue(v), true
		}
		if v, err := strconv.ParseUint(view(b), 10, 64); err == nil {
			return telemetry.UintValue(v), true
		}
	}
	v, err := strconv.ParseFloat(view(b), 64)
	if err != nil && !math.IsInf(v, 0) {
		return telemetry.Value{}, false
	}
	return telemetry.FloatValue(v), true
}

// view is b as a string, as long as b isn't changed.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
