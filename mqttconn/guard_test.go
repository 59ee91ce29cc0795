package mqttconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

func packet(t testing.TB, p packets.ControlPacket) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func message(t testing.TB, topic string, payload []byte) []byte {
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.TopicName, m.Payload, m.Retain = topic, payload, true
	return packet(t, m)
}

func suback2(t testing.TB, codes ...byte) []byte {
	s := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	s.MessageID, s.ReturnCodes = 1, codes
	return packet(t, s)
}

// What a broker may send passes as it is, and nothing else.
func TestGuard(t *testing.T) {
	hello := message(t, "a/b", []byte("hello"))
	long := message(t, "a/b", make([]byte, longestPacket))
	for what, c := range map[string]struct {
		sent, want []byte
		bad        bool
	}{
		"an acknowledgement":             {sent: []byte{0x40, 2, 0, 1}, want: []byte{0x40, 2, 0, 1}},
		"an accepted connection":         {sent: []byte{0x20, 2, 0, 0}, want: []byte{0x20, 2, 0, 0}},
		"an answer to a ping":            {sent: []byte{0xD0, 0}, want: []byte{0xD0, 0}},
		"a subscription":                 {sent: suback2(t, 0), want: suback2(t, 0)},
		"two messages":                   {sent: append(hello, hello...), want: append(hello, hello...)},
		"a message behind a long one":    {sent: append(long, hello...), want: hello},
		"more subscriptions than one":    {sent: suback2(t, 0, 0), bad: true},
		"a length of 256 MiB":            {sent: []byte{0x40, 0xFF, 0xFF, 0xFF, 0x7F}, bad: true},
		"a length without an end":        {sent: []byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, bad: true},
		"a topic beyond its packet":      {sent: []byte{0x30, 3, 0, 9, 'a'}, bad: true},
		"a message that asks for an ack": {sent: []byte{0x32, 4, 0, 0, 0, 1}, bad: true},
		"what clients send":              {sent: []byte{0x82, 5, 0, 1, 0, 0, 0}, bad: true},
	} {
		got, err := io.ReadAll(&guard{Conn: socket{r: bytes.NewReader(c.sent)}})
		if errors.Is(err, errPacket) != c.bad || !c.bad && (err != nil || !bytes.Equal(got, c.want)) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
}

// socket reads from r.
type socket struct {
	net.Conn
	r io.Reader
}

func (s socket) Read(p []byte) (int, error) { return s.r.Read(p) }

// FuzzGuard: whatever a broker sends, what passes is whole packets that paho reads
// without a panic, and no longer than what came.
func FuzzGuard(f *testing.F) {
	f.Add(message(f, "a/b", []byte("hello")))
	f.Add(suback2(f, 0))
	f.Add([]byte{0x20, 2, 0, 0, 0x40, 2, 0, 1, 0xD0, 0})
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F})
	f.Fuzz(func(t *testing.T, sent []byte) {
		g := &guard{Conn: socket{r: bytes.NewReader(sent)}}
		for {
			p, err := packets.ReadPacket(g)
			if err != nil {
				break
			}
			if s, ok := p.(*packets.SubackPacket); ok && len(s.ReturnCodes) != 1 {
				t.Fatalf("%v", s)
			}
		}
		if len(g.buffer) > len(sent)+longestPacket {
			t.Fatalf("%d bytes for %d", len(g.buffer), len(sent))
		}
	})
}
