package grid

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Voltage is nominal, between phases, in V; 0 is unknown.
type Voltage float64

// Current is in A; 0 is unknown.
type Current float64

// Power is apparent power in VA; 0 is unknown.
type Power float64

// Length is in m; 0 is unknown.
type Length float64

// ActivePower is in W; 0 is unknown.
type ActivePower float64

// ImpedancePerLength is in ohm/km; 0 is unknown.
type ImpedancePerLength float64

// CapacitancePerLength is in nF/km; 0 is unknown.
type CapacitancePerLength float64

// Percent is a part in hundredths; 0 is unknown.
type Percent float64

// Tap is a deviation in hundredths, of either sign.
type Tap float64

// unit is a unit and how many base units it is.
type unit struct {
	name  string
	scale float64
}

var (
	voltageUnits = []unit{{"kV", 1e3}, {"V", 1}}
	currentUnits = []unit{{"kA", 1e3}, {"A", 1}}
	powerUnits   = []unit{{"MVA", 1e6}, {"kVA", 1e3}, {"VA", 1}}
	lengthUnits  = []unit{{"km", 1e3}, {"m", 1}}

	activePowerUnits = []unit{{"MW", 1e6}, {"kW", 1e3}, {"W", 1}}
	impedanceUnits   = []unit{{"ohm/km", 1}}
	capacitanceUnits = []unit{{"nF/km", 1}}
	percentUnits     = []unit{{"%", 1}}
)

func (v Voltage) String() string { return quantity(float64(v), voltageUnits) }
func (c Current) String() string { return quantity(float64(c), currentUnits) }
func (p Power) String() string   { return quantity(float64(p), powerUnits) }
func (l Length) String() string  { return quantity(float64(l), lengthUnits) }

func (p ActivePower) String() string          { return quantity(float64(p), activePowerUnits) }
func (z ImpedancePerLength) String() string   { return quantity(float64(z), impedanceUnits) }
func (c CapacitancePerLength) String() string { return quantity(float64(c), capacitanceUnits) }
func (p Percent) String() string              { return quantity(float64(p), percentUnits) }
func (t Tap) String() string                  { return quantity(float64(t), percentUnits) }

func (v Voltage) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
func (c Current) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
func (p Power) MarshalText() ([]byte, error)   { return []byte(p.String()), nil }
func (l Length) MarshalText() ([]byte, error)  { return []byte(l.String()), nil }

func (p ActivePower) MarshalText() ([]byte, error)          { return []byte(p.String()), nil }
func (z ImpedancePerLength) MarshalText() ([]byte, error)   { return []byte(z.String()), nil }
func (c CapacitancePerLength) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
func (p Percent) MarshalText() ([]byte, error)              { return []byte(p.String()), nil }
func (t Tap) MarshalText() ([]byte, error)                  { return []byte(t.String()), nil }

func (v *Voltage) UnmarshalText(text []byte) (err error) {
	*(*float64)(v), err = parseQuantity(text, voltageUnits, "voltage", "20 kV or 400 V")
	return err
}

func (c *Current) UnmarshalText(text []byte) (err error) {
	*(*float64)(c), err = parseQuantity(text, currentUnits, "current", "270 A or 1.25 kA")
	return err
}

func (p *Power) UnmarshalText(text []byte) (err error) {
	*(*float64)(p), err = parseQuantity(text, powerUnits, "power", "630 kVA or 40 MVA")
	return err
}

func (l *Length) UnmarshalText(text []byte) (err error) {
	*(*float64)(l), err = parseQuantity(text, lengthUnits, "length", "55 m or 1.2 km")
	return err
}

func (p *ActivePower) UnmarshalText(text []byte) (err error) {
	*(*float64)(p), err = parseQuantity(text, activePowerUnits, "active power", "600 W or 4.6 kW")
	return err
}

func (z *ImpedancePerLength) UnmarshalText(text []byte) (err error) {
	*(*float64)(z), err = parseQuantity(text, impedanceUnits, "impedance of a line", "0.206 ohm/km")
	return err
}

func (c *CapacitancePerLength) UnmarshalText(text []byte) (err error) {
	*(*float64)(c), err = parseQuantity(text, capacitanceUnits, "capacitance of a line", "260 nF/km")
	return err
}

func (p *Percent) UnmarshalText(text []byte) (err error) {
	*(*float64)(p), err = parseQuantity(text, percentUnits, "part in percent", "4 %")
	return err
}

func (t *Tap) UnmarshalText(text []byte) error {
	number, sign, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	x, err := strconv.ParseFloat(number, 64)
	if err != nil || sign != "%" || !(x > -100 && x < 100) {
		return fmt.Errorf("%q is no tap; write how many per cent it is from the rated ratio, like -2.5 %%", shorten(string(text)))
	}
	*t = Tap(x)
	return nil
}

// quantity is x in the largest unit that it is at least one of and that gives
// back every bit.
func quantity(x float64, units []unit) string {
	for _, u := range units {
		if n := x / u.scale; u.scale == 1 || math.Abs(n) >= 1 && n*u.scale == x {
			return strconv.FormatFloat(n, 'f', -1, 64) + " " + u.name
		}
	}
	return ""
}

func parseQuantity(text []byte, units []unit, what, example string) (float64, error) {
	number, name, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	for _, u := range units {
		if name != u.name {
			continue
		}
		x, err := strconv.ParseFloat(number, 64)
		if x *= u.scale; err != nil || math.IsNaN(x) || math.IsInf(x, 0) || x <= 0 {
			break
		}
		return x, nil
	}
	return 0, fmt.Errorf("%q is no %s; write a number above 0 and its unit, like %s", shorten(string(text)), what, example)
}

// Time is in microseconds since 1970 UTC; 0 is no time.
type Time int64

func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return time.UnixMicro(int64(t)).UTC().Format(time.RFC3339Nano)
}

func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

func (t *Time) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil || at.Year() <= 1970 || at.Year() > 9999 {
		return fmt.Errorf("%q is no time; write it like 2026-03-01T00:00:00Z or with an offset, like 2026-03-01T01:00:00+01:00", shorten(string(text)))
	}
	*t = Time(at.UnixMicro())
	return nil
}

// Position is a place in the model's coordinates.
type Position struct {
	X, Y  float64
	Known bool
}

func (p Position) String() string {
	if !p.Known {
		return ""
	}
	return strconv.FormatFloat(p.X, 'f', -1, 64) + " " + strconv.FormatFloat(p.Y, 'f', -1, 64)
}

func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func (p *Position) UnmarshalText(text []byte) error {
	fields := strings.Fields(string(text))
	if len(fields) == 2 {
		x, errX := strconv.ParseFloat(fields[0], 64)
		y, errY := strconv.ParseFloat(fields[1], 64)
		if at := PositionAt(x, y); errX == nil && errY == nil && at.Known {
			*p = at
			return nil
		}
	}
	return fmt.Errorf("%q is no position; write x and y, like 9.4797 51.3127", shorten(string(text)))
}

// PositionAt is the position x, y, and unknown if one of them is no finite number.
func PositionAt(x, y float64) Position {
	if sum := x - x + (y - y); sum != 0 { // NaN, as for infinities
		return Position{}
	}
	return Position{X: x, Y: y, Known: true}
}

// Phases is a set of phases.
type Phases uint8

// The phases, and all of them.
const (
	A   Phases = 1
	B   Phases = 2
	C   Phases = 4
	ABC        = A | B | C
)

// String is the letters of the phases, in their order.
func (p Phases) String() string {
	var b strings.Builder
	for i, letter := range "ABC" {
		if p&(1<<i) != 0 {
			b.WriteRune(letter)
		}
	}
	return b.String()
}

func (p Phases) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func (p *Phases) UnmarshalText(text []byte) error {
	var set Phases
	for _, letter := range string(text) {
		i := strings.IndexRune("ABC", letter)
		if i < 0 || set&(1<<i) != 0 {
			set = 0
			break
		}
		set |= 1 << i
	}
	if set == 0 {
		return fmt.Errorf("%q is no set of phases; write A, B and C in one word, like ABC, AB or C", shorten(string(text)))
	}
	*p = set
	return nil
}

// shorten keeps a message readable whatever was written.
func shorten(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "…"
	}
	return s
}
