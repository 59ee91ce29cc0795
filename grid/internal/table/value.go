package table

import (
	"math"
	"strconv"
	"strings"
)

// Scaled is x·by without the noise that comes from x not being exact, and 0 for
// what is no size.
func Scaled(x, by float64) float64 {
	y, err := strconv.ParseFloat(strconv.FormatFloat(x*by, 'g', 12, 64), 64)
	if err != nil || math.IsInf(y, 0) || !(y > 0) {
		return 0
	}
	return y
}

// Short keeps a message readable whatever was written.
func Short(s string) string {
	if r := []rune(strings.ToValidUTF8(s, "\ufffd")); len(r) > 60 {
		return string(r[:57]) + "…"
	}
	return s
}
