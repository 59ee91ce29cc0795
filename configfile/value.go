package configfile

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What other readers of YAML take for a number, so that text which looks like
// one is never passed on silently.
var (
	numeric     = regexp.MustCompile(`^[-+]?(0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+|([0-9][0-9_]*(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?)$`)
	hex         = regexp.MustCompile(`^[-+]?0x[0-9a-fA-F]+$`)
	decimal     = regexp.MustCompile(`^[-+]?[0-9]+$`)
	fraction    = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$`)
	leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]+([.eE]|$)`)
)

// oldBooleans are the booleans of YAML 1.1 and the spellings of 1.2 that aren't
// accepted here.
var oldBooleans = []string{"yes", "no", "on", "off", "y", "n", "true", "false"}

func (f *File) decodeScalar(n *node, v reflect.Value, path string) {
	var err error
	switch v.Kind() {
	case reflect.String:
		err = n.asText(v)
	case reflect.Bool:
		err = n.asBool(v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		err = n.asInt(v)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		err = n.asUint(v)
	case reflect.Float32, reflect.Float64:
		err = n.asFloat(v)
	default:
		panic(fmt.Sprintf("configfile: %s: a field of type %s can't be read", path, v.Type()))
	}
	if err != nil {
		f.breakAt(n.place(), path, "%s", err)
	}
}

func (f *File) decodeText(n *node, v reflect.Value, path string) {
	if !f.expect(n, scalar, path) {
		return
	}
	var err error
	if !n.quoted && leadingZero.MatchString(n.text) {
		err = n.leadingZero("a value without it")
	} else {
		err = v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text))
	}
	if err != nil {
		f.breakAt(n.place(), path, "%s", err)
	}
}

func (n *node) asText(v reflect.Value) error {
	if !n.quoted && (numeric.MatchString(n.text) || n.text == "true" || n.text == "false") {
		return fmt.Errorf("%s, expected text; write %s", n, shortQuote(n.text))
	}
	v.SetString(n.text)
	return nil
}

func (n *node) asBool(v reflect.Value) error {
	if !n.quoted && (n.text == "true" || n.text == "false") {
		v.SetBool(n.text == "true")
		return nil
	}
	if !n.quoted && slices.Contains(oldBooleans, strings.ToLower(n.text)) {
		return fmt.Errorf("%s is not a boolean here, expected true or false", n.text)
	}
	return fmt.Errorf("%s, expected true or false", n)
}

func (n *node) asInt(v reflect.Value) error {
	least, most := int64(math.MinInt64)>>(64-v.Type().Bits()), int64(math.MaxInt64)>>(64-v.Type().Bits())
	expected := fmt.Sprintf("a whole number from %d to %d", least, most)
	digits, base, err := n.digits(expected)
	if err != nil {
		return err
	}
	i, err := strconv.ParseInt(digits, base, 64)
	if err != nil || v.OverflowInt(i) {
		return fmt.Errorf("%s is out of range, expected %s", short(n.text), expected)
	}
	v.SetInt(i)
	return nil
}

func (n *node) asUint(v reflect.Value) error {
	most := uint64(math.MaxUint64) >> (64 - v.Type().Bits())
	expected := fmt.Sprintf("a whole number from 0 to %d", most)
	digits, base, err := n.digits(expected)
	if err != nil {
		return err
	}
	u, err := strconv.ParseUint(strings.TrimPrefix(digits, "+"), base, 64)
	if err != nil || v.OverflowUint(u) {
		return fmt.Errorf("%s is out of range, expected %s", short(n.text), expected)
	}
	v.SetUint(u)
	return nil
}

func (n *node) asFloat(v reflect.Value) error {
	const expected = "a number"
	if !n.quoted && hex.MatchString(n.text) {
		digits, base, _ := n.digits(expected)
		i, err := strconv.ParseInt(digits, base, 64)
		if err != nil {
			return fmt.Errorf("%s is out of range, expected %s", short(n.text), expected)
		}
		v.SetFloat(float64(i))
		return nil
	}
	switch {
	case n.quoted || !fraction.MatchString(n.text):
		return fmt.Errorf("%s, expected %s", n, expected)
	case leadingZero.MatchString(n.text):
		return n.leadingZero(expected)
	}
	x, err := strconv.ParseFloat(n.text, v.Type().Bits())
	if err != nil {
		return fmt.Errorf("%s is out of range, expected %s of at most ±%g", short(n.text), expected, largest(v))
	}
	v.SetFloat(x)
	return nil
}

func largest(v reflect.Value) float64 {
	if v.Kind() == reflect.Float32 {
		return math.MaxFloat32
	}
	return math.MaxFloat64
}

// digits are those of a whole number, with its sign, and their base.
func (n *node) digits(expected string) (string, int, error) {
	switch {
	case n.quoted:
		return "", 0, fmt.Errorf("%s, expected %s without quotes", n, expected)
	case hex.MatchString(n.text):
		return strings.Replace(n.text, "0x", "", 1), 16, nil
	case leadingZero.MatchString(n.text):
		return "", 0, n.leadingZero(expected)
	case decimal.MatchString(n.text):
		return n.text, 10, nil
	}
	return "", 0, fmt.Errorf("%s, expected %s", n, expected)
}

func (n *node) leadingZero(expected string) error {
	return errors.New(short(n.text) + " begins with a zero, which some readers take for octal; expected " + expected + ", in decimal or as 0x hex")
}
