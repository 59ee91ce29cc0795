package control

import (
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		bool bool
		text string
		want telemetry.Value
	}{
		{true, "1", on}, {true, "On", on}, {true, "true", on}, {true, "0", off}, {true, "off", off}, {true, "FALSE", off},
		{true, "2", telemetry.Value{}}, {true, "", telemetry.Value{}}, {true, "open", telemetry.Value{}},
		{false, "7", telemetry.IntValue(7)}, {false, "-7", telemetry.IntValue(-7)}, {false, "18446744073709551615", telemetry.UintValue(18446744073709551615)},
		{false, "9007199254740993", telemetry.IntValue(9007199254740993)}, {false, "0.1", telemetry.FloatValue(0.1)}, {false, "1e3", telemetry.FloatValue(1000)},
		{false, "NaN", telemetry.Value{}}, {false, "Inf", telemetry.Value{}}, {false, "7 kW", telemetry.Value{}}, {false, "on", telemetry.Value{}}, {false, "", telemetry.Value{}},
	} {
		got, err := Point{Bool: c.bool}.Parse(c.text)
		if got != c.want || (err != nil) != (c.want == telemetry.Value{}) {
			t.Errorf("%q: %v, %v", c.text, got, err)
		}
	}
}
