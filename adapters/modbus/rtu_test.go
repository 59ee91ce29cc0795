package modbus

import (
	"bytes"
	"testing"

	goburrow "github.com/goburrow/modbus"
)

// The request and answer of the standard's example of function 3, of unit 0x11.
var (
	rtuRequest = withCRC(0x11, []byte{3, 0, 0x6B, 0, 3})
	rtuReply   = withCRC(0x11, []byte{3, 6, 0x02, 0x2B, 0, 0, 0, 0x64})
	rtuRefused = withCRC(0x11, []byte{0x83, 2})
)

func newRTU() *rtu { return &rtu{RTUClientHandler: goburrow.NewRTUClientHandler("")} }

func TestFindOnALine(t *testing.T) {
	with := func(at int, b byte) []byte {
		out := bytes.Clone(rtuReply)
		out[at] = b
		return out
	}
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	cases := []struct {
		name          string
		in, want      []byte
		begun, broken bool
	}{
		{name: "nothing"},
		{name: "whole", in: rtuReply, want: rtuReply},
		{name: "whole and more", in: join(rtuReply, []byte{0x11, 3}), want: rtuReply},
		{name: "refusal", in: rtuRefused, want: rtuRefused},
		{name: "after noise", in: join([]byte{0, 0x11, 0xFF}, rtuReply), want: rtuReply},
		{name: "after another unit's", in: join(withCRC(0x12, rtuReply[1:9]), rtuReply), want: rtuReply},
		{name: "after a broken one", in: join(with(4, 0), rtuReply), want: rtuReply},
		{name: "after the start of one", in: join(rtuReply[:5], rtuReply), want: rtuReply},
		{name: "after the echo", in: join(rtuRequest, rtuReply), want: rtuReply},
		{name: "refusal after the echo", in: join(rtuRequest, rtuRefused), want: rtuRefused},
		{name: "echo", in: rtuRequest},
		{name: "start of the echo", in: rtuRequest[:5]},
		{name: "start", in: rtuReply[:4], begun: true},
		{name: "all but the end", in: rtuReply[:10], begun: true},
		{name: "start of a refusal", in: rtuRefused[:4], begun: true},
		{name: "wrong checksum", in: with(9, 0), begun: true, broken: true},
		{name: "wrong unit", in: withCRC(0x12, rtuReply[1:9])},
		{name: "wrong function", in: withCRC(0x11, join([]byte{4}, rtuReply[2:9]))},
		{name: "exception to another function", in: withCRC(0x11, []byte{0x84, 2})},
		{name: "one register less", in: withCRC(0x11, []byte{3, 4, 2, 0x2B, 0, 0})},
		{name: "one register more", in: withCRC(0x11, []byte{3, 8, 2, 0x2B, 0, 0, 0, 1, 0, 2})},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := newRTU().find(rtuRequest, &threeRegisters, 0, c.in)
			if !bytes.Equal(got.answer, c.want) || got.wrong != nil || got.drop != 0 {
				t.Errorf("%+v, expected % x", got, c.want)
			}
			if c.want == nil && (got.begun != c.begun || got.broken != c.broken) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// The answer for 24 coils can have the bytes of the request. Then it counts as the
// echo, and what is read as none.
func TestAnswerThatLooksLikeItsEcho(t *testing.T) {
	sent := withCRC(1, []byte{1, 3, 0, 0, 20})
	want := readReply(request{table: Coil, first: 0x300, count: 20})
	if got := newRTU().find(sent, &want, 0, sent); got.answer != nil || got.broken {
		t.Errorf("%+v", got)
	}
	if got := newRTU().find(sent, &want, 0, append([]byte{0}, sent...)); got.answer != nil {
		t.Errorf("after noise: %+v", got)
	}
	answer := withCRC(1, []byte{1, 3, 0, 0, 21})
	if got := newRTU().find(sent, &want, 0, append(bytes.Clone(sent), answer...)); !bytes.Equal(got.answer, answer) {
		t.Errorf("%+v", got)
	}
}

// FuzzRTU holds find to its purpose on a line: what it finds is an answer to the
// request by the standard, and noise before an answer hides none.
func FuzzRTU(f *testing.F) {
	f.Add(uint8(3), uint16(3), []byte{})
	f.Add(uint8(3), uint16(3), rtuReply)
	f.Add(uint8(3), uint16(3), rtuRefused)
	f.Add(uint8(3), uint16(3), append(bytes.Clone(rtuRequest), rtuReply...))
	f.Add(uint8(1), uint16(20), withCRC(0x11, []byte{1, 3, 0, 0, 20}))
	f.Add(uint8(4), uint16(125), []byte{0x11, 4, 250, 0x11, 0x84, 0x11})
	f.Fuzz(func(t *testing.T, function uint8, count uint16, in []byte) {
		r := request{table: []Table{Coil, Discrete, Holding, Input}[function%4], first: 0x6B, count: count%maxBits + 1}
		if r.table.Registers() {
			r.count = count%maxRegisters + 1
		}
		sent := withCRC(0x11, []byte{r.function(), 0, 0x6B, byte(r.count >> 8), byte(r.count)})
		framing, want := newRTU(), readReply(r)
		got := framing.find(sent, &want, 0, in)
		if got.wrong != nil || got.drop != 0 {
			t.Fatalf("%+v", got)
		}
		if a := got.answer; a != nil {
			n := len(a)
			if a[0] != 0x11 || crc(a[:n-2]) != uint16(a[n-1])<<8|uint16(a[n-2]) || !bytes.Contains(in, a) || bytes.Equal(a, sent) {
				t.Fatalf("% x in % x", a, in)
			}
			if !(a[1] == r.function()|0x80 && n == 5) && !(a[1] == r.function() && int(a[2]) == r.bytes() && n == 5+r.bytes()) {
				t.Fatalf("% x for %v", a, r)
			}
			if err := framing.Verify(sent, a); err != nil {
				t.Fatal(err)
			}
		}
		answer := withCRC(0x11, append([]byte{r.function(), byte(r.bytes())}, make([]byte, r.bytes())...))
		if after := framing.find(sent, &want, 0, append(bytes.Clone(in), answer...)); after.answer == nil && !bytes.Equal(answer, sent) {
			t.Fatalf("an answer after % x isn't found", in)
		}
	})
}
