package mqtt

import (
	"math"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// TimeUnit is how a payload writes its time.
type TimeUnit string

const (
	RFC3339      TimeUnit = "" // with the offset from UTC
	Seconds      TimeUnit = "s"
	Milliseconds TimeUnit = "ms"
	Microseconds TimeUnit = "us"
	Nanoseconds  TimeUnit = "ns"
)

// microsDigits is how many digits the point moves to the right from a unit to µs.
var microsDigits = map[TimeUnit]int{Seconds: 6, Milliseconds: 3, Microseconds: 0, Nanoseconds: -3}

var (
	// earliest is the first time that a clock can have which has ever been set.
	earliest = telemetry.MicrosOf(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
	// ahead is how far a source's clock may be ahead.
	ahead = telemetry.Micros(24 * time.Hour / time.Microsecond)
)

// moment is the time that a token is; ok is false if it isn't one that a clock can show
// at now. A now that no clock shows which has ever been set says nothing.
func moment(t token, unit TimeUnit, now telemetry.Micros) (at telemetry.Micros, ok bool) {
	switch {
	case t.escaped || t.kind != text && t.kind != number || len(t.text) == 0 || len(t.text) > 40:
		return 0, false
	case unit == RFC3339:
		parsed, err := time.Parse(time.RFC3339Nano, view(t.text))
		if err != nil || t.kind != text {
			return 0, false
		}
		at = telemetry.MicrosOf(parsed)
	default:
		digits, known := microsDigits[unit]
		if at, ok = sinceEpoch(t.text, digits); !ok || !known {
			return 0, false
		}
	}
	return at, at >= earliest && (at <= now+ahead || now < earliest)
}

// sinceEpoch is a decimal number with its point moved to the right by digits, without
// what is then behind it. It has no exponent, which no clock needs.
func sinceEpoch(b []byte, digits int) (telemetry.Micros, bool) {
	var value int64
	behind, point, any := 0, false, false
	for _, c := range b {
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c < '0' || c > '9':
			return 0, false
		}
		any = true
		if point && behind >= max(0, digits) {
			continue
		}
		if point {
			behind++
		}
		if value > (math.MaxInt64-9)/10 {
			return 0, false
		}
		value = value*10 + int64(c-'0')
	}
	for ; behind < digits; behind++ {
		if value > math.MaxInt64/10 {
			return 0, false
		}
		value *= 10
	}
	for ; digits < 0; digits++ {
		value /= 10
	}
	return telemetry.Micros(value), any
}
