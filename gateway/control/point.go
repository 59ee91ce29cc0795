package control

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// Point is a signal that may be operated, and within which bounds.
type Point struct {
	Device, Signal string
	ID             telemetry.SignalID
	Asset, Unit    string
	Bool           bool // the value is true or false, as 1 or 0

	// The value is one of OneOf or, if that is nil, from Min to Max.
	Min, Max float64
	OneOf    []float64

	// Select says that the point has to be selected before it is operated.
	Select    bool
	SelectFor time.Duration // how long a selection lasts
	// Every is how long after one operation the next one may begin.
	Every time.Duration
	// ByRules lets rules operate it too.
	ByRules bool
	// Interlocks have to permit it, each of them, when it is selected and when it is
	// operated.
	Interlocks []*rules.Interlock
}

// Parse reads a value as a person writes it: a number in the signal's unit, or true,
// on, false or off for one that is a bool.
func (p Point) Parse(text string) (telemetry.Value, error) {
	if p.Bool {
		switch strings.ToLower(text) {
		case "1", "true", "on":
			return telemetry.BoolValue(true), nil
		case "0", "false", "off":
			return telemetry.BoolValue(false), nil
		}
		return telemetry.Value{}, fmt.Errorf("%.40q, expected 1 or 0, on or off, true or false", text)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return telemetry.IntValue(n), nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return telemetry.UintValue(n), nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n-n != 0 {
		return telemetry.Value{}, fmt.Errorf("%.40q, expected a number", text)
	}
	return telemetry.FloatValue(n), nil
}

// allows says why a value isn't within the bounds.
func (p Point) allows(v telemetry.Value) error {
	n, ok := v.Float()
	switch {
	case !ok || n-n != 0:
		return fmt.Errorf("%v is no number", v)
	case p.OneOf != nil && !slices.Contains(p.OneOf, n):
		return fmt.Errorf("%v, expected one of %v", v, p.OneOf)
	case p.OneOf == nil && (n < p.Min || n > p.Max || math.IsNaN(p.Min+p.Max)):
		return fmt.Errorf("%v, expected %v to %v", v, p.Min, p.Max)
	}
	return nil
}
