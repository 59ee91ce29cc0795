package modbus

import (
	"bytes"
	"encoding/binary"
	"math"
	"net"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// The float16 byte strings are those of Python's struct.pack(">e").
func TestDecodeWhatDevicesHave(t *testing.T) {
	f, i, u, b := telemetry.FloatValue, telemetry.IntValue, telemetry.UintValue, telemetry.BoolValue
	none := telemetry.Value{}
	cases := map[string]struct {
		point  Point
		bytes  string
		want   telemetry.Value
		reason telemetry.Reason
	}{
		"low byte":                {Point{Type: Uint8}, "a1fe", u(0xFE), 0},
		"low byte, signed":        {Point{Type: Int8}, "a1fe", i(-2), 0},
		"high byte":               {Point{Type: Uint8, Order: BADC}, "a1fe", u(0xA1), 0},
		"high byte, signed":       {Point{Type: Int8, Order: BADC}, "a1fe", i(-95), 0},
		"float16":                 {Point{Type: Float16}, "5b31", f(230.125), 0},
		"float16, subnormal":      {Point{Type: Float16}, "0001", f(5.960464477539063e-08), 0},
		"float16, negative":       {Point{Type: Float16}, "c100", f(-2.5), 0},
		"float16, largest":        {Point{Type: Float16}, "7bff", f(65504), 0},
		"float16, infinite":       {Point{Type: Float16}, "fc00", f(math.Inf(-1)), 0},
		"float16, no number":      {Point{Type: Float16}, "7e00", none, telemetry.NotANumber},
		"float16, bytes swapped":  {Point{Type: Float16, Order: BADC}, "315b", f(230.125), 0},
		"bcd":                     {Point{Type: BCD16}, "1234", u(1234), 0},
		"bcd of two registers":    {Point{Type: BCD32, Order: CDAB, Scale: 0.01}, "56781234", f(123456.78), 0},
		"bcd of four registers":   {Point{Type: BCD64}, "9999999999999999", u(9999999999999999), 0},
		"bcd without digits":      {Point{Type: BCD32}, "1234567a", none, telemetry.NotANumber},
		"bit":                     {Point{Type: Bool, Bit: 3}, "0008", b(true), 0},
		"bit that is not set":     {Point{Type: Bool, Bit: 15}, "7fff", b(false), 0},
		"bit of swapped bytes":    {Point{Type: Bool, Bit: 15, Order: BADC}, "0080", b(true), 0},
		"mask":                    {Point{Type: Uint16, Mask: 0x0F00}, "a5c3", u(5), 0},
		"mask and scale":          {Point{Type: Uint32, Mask: 0xFFFF0000, Scale: 0.1}, "00171234", f(2.3), 0},
		"text":                    {Point{Type: String, Length: 4}, "53444d3633300000", telemetry.TextValue("SDM630"), 0},
		"text, bytes swapped":     {Point{Type: String, Length: 4, Order: BADC}, "4453364d30330000", telemetry.TextValue("SDM630"), 0},
		"text without an end":     {Point{Type: String, Length: 2}, "20412020", telemetry.TextValue("A"), 0},
		"text of Latin-1":         {Point{Type: String, Length: 2}, "4df67400", telemetry.TextValue("Möt"), 0},
		"text of UTF-8":           {Point{Type: String, Length: 2}, "4dc3b600", telemetry.TextValue("Mö"), 0},
		"absent":                  {Point{Type: Int16, Absent: []uint64{0x8000}}, "8000", none, telemetry.NotImplemented},
		"absent, scaled":          {Point{Type: Uint32, Absent: []uint64{0xFFFFFFFF}, Scale: 0.1}, "ffffffff", none, telemetry.NotImplemented},
		"one of several absent":   {Point{Type: Uint16, Absent: []uint64{0, 0xFFFF}}, "0000", none, telemetry.NotImplemented},
		"absent before the mask":  {Point{Type: Uint16, Absent: []uint64{0xFF01}, Mask: 0xFF}, "ff01", none, telemetry.NotImplemented},
		"absent, a byte":          {Point{Type: Uint8, Absent: []uint64{0xFF}}, "12ff", none, telemetry.NotImplemented},
		"absent, no number":       {Point{Type: Float32, Absent: []uint64{0x7FC00000}}, "7fc00000", none, telemetry.NotImplemented},
		"absent, all 64 bits":     {Point{Type: Uint64, Absent: []uint64{math.MaxUint64}}, "ffffffffffffffff", none, telemetry.NotImplemented},
		"not absent but the next": {Point{Type: Int16, Absent: []uint64{0x8000}}, "8001", i(-32767), 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.point.Table = Holding
			if errs := c.point.Check(); errs != nil {
				t.Fatal(errs)
			}
			d := newDecoder(c.point)
			got, reason := d.value(append([]byte{0x55, 0x55}, unhex(t, c.bytes)...), 1)
			if got != c.want || reason != c.reason {
				t.Errorf("%v %v, %q; expected %v %v, %q", got.Kind(), got, reason, c.want.Kind(), c.want, c.reason)
			}
		})
	}
}

func TestPointsThatCannotBe(t *testing.T) {
	cases := map[string]Point{
		"length: 0, expected 1 to 125 registers":            {Type: String},
		"length: 126, expected 1 to 125 registers":          {Type: String, Length: 126},
		"length: 2, but only a string has one":              {Type: Uint32, Length: 2},
		"type: string has no scale, offset or factor":       {Type: String, Length: 1, Scale: 2},
		"bit: 16, expected 0 to 15":                         {Type: Bool, Bit: 16},
		"bit: 1, but only a bool in a register has one":     {Type: Uint16, Bit: 1},
		"mask: 0xff, but int16 is no unsigned integer":      {Type: Int16, Mask: 0xFF},
		"mask: 0x101 has a gap, expected neighbouring bits": {Type: Uint16, Mask: 0x101},
		"mask: 0x10000 is wider than uint16":                {Type: Uint16, Mask: 0x10000},
		"mask: 0x100 is wider than uint8":                   {Type: Uint8, Mask: 0x100},
		"absent: bool has every value":                      {Type: Bool, Absent: []uint64{1}},
		"absent: 0x10000 is wider than int16":               {Type: Int16, Absent: []uint64{0x10000}},
	}
	for want, p := range cases {
		p.Table = Holding
		errs := p.Check()
		if len(errs) != 1 || errs[0].Error() != want {
			t.Errorf("%v, expected %s", errs, want)
		}
	}
}

// The register of a factor is read along, wherever it lies, and a value without
// its factor is none.
func TestFactors(t *testing.T) {
	at := func(a uint16) *uint16 { return &a }
	registers := map[int]uint16{0: 2301, 1: 0xFFFF, 2: 0x8000, 3: 11, 4: 5, 200: 2, 10: 0xFFFE}
	p := startPeer(t)
	p.misbehave(func(c net.Conn, request []byte) error {
		first, count := int(binary.BigEndian.Uint16(request[8:])), int(binary.BigEndian.Uint16(request[10:]))
		pdu := []byte{request[7], byte(2 * count)}
		for a := first; a < first+count; a++ {
			if a == 300 {
				return write(c, refusal(request, 2))
			}
			pdu = binary.BigEndian.AppendUint16(pdu, registers[a])
		}
		return write(c, frame(request, pdu))
	})
	var d Device
	add := func(typ Type, factor uint16, scale float64) {
		d.Points = append(d.Points, Point{Signal: telemetry.SignalID(len(d.Points) + 1), Table: Holding, Type: typ, Factor: at(factor), Scale: scale})
	}
	add(Uint16, 1, 0)    // × 10⁻¹
	add(Uint16, 200, 0)  // × 10², elsewhere
	add(Uint16, 2, 0)    // the factor isn't there
	add(Uint16, 3, 0)    // × 10¹¹, which no device means
	add(Uint16, 300, 0)  // the factor is refused
	add(Uint16, 10, 1e3) // × 10⁻² × 1000
	r, poll := readerOf(t, p, d)
	for range 3 {
		poll()
		for i, want := range []telemetry.Value{telemetry.FloatValue(230.1), telemetry.FloatValue(230100), {}, {}, {}, telemetry.FloatValue(23010)} {
			reason := []telemetry.Reason{0, 0, telemetry.NotImplemented, telemetry.Malformed, telemetry.Refused, 0}[i]
			if s := r.samples[i]; s.Value != want || s.Quality.Reason() != reason {
				t.Errorf("%d: %v, %v; expected %v, %q", i, s.Value, s.Quality, want, reason)
			}
		}
		if r.good != 3 {
			t.Errorf("%d good", r.good)
		}
	}
}

func FuzzDecodeRegisters(f *testing.F) {
	types := Types()
	f.Add([]byte("\x43\x66\x19\x9a"), uint8(10), uint8(0), uint64(0), 0.1, 0.0)
	f.Add(bytes.Repeat([]byte{0xFF}, 250), uint8(15), uint8(1), uint64(0), 1.0, 0.0)
	f.Fuzz(func(t *testing.T, data []byte, typ, order uint8, mask uint64, scale, offset float64) {
		p := Point{
			Table: Holding, Type: types[int(typ)%len(types)], Order: []Order{ABCD, CDAB, BADC, DCBA}[order%4],
			Mask: mask, Scale: scale, Offset: offset,
		}
		if p.Type == String {
			p.Length = len(data) / 2
		}
		if p.Check() != nil || len(data) < 2*p.Size() {
			return
		}
		d := newDecoder(p)
		v, reason := d.value(data, 0)
		if (v.Kind() == telemetry.None) != (reason != telemetry.NoReason) {
			t.Errorf("%v with reason %q", v, reason)
		}
	})
}
