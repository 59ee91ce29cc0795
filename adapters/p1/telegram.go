package p1

import (
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/telemetry"
)

// Telegram is what a meter has said at one moment.
type Telegram struct {
	Header  string // of the line with /: who made the meter, and its type
	Version string // of the specification; "" before DSMR 4
	Checked bool   // it had a checksum, which is right
	// Time is the meter's; zero if the telegram has none that can be.
	Time      time.Time
	Registers []obis.Register
	// Failures are the long failures of the supply that the meter has in its log, as far as
	// they can be read. All of them are over.
	Failures []Failure
	// Broken is how many lines couldn't be read. A line that can't be doesn't stop the others.
	Broken int
}

// Failure is an interruption of the supply, by the meter's clock.
type Failure struct {
	End    time.Time
	Lasted time.Duration
}

var (
	atTime     = obis.Code{A: obis.Abstract, B: 0, C: 1, D: 0, E: 0, F: obis.Current}
	atVersion  = obis.Code{A: 1, B: 3, C: 0, D: 2, E: 8, F: obis.Current}
	atBelgian  = obis.Code{A: obis.Abstract, B: 0, C: 96, D: 1, E: 4, F: obis.Current}
	atFailures = obis.Code{A: 1, B: 0, C: 99, D: 97, E: 0, F: obis.Current}
	ofFailure  = obis.Code{A: obis.Abstract, B: 0, C: 96, D: 7, E: 19, F: obis.Current}
)

// Parse reads a whole telegram whose clock is in a zone. The error says why it can't be
// believed.
func Parse(telegram []byte, zone *time.Location) (Telegram, error) {
	header, block, checked, err := verify(telegram)
	if err != nil {
		return Telegram{}, err
	}
	t := Telegram{Header: string(header), Checked: checked}
	var mediums [256]uint8
	t.Broken = obis.Sets(block, func(s obis.Set) {
		code, err := obis.ParseCode(s.Name)
		if err != nil {
			t.Broken++
			return
		}
		if code.A == obis.Abstract && code.C == 24 && code.D == 1 {
			if n, ok := obis.ParseNumber(s.Values[0]); ok && n.Mantissa >= 0 && n.Mantissa < 256 {
				mediums[code.B] = uint8(n.Mantissa)
			}
			return
		}
		if !t.take(code, s.Values, zone) {
			t.Broken++
		}
	}) + t.Broken
	for i := range t.Registers {
		if r := &t.Registers[i]; r.Code.A == obis.Abstract && (r.Code.C == 24 || r.Code.C == 96) && r.Code.B > 0 {
			r.Medium = mediums[r.Code.B]
		}
	}
	switch {
	case len(t.Registers) == 0:
		return Telegram{}, errors.New("a telegram without a register")
	case t.Version != "" && !checked:
		return Telegram{}, fmt.Errorf("a telegram of version %s without a checksum", t.Version)
	}
	return t, nil
}

// take takes up one line. It reports whether that could be read.
func (t *Telegram) take(code obis.Code, values [][]byte, zone *time.Location) bool {
	last := values[len(values)-1]
	switch {
	case code == atTime:
		at, err := ParseTime(last, zone)
		t.Time = at
		return err == nil
	case code == atVersion || code == atBelgian:
		t.Version = string(last)
		t.Registers = append(t.Registers, obis.Text(code, last))
		return true
	case code == atFailures:
		return t.failures(values, zone)
	case code.C == 24 && len(values) >= 6: // DSMR 2.2 and 3: (time)(00)(60)(1)(0-1:24.2.1)(m3)(00001.001)
		return t.measured(code, append(append([]byte{}, last...), append([]byte("*"), values[len(values)-2]...)...), values[0], zone)
	case len(values) == 2: // (time)(value)
		return t.measured(code, last, values[0], zone)
	case len(values) > 2: // a list of past values, such as the maxima of 13 months
		return code.C == 98 || code.C == 99
	case code.C == 96 && !isNumber(code):
		t.Registers = append(t.Registers, obis.HexText(code, last))
		return true
	}
	return t.measured(code, last, nil, zone)
}

// isNumber is of which registers of the meter itself the value is a number.
func isNumber(code obis.Code) bool {
	return code.D == 7 || code.D == 14 || code.D == 3
}

// measured takes up a number, of a time of its own if there is one.
func (t *Telegram) measured(code obis.Code, text, at []byte, zone *time.Location) bool {
	n, unit, ok := obis.Measured(text)
	if !ok {
		if len(text) > 0 && at == nil {
			t.Registers = append(t.Registers, obis.HexText(code, text))
		}
		return at == nil
	}
	r := obis.Register{Code: code, Value: telemetry.FloatValue(n.Float()), Unit: unit}
	if at != nil {
		when, err := ParseTime(at, zone)
		if err != nil {
			return false
		}
		r.Time = when
	}
	t.Registers = append(t.Registers, r)
	return true
}

// failures takes up the log of long failures: their number, what they are, and of each the
// time at which it ended and how long it had lasted.
func (t *Telegram) failures(values [][]byte, zone *time.Location) bool {
	if len(values) < 2 {
		n, ok := obis.ParseNumber(values[0])
		return len(values[0]) == 0 || ok && n.Mantissa == 0
	}
	if of, err := obis.ParseCode(values[1]); err != nil || of != ofFailure {
		return false
	}
	whole := true
	for rest := values[2:]; len(rest) >= 2; rest = rest[2:] {
		end, err := ParseTime(rest[0], zone)
		n, unit, ok := obis.Measured(rest[1])
		const longest = int64(10 * 366 * 24 * 3600)
		if err != nil || !ok || unit != "s" || n.Exponent != 0 || n.Mantissa < 0 || n.Mantissa > longest {
			whole = false
			continue
		}
		t.Failures = append(t.Failures, Failure{End: end, Lasted: time.Duration(n.Mantissa) * time.Second})
	}
	return whole
}
