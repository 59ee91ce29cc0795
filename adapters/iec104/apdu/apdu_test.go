package apdu

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestFrames(t *testing.T) {
	for _, c := range []struct {
		bytes string
		want  Frame
	}{
		{"\x68\x04\x07\x00\x00\x00", Frame{Format: U, Function: StartAct}},
		{"\x68\x04\x83\x00\x00\x00", Frame{Format: U, Function: TestCon}},
		{"\x68\x04\x01\x00\x02\x00", Frame{Format: S, Receive: 1}},
		{"\x68\x05\xFE\xFF\xFC\xFF\x64", Frame{Format: I, Send: 32767, Receive: 32766, ASDU: []byte{0x64}}},
	} {
		f, err := Parse([]byte(c.bytes))
		if err != nil || f.Format != c.want.Format || f.Send != c.want.Send || f.Receive != c.want.Receive || f.Function != c.want.Function || !bytes.Equal(f.ASDU, c.want.ASDU) {
			t.Errorf("% x: %+v, %v, expected %+v", c.bytes, f, err, c.want)
		}
		if b, err := f.Append(nil); err != nil || string(b) != c.bytes {
			t.Errorf("%v becomes % x, %v", f, b, err)
		}
	}
	if _, err := (Frame{ASDU: make([]byte, 250)}).Append(nil); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

// However a stream is cut, it is the same APDUs, and what isn't one is found as soon as
// that can be seen.
func TestReader(t *testing.T) {
	start := "\x68\x04\x07\x00\x00\x00"
	long := "\x68\xFD\x00\x00\x00\x00" + string(make([]byte, 249))
	for _, c := range []struct {
		name, bytes string
		frames      int
		err         error
	}{
		{"nothing", "", 0, io.EOF},
		{"one", start, 1, io.EOF},
		{"many and long ones", start + long + start + long, 4, io.EOF},
		{"half a header", start + "\x68", 1, ErrHalf},
		{"a header", "\x68\x04", 0, ErrHalf},
		{"half an APDU", start + "\x68\x04\x07", 1, ErrHalf},
		{"another start", start + "\x00", 1, ErrStart},
		{"too short", "\x68\x03\x07\x00\x00", 0, ErrLength},
		{"too long", "\x68\xFE" + string(make([]byte, 254)), 0, ErrLength},
		{"a long S", "\x68\x05\x01\x00\x00\x00\x00", 0, ErrLength},
		{"an I without an ASDU", "\x68\x04\x00\x00\x00\x00", 0, ErrLength},
		{"two functions", "\x68\x04\x0F\x00\x00\x00", 0, ErrControl},
		{"a function with numbers", "\x68\x04\x07\x00\x02\x00", 0, ErrControl},
		{"an odd S", "\x68\x04\x05\x00\x00\x00", 0, ErrControl},
	} {
		for name, reader := range map[string]io.Reader{
			"whole": bytes.NewReader([]byte(c.bytes)), "by octets": iotest.OneByteReader(bytes.NewReader([]byte(c.bytes))),
			"with the end": iotest.DataErrReader(bytes.NewReader([]byte(c.bytes))),
		} {
			r := NewReader(reader)
			n := 0
			var err error
			for ; err == nil; n++ {
				_, err = r.Next()
			}
			if n--; n != c.frames || !errors.Is(err, c.err) {
				t.Errorf("%s, %s: %d APDUs and %v, expected %d and %v", c.name, name, n, err, c.frames, c.err)
			}
			if _, again := r.Next(); again != err {
				t.Errorf("%s: then %v", c.name, again)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x68\x04\x07\x00\x00\x00\x68\x05\x00\x00\x00\x00\x64\x68\x04"))
	f.Add([]byte("\x68\xFD\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(iotest.OneByteReader(bytes.NewReader(b)))
		var again []byte
		for {
			frame, err := r.Next()
			if err != nil {
				break
			}
			if again, err = frame.Append(again); err != nil {
				t.Fatal(err)
			}
		}
		if len(again) > len(b) {
			t.Fatalf("%d octets become %d", len(b), len(again))
		}
		for i := range again { // the lowest bit of N(R) is reserved, and isn't kept
			if again[i] != b[i] && again[i] != b[i]&^1 {
				t.Fatalf("% x becomes % x", b, again)
			}
		}
	})
}
