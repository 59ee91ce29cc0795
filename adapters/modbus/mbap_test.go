package modbus

import (
	"bytes"
	"encoding/binary"
	"testing"

	goburrow "github.com/goburrow/modbus"
)

// The request and answer of the standard's example of function 3: registers
// 108 to 110 (Modbus Application Protocol V1.1b3, 6.3), as transaction 0x1501
// of unit 0xFF.
var (
	exampleRequest = []byte{0x15, 0x01, 0, 0, 0, 6, 0xFF, 3, 0, 0x6B, 0, 3}
	exampleReply   = []byte{0x15, 0x01, 0, 0, 0, 9, 0xFF, 3, 6, 0x02, 0x2B, 0, 0, 0, 0x64}
	exampleRefusal = []byte{0x15, 0x01, 0, 0, 0, 3, 0xFF, 0x83, 2}
)

func TestReplyLength(t *testing.T) {
	with := func(at int, b byte) []byte {
		out := bytes.Clone(exampleReply)
		out[at] = b
		return out
	}
	cases := []struct {
		name string
		in   []byte
		want int // -1: an error
	}{
		{"whole", exampleReply, 15},
		{"whole and more", append(bytes.Clone(exampleReply), 0), 15},
		{"refusal", exampleRefusal, 9},
		{"transaction", with(1, 2), -1},
		{"protocol", with(3, 1), -1},
		{"length too long", with(5, 10), -1},
		{"length too short", with(5, 8), -1},
		{"length huge", with(4, 0xFF), -1},
		{"unit", with(6, 1), -1},
		{"function", with(7, 4), -1},
		{"exception to another function", with(7, 0x84), -1},
		{"byte count short", with(8, 4), -1},
		{"byte count long", with(8, 8), -1},
		{"refusal with a length for data", append(bytes.Clone(exampleReply[:7]), 0x83, 6, 0, 0, 0, 0, 0, 0), -1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n, err := replyLength(exampleRequest, &threeRegisters, c.in)
			if err != nil {
				n = -1
			}
			if n != c.want {
				t.Errorf("%d, %v, expected %d", n, err, c.want)
			}
		})
	}
	for n := range exampleReply {
		if got, err := replyLength(exampleRequest, &threeRegisters, exampleReply[:n]); got != 0 || err != nil {
			t.Errorf("the first %d bytes: %d, %v", n, got, err)
		}
	}
}

// FuzzReply holds replyLength to its purpose: what it lets through can't be
// taken for another answer, nor upset the library that unpacks it.
func FuzzReply(f *testing.F) {
	f.Add(uint8(3), uint16(3), []byte{})
	f.Add(uint8(3), uint16(3), exampleReply)
	f.Add(uint8(3), uint16(3), exampleRefusal)
	f.Add(uint8(1), uint16(19), []byte{0x15, 0x01, 0, 0, 0, 6, 0xFF, 1, 3, 0xCD, 0x6B, 0x05})
	f.Add(uint8(2), uint16(2000), []byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add(uint8(4), uint16(125), []byte{0x15, 0x01, 0, 0, 0xFF, 0xFF, 0xFF, 4, 250})
	f.Fuzz(func(t *testing.T, function uint8, count uint16, in []byte) {
		r := request{table: []Table{Coil, Discrete, Holding, Input}[function%4], count: count}
		if limit := uint16(maxRegisters); r.table.Registers() {
			r.count = count%limit + 1
		} else {
			r.count = count%maxBits + 1
		}
		sent := bytes.Clone(exampleRequest)
		sent[headerSize] = r.function()
		want := readReply(r)
		n, err := replyLength(sent, &want, in)
		if err != nil || n == 0 {
			if n != 0 {
				t.Fatalf("length %d and %v", n, err)
			}
			return
		}
		if n > len(in) || n > maxFrame {
			t.Fatalf("length %d of %d bytes", n, len(in))
		}
		packager := goburrow.NewTCPClientHandler("")
		if err := packager.Verify(sent, in[:n]); err != nil {
			t.Fatal(err)
		}
		pdu, err := packager.Decode(in[:n])
		if err != nil {
			t.Fatal(err)
		}
		switch pdu.FunctionCode {
		case r.function():
			if len(pdu.Data) != 1+r.bytes() || int(pdu.Data[0]) != r.bytes() {
				t.Fatalf("% x for %v", pdu.Data, r)
			}
		case r.function() | 0x80:
			if len(pdu.Data) != 1 {
				t.Fatalf("exception % x", pdu.Data)
			}
		default:
			t.Fatalf("function %d for %d", pdu.FunctionCode, r.function())
		}
		for cut := range n {
			if m, err := replyLength(sent, &want, in[:cut]); m != 0 || err != nil {
				t.Fatalf("whole at %d, but %d, %v at %d", n, m, err, cut)
			}
		}
	})
}

func TestFindPassesOverLateAnswers(t *testing.T) {
	with := func(transaction uint16, b []byte) []byte {
		b = bytes.Clone(b)
		binary.BigEndian.PutUint16(b, transaction)
		return b
	}
	old := func(transaction uint16) []byte { return with(transaction, exampleReply) }
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	now := uint16(0x1501)
	cases := []struct {
		name    string
		earlier int
		in      []byte
		answer  []byte
		drop    int
		wrong   bool
	}{
		{name: "none", earlier: 9, in: exampleReply, answer: exampleReply},
		{name: "one", earlier: 9, in: join(old(now-1), exampleReply), answer: exampleReply, drop: 15},
		{name: "two of different sizes", earlier: 9, in: join(with(now-9, exampleRefusal), old(now-1), exampleReply), answer: exampleReply, drop: 24},
		{name: "one, and the start of the answer", earlier: 9, in: join(old(now-1), exampleReply[:8]), drop: 15},
		{name: "the start of one", earlier: 9, in: old(now - 1)[:14]},
		{name: "one that wasn't asked on this connection", earlier: 9, in: old(now - 10), wrong: true},
		{name: "the first of a connection", earlier: 0, in: old(now - 1), wrong: true},
		{name: "the next", earlier: 9, in: old(now + 1), wrong: true},
		{name: "one from long ago", earlier: 1 << 20, in: old(now - maxOld - 1), wrong: true},
		{name: "one with another protocol", earlier: 9, in: append([]byte{0x15, 0, 0, 1}, exampleReply[4:]...), wrong: true},
		{name: "one that is too long", earlier: 9, in: []byte{0x15, 0, 0, 0, 1, 0, 0xFF, 3, 6}, wrong: true},
		{name: "one that is too short", earlier: 9, in: []byte{0x15, 0, 0, 0, 0, 2, 0xFF, 3, 6}, wrong: true},
	}
	framing := mbap{goburrow.NewTCPClientHandler("")}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := framing.find(exampleRequest, &threeRegisters, c.earlier, c.in)
			if !bytes.Equal(got.answer, c.answer) || got.drop != c.drop || (got.wrong != nil) != c.wrong {
				t.Errorf("%+v", got)
			}
		})
	}
}

// FuzzStream feeds a connection's bytes in pieces: however they are cut, the same
// is found, and nothing that belongs to another transaction.
func FuzzStream(f *testing.F) {
	late := append([]byte{0x15, 0}, exampleReply[2:]...)
	f.Add(append(bytes.Clone(late), exampleReply...), uint8(3), 9)
	f.Add(append(bytes.Clone(exampleReply), exampleReply...), uint8(20), 9)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), uint8(1), 0)
	f.Add([]byte{0x15, 0, 0, 0, 0, 254}, uint8(1), 1)
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, earlier int) {
		framing := mbap{goburrow.NewTCPClientHandler("")}
		earlier = max(earlier, 0)
		whole := framing.find(exampleRequest, &threeRegisters, earlier, stream)
		if whole.answer != nil && !bytes.Equal(whole.answer[:2], exampleRequest[:2]) {
			t.Fatalf("% x", whole.answer)
		}
		framing.follows(exampleRequest, earlier, stream)
		var kept []byte
		for _, b := range stream {
			if kept = append(kept, b); len(kept)%(int(piece)+1) != 0 {
				continue
			}
			got := framing.find(exampleRequest, &threeRegisters, earlier, kept)
			if got.wrong != nil {
				if whole.answer != nil {
					t.Fatalf("%v in pieces, % x at once", got.wrong, whole.answer)
				}
				return
			}
			if got.answer != nil {
				if !bytes.Equal(got.answer, whole.answer) {
					t.Fatalf("% x in pieces, % x at once", got.answer, whole.answer)
				}
				return
			}
			if got.drop > len(kept) {
				t.Fatalf("%d of %d bytes dropped", got.drop, len(kept))
			}
			kept = kept[got.drop:]
		}
	})
}
