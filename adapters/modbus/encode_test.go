package modbus

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

// What is encoded is decoded again, and nothing else changes.
func TestEncodeIsUndoneByDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Point{
			Table: Holding,
			Type:  rapid.SampledFrom(Types()).Draw(t, "type"),
			Order: rapid.SampledFrom([]Order{ABCD, CDAB, BADC, DCBA}).Draw(t, "order"),
		}
		switch p.Type {
		case String:
			p.Length = rapid.IntRange(1, 8).Draw(t, "length")
		case Bool:
			p.Bit = rapid.Uint8Max(15).Draw(t, "bit")
		case Uint16, Uint32, Uint64:
			if rapid.Bool().Draw(t, "masked") {
				low := rapid.IntRange(0, p.Type.bits()-2).Draw(t, "low")
				p.Mask = (1<<rapid.IntRange(1, p.Type.bits()-1-low).Draw(t, "bits") - 1) << low
			}
		}
		if errs := p.Check(); errs != nil {
			t.Fatal(errs)
		}
		// Any registers give a value, unless it is none; the same registers with that
		// put in are the same.
		data := rapid.SliceOfN(rapid.Byte(), 2*p.Size(), 2*p.Size()).Draw(t, "registers")
		v, reason, err := p.Decode(Holding, 0, data)
		if err != nil {
			t.Fatal(err)
		}
		if reason != telemetry.NoReason || p.Type == String {
			return
		}
		after := bytes.Clone(data)
		if err := p.Encode(v, after); err != nil {
			t.Fatalf("%v: %v", v, err)
		}
		if !bytes.Equal(after, data) {
			t.Fatalf("%v in %x gives %x", v, data, after)
		}
		// In other registers only its own bits change.
		other := rapid.SliceOfN(rapid.Byte(), len(data), len(data)).Draw(t, "other registers")
		if err := p.Encode(v, other); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := p.Decode(Holding, 0, other); got != v {
			t.Fatalf("%v, expected %v", got, v)
		}
	})
}

func TestEncode(t *testing.T) {
	f, i, u := telemetry.FloatValue, telemetry.IntValue, telemetry.UintValue
	cases := []struct {
		point Point
		value telemetry.Value
		want  string // "": refused
	}{
		{Point{Type: Uint16, Scale: 0.1}, f(230.1), "08fd"},
		{Point{Type: Uint16, Scale: 0.1}, f(230.14), "08fd"},
		{Point{Type: Int16, Scale: 0.1, Offset: -273.15}, f(-43.05), "08fd"},
		{Point{Type: Int32, Order: CDAB, Scale: 0.001}, f(-1.5), "fa24ffff"},
		{Point{Type: Float32, Scale: 1000}, f(12300), "4144cccd"},
		{Point{Type: Uint16}, f(65535), "ffff"},
		{Point{Type: Uint16}, f(65536), ""},
		{Point{Type: Uint16}, f(-1), ""},
		{Point{Type: Uint16}, i(-1), ""},
		{Point{Type: Int16}, i(-32768), "8000"},
		{Point{Type: Int16}, i(-32769), ""},
		{Point{Type: Int16}, u(32768), ""},
		{Point{Type: Int64}, u(math.MaxUint64), ""},
		{Point{Type: Int64}, u(5), "0000000000000005"},
		{Point{Type: Uint64}, u(math.MaxUint64), "ffffffffffffffff"},
		{Point{Type: Uint64}, f(math.Ldexp(1, 64)), ""},
		{Point{Type: Uint16, Mask: 0x0F00}, u(15), "0f00"},
		{Point{Type: Uint16, Mask: 0x0F00}, u(16), ""},
		{Point{Type: BCD16}, u(9999), "9999"},
		{Point{Type: BCD16}, u(10000), ""},
		{Point{Type: Float16}, f(65504), "7bff"},
		{Point{Type: Float16}, f(65520), ""},
		{Point{Type: Float32}, f(1e39), ""},
		{Point{Type: Float32}, f(math.Inf(1)), "7f800000"},
		{Point{Type: Bool, Bit: 3}, telemetry.BoolValue(true), "0008"},
		{Point{Type: Bool, Bit: 3}, u(2), ""},
		{Point{Type: String, Length: 3, Order: BADC}, telemetry.TextValue("SDM6"), "4453364d0000"},
		{Point{Type: String, Length: 1}, telemetry.TextValue("SDM"), ""},
		{Point{Type: Uint16}, telemetry.TextValue("1"), ""},
		{Point{Type: Uint16}, telemetry.Value{}, ""},
	}
	for _, c := range cases {
		c.point.Table = Holding
		data := make([]byte, 2*c.point.Size())
		err := c.point.Encode(c.value, data)
		if c.want == "" {
			if err == nil || !bytes.Equal(data, make([]byte, len(data))) {
				t.Errorf("%s %v: %x, %v; expected an error", c.point.Type, c.value, data, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(data, unhex(t, c.want)) {
			t.Errorf("%s %v: %x, %v; expected %s", c.point.Type, c.value, data, err, c.want)
		}
	}
}
