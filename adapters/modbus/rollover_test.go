package modbus

import (
	"fmt"
	"testing"
)

func TestWhereCountersBeginAgain(t *testing.T) {
	for _, c := range []struct {
		point Point
		want  string
	}{
		{Point{Type: Uint16}, "[{0 65536}]"},
		{Point{Type: Uint8}, "[{0 256}]"},
		{Point{Type: Uint32, Scale: 0.5}, "[{0 2.147483648e+09}]"},
		{Point{Type: Uint64}, "[{0 1.8446744073709552e+19}]"},
		{Point{Type: Uint32, Mask: 0xFFF0}, "[{0 4096}]"},
		{Point{Type: Uint16, Scale: 10, Offset: 5}, "[{5 655360}]"},
		{Point{Type: Int16}, "[{0 32768} {-32768 65536}]"},
		{Point{Type: Int16, Factor: new(uint16(1))}, "[{0 32768}]"},
		{Point{Type: BCD16}, "[{0 10000}]"},
		{Point{Type: BCD32, Scale: 0.1}, "[{0 1e+07}]"},
		{Point{Type: BCD64}, "[{0 1e+16}]"},
		{Point{Type: Float32}, "[]"},
		{Point{Type: Uint16, Scale: -1}, "[]"},
		{Point{Type: String, Length: 3}, "[]"},
	} {
		if got := fmt.Sprint(c.point.Ranges()); got != c.want {
			t.Errorf("%+v: %s, expected %s", c.point, got, c.want)
		}
	}
}
