package configfile

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as Go writes it: 250ms, 1s, 1h30m. It is never
// negative.
type Duration time.Duration

// String leaves out the zeros that Go writes: 24h, not 24h0m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no duration; write it like 250ms, 1s or 1h30m", text)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes, written in KiB, MiB or GiB.
type Size int64

const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

var sizeUnits = []struct {
	name string
	size Size
}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}

func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n >= 0 && n*float64(u.size) < 1<<62) {
			break
		}
		*s = Size(n * float64(u.size))
		return nil
	}
	return fmt.Errorf("%q is no size; write it like 512KiB, 64MiB or 4GiB", text)
}

// Quantity is a number with its unit, written with a space between them:
// "230 V". A bare number has no unit.
type Quantity struct {
	Value float64
	Unit  string // UCUM, "" if none was written
}

func (q Quantity) String() string {
	return strings.TrimSpace(strconv.FormatFloat(q.Value, 'g', -1, 64) + " " + q.Unit)
}

func (q Quantity) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

func (q *Quantity) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v-v != 0 {
		return fmt.Errorf("%q is no quantity; write a number and its unit, like 230 V", text)
	}
	*q = Quantity{v, strings.TrimSpace(unit)}
	return nil
}
