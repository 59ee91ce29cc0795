package record

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
)

func message(t testing.TB) (Message, []byte) {
	t.Helper()
	r := Record{Identity: Identity{Gateway: "gw", Epoch: 1, Stream: Telemetry, First: 3, Last: 9}, Format: FormatBlock, Payload: []byte("payload")}
	wire, err := r.Message().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Message(), wire
}

func TestMessagesComeBackOneAfterAnother(t *testing.T) {
	m, wire := message(t)
	empty, err := Message{Headers: []Header{}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	source := bytes.NewReader(append(append(bytes.Clone(wire), empty...), wire...))
	for _, want := range []Message{m, {Key: []byte{}, Headers: []Header{}, Value: []byte{}}, m} {
		got, err := ReadMessage(source)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := ReadMessage(source); err != io.EOF {
		t.Errorf("%v behind the last message, want io.EOF", err)
	}
}

func TestAMessageThatIsCutShortIsRefused(t *testing.T) {
	_, wire := message(t)
	for n := 1; n < len(wire); n++ {
		if _, err := ReadMessage(bytes.NewReader(wire[:n])); !errors.Is(err, errCut) {
			t.Errorf("%d of %d bytes: %v", n, len(wire), err)
		}
	}
}

func TestMessagesThatAreTooLongAreRefused(t *testing.T) {
	for name, m := range map[string]Message{
		"key":     {Key: make([]byte, 1<<16)},
		"headers": {Headers: make([]Header, 256)},
		"name":    {Headers: []Header{{Key: string(make([]byte, 256))}}},
		"header":  {Headers: []Header{{Value: make([]byte, 1<<16)}}},
		"value":   {Value: make([]byte, MaxMessageBytes)},
	} {
		if dst, err := m.AppendBinary([]byte("x")); err == nil || string(dst) != "x" {
			t.Errorf("%s: %d bytes, %v", name, len(dst), err)
		}
	}
	if _, err := ReadMessage(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff})); err == nil || errors.Is(err, errCut) {
		t.Errorf("a length of 4 GiB: %v", err)
	}
}

func FuzzReadMessage(f *testing.F) {
	_, wire := message(f)
	f.Add(wire)
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := ReadMessage(bytes.NewReader(src))
		if err != nil {
			return
		}
		again, err := m.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, src[:len(again)]) {
			t.Errorf("read %+v, which is written as %x, not %x: %v", m, again, src, err)
		}
	})
}
