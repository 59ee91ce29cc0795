package telemetry

import (
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// SignalID names a signal within one signal table of a gateway. It is never
// reused: a changed unit, scale, type or asset is a new id.
type SignalID uint32

// Kind is what a signal's values mean over time.
type Kind string

const (
	Gauge   Kind = "gauge"   // a level: voltage, temperature
	Counter Kind = "counter" // a register that only rises: energy
	State   Kind = "state"   // one of a few discrete positions: a breaker
)

// Signal is one measured quantity of one device on one asset.
type Signal struct {
	ID     SignalID `json:"id"`
	Device string   `json:"device"`
	Name   string   `json:"name"` // after IEC 61850 where it has one: PhV.phsA, TotW
	Unit   string   `json:"unit"` // UCUM, and var/varh
	Asset  string   `json:"asset"`
	Kind   Kind     `json:"kind"`
	// States are the names of integer values, and Flags those of a value's bits, from 0,
	// the least significant. They say how a value is shown; it stays the integer, and
	// a signal whose names change is the same one.
	States States `json:"states,omitempty"`
	Flags  Flags  `json:"flags,omitempty"`
}

// States are the names of a signal's values.
type States map[int64]string

// Flags are the names of the bits of a signal's values.
type Flags map[uint8]string

// InWords is what the names say of a value: "running", or "GROUND_FAULT, bit 9";
// "" if they say nothing.
func (s Signal) InWords(v Value) string {
	if v.Kind() != Int64 && v.Kind() != Uint64 && v.Kind() != Bool {
		return ""
	}
	if v.Kind() != Uint64 || v.Bits()>>63 == 0 {
		if name := s.States[int64(v.Bits())]; name != "" {
			return name
		}
	}
	if len(s.Flags) == 0 {
		return ""
	}
	var set []string
	for rest := v.Bits(); rest != 0; rest &= rest - 1 {
		bit := uint8(bits.TrailingZeros64(rest))
		name := s.Flags[bit]
		if name == "" {
			name = "bit " + strconv.Itoa(int(bit))
		}
		set = append(set, name)
	}
	return strings.Join(set, ", ")
}

// Show is a value as a person reads it, with its name if it has one: "running (2)".
// What is the nearest float32 to a shorter number, as a device's register has it, is
// shown as that: 229.9 and not 229.89999389648438.
func (s Signal) Show(v Value) string {
	text := v.String()
	if number, ok := v.Float(); ok && v.Kind() == Float64 && float64(float32(number)) == number {
		text = strconv.FormatFloat(number, 'g', -1, 32)
	}
	if name := s.InWords(v); name != "" {
		return name + " (" + text + ")"
	}
	return text
}

// Micros is an instant in µs since 1970-01-01 UTC.
type Micros int64

func MicrosOf(t time.Time) Micros           { return Micros(t.UnixMicro()) }
func (m Micros) Time() time.Time            { return time.UnixMicro(int64(m)).UTC() }
func (m Micros) Sub(n Micros) time.Duration { return time.Duration(m-n) * time.Microsecond }

// lastMoment is the last instant that RFC 3339 can write.
var lastMoment = MicrosOf(time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC))

// Moment is the instant as RFC 3339 can write it, whatever somebody's clock says: the
// nearest from 1970 to 9999.
func (m Micros) Moment() time.Time { return min(max(m, 0), lastMoment).Time() }

// Sample is one value of one signal at one instant of its source.
type Sample struct {
	Time    Micros
	Value   Value
	Signal  SignalID
	Quality Quality
}

// ChannelLive is the name of the state signal that the gateway adds to every
// device: whether the device answers (IEC 61850 LCCH.ChLiv).
const ChannelLive = "ChLiv"
