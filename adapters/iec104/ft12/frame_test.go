package ft12

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// The frames are those that the standard's rules make, summed up by hand.
func TestFramesAreWrittenAndRead(t *testing.T) {
	for _, c := range []struct {
		hex    string
		octets int
		want   Frame
		says   string
	}{
		{"e5", 1, Frame{Single: true}, "E5"},
		{"1049014a16", 1, Frame{Control: PRM | RequestStatus, Address: 1}, "request for status of link, link address 1"},
		{"107b017c16", 1, Frame{Control: PRM | FCB | FCV | RequestClass2, Address: 1}, "request for class 2 FCB FCV, link address 1"},
		{"105a5a16", 0, Frame{Control: PRM | FCV | RequestClass1}, "request for class 1 FCV, link address 0"},
		{"102034126616", 2, Frame{Control: ACD | Ack, Address: 0x1234}, "ACK ACD, link address 4660"},
		{"6808086808016401070100007616", 1, Frame{Control: Respond, Address: 1, ASDU: []byte{0x64, 1, 7, 1, 0, 0}}, "user data, link address 1"},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		f, n, err := Parse(b, c.octets)
		if err != nil || n != len(b) || f.Single != c.want.Single || f.Control != c.want.Control || f.Address != c.want.Address || !bytes.Equal(f.ASDU, c.want.ASDU) || f.String() != c.says {
			t.Errorf("%s: %+v (%v), %d octets, %v", c.hex, f, f, n, err)
		}
		if again, err := c.want.Append(nil, c.octets); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: % x, %v", c.hex, again, err)
		}
		for i := range b { // no part of it is one, or wrong
			if _, n, err := Parse(b[:i], c.octets); n != 0 || err != nil {
				t.Errorf("%d octets of %s: %d, %v", i, c.hex, n, err)
			}
		}
	}
}

func TestWhatIsNoFrameIsTold(t *testing.T) {
	for text, want := range map[string]error{
		"00":                           ErrStart,
		"6801":                         ErrLength,
		"680809":                       ErrLength,
		"68080810":                     ErrRestart,
		"1049014b16":                   ErrChecksum,
		"1049014a17":                   ErrEnd,
		"6808086808016401070100007716": ErrChecksum,
		"68080868080164010701000076e5": ErrEnd,
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, n, err := Parse(b, 1); n != 0 || !errors.Is(err, want) {
			t.Errorf("%s: %d octets, %v, expected %v", text, n, err, want)
		}
	}
	if _, err := (Frame{ASDU: make([]byte, 254)}).Append(nil, 1); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if b, err := (Frame{ASDU: make([]byte, 253)}).Append(nil, 1); err != nil || len(b) != MaxLen {
		t.Errorf("%d octets, %v", len(b), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"e5", "1049014a16", "6808086808016401070100007616", "6801", "68ffff68", "10"} {
		b, _ := hex.DecodeString(seed)
		f.Add(b, 1)
	}
	f.Fuzz(func(t *testing.T, b []byte, octets int) {
		octets = int(uint(octets) % 3)
		frame, n, err := Parse(b, octets)
		if n > len(b) || err != nil && n != 0 {
			t.Fatalf("%d octets of %d, %v", n, len(b), err)
		}
		if n == 0 || len(frame.ASDU) == 0 && b[0] == startVariable {
			return // a long frame without an ASDU is written as a short one
		}
		if again, err := frame.Append(nil, octets); err != nil || !bytes.Equal(again, b[:n]) {
			t.Fatalf("% x is written as % x, %v", b[:n], again, err)
		}
	})
}
