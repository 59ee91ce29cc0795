package obis

import (
	"bytes"
	"math"
)

// Number is a decimal number: Mantissa × 10^Exponent.
type Number struct {
	Mantissa int64
	Exponent int
}

// ParseNumber reads digits with at most one point, and a sign before them.
func ParseNumber(text []byte) (n Number, ok bool) {
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		text = text[1:]
	}
	digits, point := 0, false
	for _, c := range text {
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c < '0' || c > '9' || n.Mantissa > (math.MaxInt64-9)/10:
			return Number{}, false
		}
		digits++
		n.Mantissa = n.Mantissa*10 + int64(c-'0')
		if point {
			n.Exponent--
		}
	}
	if negative {
		n.Mantissa = -n.Mantissa
	}
	return n, digits > 0
}

// Float is the float nearest to the number as long as its mantissa is below 2⁵³ and its
// exponent from −22 to 22, and else close to it; infinite if it is too large.
func (n Number) Float() float64 {
	switch {
	case n.Exponent == 0 || n.Mantissa == 0:
		return float64(n.Mantissa)
	case n.Exponent < 0:
		return float64(n.Mantissa) / math.Pow10(-n.Exponent)
	}
	return float64(n.Mantissa) * math.Pow10(n.Exponent)
}

// units are those of text, as UCUM has them, and the power of ten by which the number is
// to be multiplied.
var units = map[string]struct {
	unit     string
	exponent int
}{
	"kWh": {"W.h", 3}, "Wh": {"W.h", 0}, "MWh": {"W.h", 6}, "kW": {"W", 3}, "W": {"W", 0}, "MW": {"W", 6},
	"kvarh": {"varh", 3}, "varh": {"varh", 0}, "Mvarh": {"varh", 6}, "kvar": {"var", 3}, "var": {"var", 0}, "Mvar": {"var", 6},
	"kVArh": {"varh", 3}, "VArh": {"varh", 0}, "kVAr": {"var", 3}, "VAr": {"var", 0},
	"kVAh": {"V.A.h", 3}, "VAh": {"V.A.h", 0}, "kVA": {"V.A", 3}, "VA": {"V.A", 0},
	"V": {"V", 0}, "kV": {"V", 3}, "A": {"A", 0}, "mA": {"A", -3}, "Hz": {"Hz", 0}, "deg": {"deg", 0},
	"m3": {"m3", 0}, "dm3": {"m3", -3}, "m3/h": {"m3/h", 0}, "m3h": {"m3/h", 0}, "GJ": {"J", 9}, "MJ": {"J", 6}, "J": {"J", 0},
	"C": {"Cel", 0}, "K": {"K", 0}, "s": {"s", 0}, "min": {"min", 0}, "h": {"h", 0}, "d": {"d", 0}, "bar": {"bar", 0},
}

// Measured reads a number with or without a unit, as in 000123.456*kWh, in the unit without
// a prefix. Unit is "" if there is none, or it isn't known.
func Measured(text []byte) (n Number, unit string, ok bool) {
	number, name, given := bytes.Cut(text, []byte("*"))
	if n, ok = ParseNumber(number); !ok {
		return Number{}, "", false
	}
	if !given {
		return n, "", true
	}
	u, known := units[string(name)]
	if !known {
		for spelt, of := range units { // meters spell them as they like
			if bytes.EqualFold(name, []byte(spelt)) && len(spelt) > 1 && spelt != "mA" {
				u = of
				break
			}
		}
	}
	n.Exponent += u.exponent
	return n, u.unit, true
}
