package mqttconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

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

// guarded is a guard of what a broker sends, after a subscription to one topic, which
// takes payloads of up to 1,000 bytes.
func guarded(sent []byte, deliver func(Received) bool) *guard {
	g := newGuard(socket{r: bytes.NewReader(sent)}, 1000, deliver, nil, nil)
	g.filters.Store(1)
	return g
}

// What a broker may send passes as it is, messages aside; nothing else does.
func TestGuard(t *testing.T) {
	hello := message(t, "a/b", []byte("hello"))
	long := message(t, "a/b", make([]byte, 1001))
	received := Received{Topic: "a/b", Payload: []byte("hello"), Retained: true}
	again := Received{Topic: "a", Payload: []byte{7}, QoS: 1, Duplicate: true, ID: 5}
	for what, c := range map[string]struct {
		sent, want []byte
		messages   []Received
		bad        bool
	}{
		"an acknowledgement":                  {sent: []byte{0x40, 2, 0, 1}, want: []byte{0x40, 2, 0, 1}},
		"an accepted connection":              {sent: []byte{0x20, 2, 1, 0}, want: []byte{0x20, 2, 1, 0}},
		"an answer to a ping":                 {sent: []byte{0xD0, 0}, want: []byte{0xD0, 0}},
		"a subscription":                      {sent: suback2(t, 1), want: suback2(t, 1)},
		"two messages":                        {sent: append(hello, hello...), messages: []Received{received, received}},
		"a message behind a long one":         {sent: append(long, hello...), messages: []Received{{Topic: "a/b", Retained: true, LeftOut: 1001}, received}},
		"a message that asks for an ack":      {sent: []byte{0x3A, 6, 0, 1, 'a', 0, 5, 7}, messages: []Received{again}},
		"one without a payload":               {sent: []byte{0x32, 5, 0, 1, 'a', 0, 5}, messages: []Received{{Topic: "a", QoS: 1, ID: 5}}},
		"more subscriptions than one":         {sent: suback2(t, 0, 0), bad: true},
		"a length of 256 MiB":                 {sent: []byte{0x40, 0xFF, 0xFF, 0xFF, 0x7F}, bad: true},
		"a length without an end":             {sent: []byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, bad: true},
		"a topic beyond its packet":           {sent: []byte{0x30, 3, 0, 9, 'a'}, bad: true},
		"a number beyond its packet":          {sent: []byte{0x32, 4, 0, 2, 'a', 'b'}, bad: true},
		"a message without a number":          {sent: []byte{0x32, 5, 0, 1, 'a', 0, 0}, bad: true},
		"a message at QoS 2, not asked for":   {sent: []byte{0x34, 5, 0, 1, 'a', 0, 1}, bad: true},
		"what clients send":                   {sent: []byte{0x82, 5, 0, 1, 0, 0, 0}, bad: true},
		"a subscription before one is wanted": {sent: []byte{0x90, 2, 0, 1}, bad: true},
	} {
		var messages []Received
		got, err := io.ReadAll(guarded(c.sent, func(m Received) bool { m.At = time.Time{}; messages = append(messages, m); return true }))
		if errors.Is(err, errPacket) != c.bad || !c.bad && (err != nil || !bytes.Equal(got, c.want) || !reflect.DeepEqual(messages, c.messages)) {
			t.Errorf("%s: %d bytes, %v, %v", what, len(got), messages, err)
		}
	}
}

// socket reads from r, and takes whatever is written.
type socket struct {
	net.Conn
	r io.Reader
}

func (s socket) Read(p []byte) (int, error)       { return s.r.Read(p) }
func (s socket) Write(p []byte) (int, error)      { return len(p), nil }
func (s socket) SetWriteDeadline(time.Time) error { return nil }

// While there is no room for a message, paho's pings are answered, and what lies behind
// the message waits.
func TestPingsWithoutRoom(t *testing.T) {
	room, full := make(chan struct{}, 1), true
	g := newGuard(socket{r: bytes.NewReader(append(message(t, "a", []byte("hello")), 0x40, 2, 0, 1))}, 1000,
		func(Received) bool { return !full }, room, nil)
	if _, err := g.Write([]byte{0xC0, 0}); err != nil {
		t.Fatal(err)
	}
	var p [8]byte
	if n, err := g.Read(p[:]); err != nil || !bytes.Equal(p[:n], []byte{0xD0, 0}) {
		t.Fatalf("%x, %v", p[:n], err)
	}
	full = false
	room <- struct{}{}
	if n, err := g.Read(p[:]); err != nil || !bytes.Equal(p[:n], []byte{0x40, 2, 0, 1}) {
		t.Fatalf("%x, %v", p[:n], err)
	}
}

// FuzzGuard: whatever a broker sends, what passes is whole packets that paho reads
// without a panic, and what is kept of messages is no longer than what came.
func FuzzGuard(f *testing.F) {
	f.Add(message(f, "a/b", []byte("hello")))
	f.Add(suback2(f, 0))
	f.Add([]byte{0x20, 2, 0, 0, 0x40, 2, 0, 1, 0xD0, 0})
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F})
	f.Add([]byte{0x3A, 6, 0, 1, 'a', 0, 5, 7, 0x40, 2, 0, 1})
	f.Fuzz(func(t *testing.T, sent []byte) {
		bytes := 0
		g := guarded(sent, func(m Received) bool {
			bytes += len(m.Topic) + len(m.Payload)
			if m.QoS > 1 || m.QoS == 1 && m.ID == 0 || len(m.Payload) > 1000 || m.LeftOut > 0 && m.Payload != nil {
				t.Fatalf("%+v", m)
			}
			return true
		})
		for {
			p, err := packets.ReadPacket(g)
			if err != nil {
				break
			}
			if s, ok := p.(*packets.SubackPacket); ok && len(s.ReturnCodes) != 1 {
				t.Fatalf("%v", s)
			}
		}
		if bytes > len(sent) {
			t.Fatalf("%d bytes of %d", bytes, len(sent))
		}
	})
}
