package grid_test

import (
	"encoding"
	"fmt"
	"testing"

	"github.com/busbar/busbar/grid"
)

// Quantities are read with their units, and written as they are read.
func TestQuantities(t *testing.T) {
	for _, c := range []struct {
		into       encoding.TextUnmarshaler
		text, want string
	}{
		{new(grid.ActivePower), "4.6 kW", "4.6 kW"},
		{new(grid.ActivePower), "600 W", "600 W"},
		{new(grid.ActivePower), "0.0136 MW", "13.6 kW"},
		{new(grid.ImpedancePerLength), "0.206 ohm/km", "0.206 ohm/km"},
		{new(grid.CapacitancePerLength), "260 nF/km", "260 nF/km"},
		{new(grid.Percent), "4 %", "4 %"},
		{new(grid.Tap), "-2.5 %", "-2.5 %"},
		{new(grid.Tap), "5 %", "5 %"},
	} {
		if err := c.into.UnmarshalText([]byte(c.text)); err != nil || fmt.Sprint(c.into) != c.want && fmt.Sprint(c.into.(fmt.Stringer)) != c.want {
			t.Errorf("%s: %v, %v, expected %s", c.text, c.into, err, c.want)
		}
	}
	for _, c := range []struct {
		into       encoding.TextUnmarshaler
		text, want string
	}{
		{new(grid.ActivePower), "4.6 kVA", `"4.6 kVA" is no active power; write a number above 0 and its unit, like 600 W or 4.6 kW`},
		{new(grid.ImpedancePerLength), "0.2 ohm", `"0.2 ohm" is no impedance of a line; write a number above 0 and its unit, like 0.206 ohm/km`},
		{new(grid.CapacitancePerLength), "-1 nF/km", `"-1 nF/km" is no capacitance of a line; write a number above 0 and its unit, like 260 nF/km`},
		{new(grid.Percent), "4%", `"4%" is no part in percent; write a number above 0 and its unit, like 4 %`},
		{new(grid.Tap), "2.5", `"2.5" is no tap; write how many per cent it is from the rated ratio, like -2.5 %`},
		{new(grid.Tap), "NaN %", `"NaN %" is no tap; write how many per cent it is from the rated ratio, like -2.5 %`},
		{new(grid.Tap), "-100 %", `"-100 %" is no tap; write how many per cent it is from the rated ratio, like -2.5 %`},
	} {
		if err := c.into.UnmarshalText([]byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, expected %s", c.text, err, c.want)
		}
	}
}
