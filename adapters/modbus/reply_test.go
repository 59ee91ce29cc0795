package modbus

import (
	"bytes"
	"testing"

	goburrow "github.com/goburrow/modbus"
)

var threeRegisters = readReply(request{table: Holding, first: 0x6B, count: 3})

func identificationReply() reply {
	return reply{head: [7]byte{0x2B, 0x0E, 1}, known: 3}
}

// The standard's example of function 43/14: three basic objects.
var identification = append([]byte{0x2B, 0x0E, 1, 1, 0, 0, 3},
	"\x00\x16Company identification\x01\x0fProduct code XX\x02\x05V2.11"...)

func TestAnswersOfEveryShape(t *testing.T) {
	mask := goburrow.ProtocolDataUnit{FunctionCode: 22, Data: []byte{0, 4, 0, 0xF2, 0, 0x25}}
	several := goburrow.ProtocolDataUnit{FunctionCode: 16, Data: []byte{0, 1, 0, 2, 4, 0, 10, 1, 2}}
	cases := []struct {
		name string
		want reply
		pdu  []byte
	}{
		{"read", threeRegisters, []byte{3, 6, 2, 0x2B, 0, 0, 0, 0x64}},
		{"mask", writeReply(mask), []byte{22, 0, 4, 0, 0xF2, 0, 0x25}},
		{"several registers", writeReply(several), []byte{16, 0, 1, 0, 2}},
		{"identification", identificationReply(), identification},
		{"no objects", identificationReply(), []byte{0x2B, 0x0E, 1, 1, 0, 0, 0}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for n := range len(c.pdu) + 1 {
				got, err := c.want.length(c.pdu[:n])
				if err != nil || got != 0 && got != len(c.pdu) || n == len(c.pdu) && got == 0 {
					t.Errorf("%d, %v of the first %d bytes", got, err, n)
				}
			}
			for n := range c.want.known {
				wrong := bytes.Clone(c.pdu)
				wrong[n]++
				if got, err := c.want.length(wrong); err == nil {
					t.Errorf("%d with byte %d wrong", got, n)
				}
			}
			if got, err := c.want.length([]byte{c.pdu[0] | 0x80, 2}); got != 2 || err != nil {
				t.Errorf("refusal: %d, %v", got, err)
			}
			frame := withCRC(0x11, c.pdu)
			if got := newRTU().find(withCRC(0x11, []byte{c.pdu[0], 9, 9, 9, 9}), &c.want, 0, append([]byte{0xFF, 0x11}, frame...)); !bytes.Equal(got.answer, frame) {
				t.Errorf("on a line: %+v", got)
			}
			header := []byte{0x15, 1, 0, 0, 0, byte(len(c.pdu) + 1), 0xFF}
			if n, err := replyLength(exampleRequest, &c.want, append(header, c.pdu...)); n != headerSize+len(c.pdu) || err != nil {
				t.Errorf("by TCP: %d, %v", n, err)
			}
		})
	}
}

func TestIdentificationThatDoesNotFit(t *testing.T) {
	tooLong := append([]byte{0x2B, 0x0E, 1, 1, 0, 0, 2, 0, 240}, make([]byte, 250)...)
	tooLong[7+2+240+1] = 100
	want := identificationReply()
	if n, err := want.length(tooLong); err == nil {
		t.Errorf("%d", n)
	}
	for _, length := range []byte{2, byte(len(identification)), byte(len(identification) + 2), 0xFF} {
		header := []byte{0x15, 1, 0, 0, 0, length, 0xFF}
		if n, err := replyLength(exampleRequest, &want, append(header, identification...)); err == nil {
			t.Errorf("%d with length %d", n, length)
		}
	}
}

// The answer to a write of one value is the request once more.
func TestAnswerThatIsTheRequest(t *testing.T) {
	pdu := goburrow.ProtocolDataUnit{FunctionCode: 6, Data: []byte{0, 1, 0, 3}}
	sent, want := withCRC(0x11, []byte{6, 0, 1, 0, 3}), writeReply(pdu)
	framing := newRTU()
	if got := framing.find(sent, &want, 0, sent); !bytes.Equal(got.answer, sent) {
		t.Errorf("without an echo: %+v", got)
	}
	if got := framing.find(rtuRequest, &threeRegisters, 0, append(bytes.Clone(rtuRequest), rtuReply...)); got.answer == nil {
		t.Fatalf("%+v", got)
	}
	for _, before := range [][]byte{nil, {0}, {0x11, 6}} {
		if got := framing.find(sent, &want, 0, append(bytes.Clone(before), sent...)); got.answer != nil {
			t.Errorf("the echo is taken for the answer: %+v", got)
		}
		if got := framing.find(sent, &want, 0, bytes.Join([][]byte{before, sent, sent}, nil)); !bytes.Equal(got.answer, sent) {
			t.Errorf("after the echo: %+v", got)
		}
	}
	if got := framing.find(rtuRequest, &threeRegisters, 0, rtuReply); got.answer == nil {
		t.Fatalf("%+v", got)
	}
	if got := framing.find(sent, &want, 0, sent); !bytes.Equal(got.answer, sent) {
		t.Errorf("when the line has lost its echo: %+v", got)
	}
}

// FuzzReplyShapes holds length to what find relies on: it doesn't change its mind
// when more bytes come.
func FuzzReplyShapes(f *testing.F) {
	f.Add(uint8(0), identification)
	f.Add(uint8(1), []byte{22, 0, 4, 0, 0xF2, 0, 0x25})
	f.Add(uint8(2), []byte{3, 6, 2, 0x2B, 0, 0, 0, 0x64})
	f.Fuzz(func(t *testing.T, shape uint8, b []byte) {
		want := []reply{
			identificationReply(),
			writeReply(goburrow.ProtocolDataUnit{FunctionCode: 22, Data: []byte{0, 4, 0, 0xF2, 0, 0x25}}),
			threeRegisters,
		}[shape%3]
		whole, err := want.length(b)
		if whole > maxPDU || err != nil && whole != 0 {
			t.Fatalf("%d, %v", whole, err)
		}
		for n := range b {
			part, partErr := want.length(b[:n])
			if part != 0 && part != whole || partErr != nil && err == nil {
				t.Fatalf("%d, %v of %d bytes, %d, %v of all", part, partErr, n, whole, err)
			}
		}
	})
}
