package configfile

import (
	"encoding"
	"testing"
	"time"
)

func TestScalars(t *testing.T) {
	text := func(into encoding.TextUnmarshaler, s string) (any, bool) {
		err := into.UnmarshalText([]byte(s))
		switch v := into.(type) {
		case *Duration:
			return *v, err == nil
		case *Size:
			return *v, err == nil
		}
		return *into.(*Quantity), err == nil
	}
	for _, c := range []struct {
		into encoding.TextUnmarshaler
		in   string
		want any // nil: an error
	}{
		{new(Duration), "250ms", Duration(250 * time.Millisecond)},
		{new(Duration), "1h30m", Duration(90 * time.Minute)},
		{new(Duration), "-1s", nil},
		{new(Duration), "5", nil},
		{new(Duration), "1 s", nil},
		{new(Size), "4GiB", 4 * GiB},
		{new(Size), "1.5 MiB", 1536 * KiB},
		{new(Size), "4GB", nil},
		{new(Size), "-4GiB", nil},
		{new(Size), "NaNGiB", nil},
		{new(Size), "InfGiB", nil},
		{new(Size), "1e30GiB", nil},
		{new(Size), "GiB", nil},
		{new(Quantity), "230 V", Quantity{230, "V"}},
		{new(Quantity), "-2.5e3", Quantity{-2500, ""}},
		{new(Quantity), "5 %", Quantity{5, "%"}},
		{new(Quantity), "V 230", nil},
		{new(Quantity), "230V", nil},
		{new(Quantity), "NaN V", nil},
		{new(Quantity), "Inf", nil},
		{new(Quantity), "", nil},
	} {
		got, ok := text(c.into, c.in)
		if ok != (c.want != nil) || ok && got != c.want {
			t.Errorf("%T %q: %v, %t, want %v", c.into, c.in, got, ok, c.want)
		}
	}
}

func TestScalarsAsText(t *testing.T) {
	for _, c := range []struct {
		in   interface{ String() string }
		want string
	}{
		{Duration(24 * time.Hour), "24h"}, {Duration(90 * time.Minute), "1h30m"}, {Duration(time.Minute), "1m"}, {Duration(0), "0s"},
		{Duration(time.Hour + time.Second), "1h0m1s"}, {Duration(10 * time.Second), "10s"}, {Duration(10 * time.Hour), "10h"},
		{4 * GiB, "4GiB"}, {1536 * KiB, "1536KiB"}, {Size(1000), "1000"}, {Size(0), "0"},
		{Quantity{230, "V"}, "230 V"}, {Quantity{0.5, ""}, "0.5"},
	} {
		if got := c.in.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
