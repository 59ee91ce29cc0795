package modbus

import (
	"encoding/hex"
	"math"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

// The byte strings are those of Python's struct.pack with ">h", ">i", ">q",
// ">f" and so on; those of the other orders are permuted by hand.
func TestDecode(t *testing.T) {
	f, i, u := telemetry.FloatValue, telemetry.IntValue, telemetry.UintValue
	none := telemetry.Value{}
	cases := []struct {
		typ   Type
		order Order
		bytes string
		want  telemetry.Value
	}{
		{Int16, "", "cfc7", i(-12345)},
		{Int16, CDAB, "cfc7", i(-12345)},
		{Int16, BADC, "c7cf", i(-12345)},
		{Int16, DCBA, "c7cf", i(-12345)},
		{Int16, ABCD, "8000", i(math.MinInt16)},
		{Uint16, ABCD, "d431", u(54321)},
		{Uint16, DCBA, "31d4", u(54321)},
		{Int32, ABCD, "f8a432eb", i(-123456789)},
		{Int32, CDAB, "32ebf8a4", i(-123456789)},
		{Int32, BADC, "a4f8eb32", i(-123456789)},
		{Int32, DCBA, "eb32a4f8", i(-123456789)},
		{Uint32, ABCD, "efcdab89", u(4023233417)},
		{Uint32, DCBA, "89abcdef", u(4023233417)},
		{Int64, ABCD, "eeddef0b82167eeb", i(-1234567890123456789)},
		{Int64, CDAB, "7eeb8216ef0beedd", i(-1234567890123456789)},
		{Int64, BADC, "ddee0bef1682eb7e", i(-1234567890123456789)},
		{Int64, DCBA, "eb7e16820befddee", i(-1234567890123456789)},
		{Uint64, ABCD, "fedcba9876543210", u(18364758544493064720)},
		{Uint64, CDAB, "32107654ba98fedc", u(18364758544493064720)},
		{Float32, ABCD, "4366199a", f(float64(float32(230.1)))},
		{Float32, CDAB, "199a4366", f(float64(float32(230.1)))},
		{Float32, BADC, "66439a19", f(float64(float32(230.1)))},
		{Float32, DCBA, "9a196643", f(float64(float32(230.1)))},
		{Float32, ABCD, "c1480000", f(-12.5)},
		{Float32, ABCD, "80000000", f(math.Copysign(0, -1))},
		{Float32, ABCD, "7f800000", f(math.Inf(1))},
		{Float32, ABCD, "7fc00000", none},
		{Float32, ABCD, "ffffffff", none},
		{Float64, ABCD, "406cc33333333333", f(230.1)},
		{Float64, CDAB, "33333333c333406c", f(230.1)},
		{Float64, BADC, "6c4033c333333333", f(230.1)},
		{Float64, DCBA, "33333333 33c36c40", f(230.1)},
		{Float64, ABCD, "7ff0000000000001", none},
	}
	for _, c := range cases {
		t.Run(string(c.typ)+string(c.order)+c.bytes, func(t *testing.T) {
			d := newDecoder(Point{Table: Holding, Type: c.typ, Order: c.order})
			data := append([]byte{0x55, 0x55}, unhex(t, c.bytes)...)
			got, reason := d.value(data, 1)
			if got != c.want {
				t.Errorf("%v %v, expected %v %v", got.Kind(), got, c.want.Kind(), c.want)
			}
			if (reason == telemetry.NotANumber) != (c.want == none) {
				t.Errorf("reason %q", reason)
			}
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	var digits []byte
	for _, c := range []byte(s) {
		if c != ' ' {
			digits = append(digits, c)
		}
	}
	b, err := hex.DecodeString(string(digits))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The standard's example of function 1: CD 6B 05 for coils 20 to 38 (Modbus
// Application Protocol V1.1b3, 6.1).
func TestDecodeBits(t *testing.T) {
	d := newDecoder(Point{Table: Coil, Type: Bool})
	data := []byte{0xCD, 0x6B, 0x05}
	const want = "1011001111010110101" // coil 20 first
	for i, bit := range want {
		if got, _ := d.value(data, i); got != telemetry.BoolValue(bit == '1') {
			t.Errorf("coil %d is %v", 20+i, got)
		}
	}
}

func TestScale(t *testing.T) {
	cases := []struct {
		typ           Type
		bytes         string
		scale, offset float64
		want          telemetry.Value
	}{
		{Uint16, "08fd", 0.1, 0, telemetry.FloatValue(230.1)}, // 2301 * 0.1 is 230.10000000000002
		{Uint16, "08fd", 1, 0, telemetry.UintValue(2301)},
		{Int16, "fffe", 0, 0, telemetry.IntValue(-2)},
		{Int16, "fffe", 0, 1, telemetry.FloatValue(-1)},
		{Int16, "0003", 0.1, 0, telemetry.FloatValue(0.3)},
		{Uint16, "0003", 1.1, 0, telemetry.FloatValue(3.3)},
		{Uint16, "08fd", 0.1, -273.15, telemetry.FloatValue(-43.05)}, // 230.1 - 273.15 is -43.04999999999998
		{Uint16, "0007", 1000, 0, telemetry.FloatValue(7000)},
		{Uint16, "0003", 1.0 / 3, 0, telemetry.FloatValue(1)},
		{Int32, "ffffffff", -0.001, 0, telemetry.FloatValue(0.001)},
		{Float32, "41440000", 1000, 0, telemetry.FloatValue(12250)},
		{Float32, "4144cccd", 1000, 0, telemetry.FloatValue(12300)}, // 12.3, which is 12.300000190734863 as a float64
		{Float32, "7fc00000", 0.1, 0, telemetry.Value{}},
		{Float32, "ff800000", 0.1, 3, telemetry.FloatValue(math.Inf(-1))},
	}
	for _, c := range cases {
		d := newDecoder(Point{Table: Holding, Type: c.typ, Scale: c.scale, Offset: c.offset})
		if got, _ := d.value(unhex(t, c.bytes), 0); got != c.want {
			t.Errorf("%s %s × %v + %v is %v %v, expected %v", c.typ, c.bytes, c.scale, c.offset, got.Kind(), got, c.want)
		}
	}
}

// A decimal scale must give the float64 that is nearest to the decimal number,
// which strconv finds by another way.
func TestDecimalScaleIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.Int32().Draw(t, "raw")
		digits := rapid.IntRange(1, 9).Draw(t, "digits")
		scale, err := strconv.ParseFloat("1e-"+strconv.Itoa(digits), 64)
		if err != nil {
			t.Fatal(err)
		}
		d := newDecoder(Point{Table: Holding, Type: Int32, Scale: scale})
		got, _ := d.value([]byte{byte(raw >> 24), byte(raw >> 16), byte(raw >> 8), byte(raw)}, 0)
		want, err := strconv.ParseFloat(strconv.Itoa(int(raw))+"e-"+strconv.Itoa(digits), 64)
		if err != nil {
			t.Fatal(err)
		}
		if got != telemetry.FloatValue(want) {
			t.Fatalf("%v, expected %v", got, want)
		}
	})
}
