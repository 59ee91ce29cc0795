package telemetry

import (
	"math"
	"testing"
)

func TestAValueIsShownAsItsRegisterHasIt(t *testing.T) {
	named := Signal{States: States{2: "running"}}
	for _, c := range []struct {
		signal Signal
		value  Value
		want   string
	}{
		{Signal{}, FloatValue(float64(float32(229.9))), "229.9"},
		{Signal{}, FloatValue(229.9), "229.9"},
		{Signal{}, FloatValue(0.1234567890123), "0.1234567890123"},
		{Signal{}, FloatValue(16777217), "1.6777217e+07"},
		{Signal{}, FloatValue(math.NaN()), "NaN"},
		{Signal{}, FloatValue(math.Inf(1)), "+Inf"},
		{Signal{}, Value{}, "–"},
		{Signal{}, IntValue(-3), "-3"},
		{named, UintValue(2), "running (2)"},
		{named, UintValue(3), "3"},
	} {
		if got := c.signal.Show(c.value); got != c.want {
			t.Errorf("%v: %q, want %q", c.value, got, c.want)
		}
	}
}
