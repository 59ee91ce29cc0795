package mqttconn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// guard stands between a broker and paho. Messages never reach paho: it needs several
// allocations, goroutine switches and a write to the socket of its own for each, and a
// consumer that takes its time would stop its pings. Of the rest it passes on only what
// the broker may send, packet by packet: paho allocates whatever length a packet says,
// and panics on an acknowledgement of more subscriptions than there were.
type guard struct {
	net.Conn
	in      *bufio.Reader
	most    int                 // bytes of the longest payload that is taken
	deliver func(Received) bool // false: there is no room
	room    <-chan struct{}     // tells that there may be room again
	closed  <-chan struct{}

	topics  map[string]string // those that have come, so that each is allocated once
	chunk   []byte            // that the next payloads go into
	held    *Received         // that there is no room for
	packet  []byte            // for paho, what of it hasn't been read yet
	buffer  [maxAnswer]byte
	filters atomic.Int32 // that the last subscription has
	pinged  atomic.Bool  // and not yet answered

	writing sync.Mutex
}

const (
	// maxFilters is how many topics are subscribed to together.
	maxFilters = 200
	// maxAnswer is how long the longest packet is that paho gets, in bytes.
	maxAnswer = 5 + 2 + maxFilters
	// maxTopic bounds what a message has before its payload, in bytes (clause 1.5.3).
	maxTopic = 2 + 65535 + 2
	// chunkSize is how much is allocated at once for short payloads.
	chunkSize = 64 << 10
	// maxTopics bounds the topics that are kept, and longestKept each of them, in bytes.
	maxTopics, longestKept = 20_000, 256
	// pingEvery is how often a reader that waits for room looks whether paho waits for the
	// answer to a ping.
	pingEvery = 100 * time.Millisecond
)

// Types of packets that a broker sends (MQTT 3.1.1, table 2.1).
const (
	connack  = 2
	publish  = 3
	puback   = 4
	suback   = 9
	pingresp = 13
)

const pingreq = 12

var errPacket = errors.New("the broker sends what isn't MQTT 3.1.1")

func newGuard(socket net.Conn, most int, deliver func(Received) bool, room, closed <-chan struct{}) *guard {
	return &guard{
		Conn: socket, in: bufio.NewReaderSize(socket, maxTopic), most: most, deliver: deliver, room: room, closed: closed,
		topics: map[string]string{},
	}
}

// Read is paho's.
func (g *guard) Read(p []byte) (int, error) {
	for len(g.packet) == 0 {
		if g.held != nil {
			if err := g.wait(); err != nil {
				return 0, err
			}
			continue
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, g.packet)
	g.packet = g.packet[n:]
	return n, nil
}

// wait waits for room for the message that is held. Meanwhile it answers paho's pings:
// the broker's own answer lies behind what isn't read.
func (g *guard) wait() error {
	if g.deliver(*g.held) {
		g.held = nil
		return nil
	}
	timer := time.NewTimer(pingEvery)
	defer timer.Stop()
	select {
	case <-g.room:
	case <-g.closed:
		return net.ErrClosed
	case <-timer.C:
		if g.pinged.Swap(false) {
			g.packet = append(g.buffer[:0], pingresp<<4, 0)
		}
	}
	return nil
}

// next reads a packet: a message is delivered, another is for paho.
func (g *guard) next() error {
	header, err := g.in.ReadByte()
	if err != nil {
		return err
	}
	length := 0
	for shift := 0; ; shift += 7 {
		if shift > 21 {
			return fmt.Errorf("%w: a length of more than four bytes", errPacket)
		}
		b, err := g.in.ReadByte()
		if err != nil {
			return short(err)
		}
		length |= int(b&0x7F) << shift
		if b&0x80 == 0 {
			break
		}
	}
	if header>>4 == publish {
		m, err := g.message(header, length)
		if err != nil {
			return err
		}
		if !g.deliver(m) {
			held := m // which is allocated only here
			g.held = &held
		}
		return nil
	}
	switch filters := int(g.filters.Load()); {
	case header == connack<<4 && length == 2, header == puback<<4 && length == 2, header == pingresp<<4 && length == 0:
	case header == suback<<4 && filters > 0 && length == 2+filters:
	default:
		return fmt.Errorf("%w: a packet that begins with %#x and has %d bytes", errPacket, header, length)
	}
	if header>>4 == pingresp {
		g.pinged.Store(false)
	}
	packet := binary.AppendUvarint(append(g.buffer[:0], header), uint64(length)) // which is how MQTT writes a length
	begin := len(packet)
	packet = packet[:begin+length]
	if _, err := io.ReadFull(g.in, packet[begin:]); err != nil {
		return short(err)
	}
	g.packet = packet
	return nil
}

// message reads a message (clause 3.3) whose fixed header has been read. The payload of
// one that is too long is left out.
func (g *guard) message(header byte, length int) (Received, error) {
	m := Received{At: time.Now(), QoS: header >> 1 & 3, Retained: header&1 != 0, Duplicate: header&8 != 0}
	before := 2
	if m.QoS == 1 {
		before += 2
	}
	if m.QoS > 1 || length < before {
		return m, fmt.Errorf("%w: a message that begins with %#x and has %d bytes", errPacket, header, length)
	}
	b, err := g.in.Peek(2)
	if err != nil {
		return m, short(err)
	}
	topic := int(binary.BigEndian.Uint16(b))
	if before += topic; before > length {
		return m, fmt.Errorf("%w: a topic that is longer than its packet", errPacket)
	}
	if b, err = g.in.Peek(before); err != nil {
		return m, short(err)
	}
	m.Topic = g.topic(b[2 : 2+topic])
	if m.QoS == 1 {
		if m.ID = binary.BigEndian.Uint16(b[2+topic:]); m.ID == 0 {
			return m, fmt.Errorf("%w: a message without a number", errPacket)
		}
	}
	g.in.Discard(before) // it has just been peeked at
	rest := length - before
	if rest > g.most {
		m.LeftOut = rest
		_, err := io.CopyN(io.Discard, g.in, int64(rest))
		return m, short(err)
	}
	m.Payload = g.space(rest)
	_, err = io.ReadFull(g.in, m.Payload)
	return m, short(err)
}

// short is that a packet has ended early, which isn't how a connection ends well.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (g *guard) topic(b []byte) string {
	if len(b) > longestKept {
		return string(b)
	}
	if t, known := g.topics[string(b)]; known {
		return t
	}
	if len(g.topics) >= maxTopics {
		clear(g.topics)
	}
	t := string(b)
	g.topics[t] = t
	return t
}

// space is n bytes that nobody else has.
func (g *guard) space(n int) []byte {
	if n == 0 {
		return nil
	}
	if n > chunkSize/4 {
		return make([]byte, n)
	}
	if n > cap(g.chunk)-len(g.chunk) {
		g.chunk = make([]byte, 0, chunkSize)
	}
	begin := len(g.chunk)
	g.chunk = g.chunk[:begin+n]
	return g.chunk[begin : begin+n : begin+n]
}

// Write writes whole packets: paho's, or acknowledgements.
func (g *guard) Write(p []byte) (int, error) {
	g.writing.Lock()
	defer g.writing.Unlock()
	if len(p) > 0 && p[0] == pingreq<<4 {
		g.pinged.Store(true)
	}
	g.Conn.SetWriteDeadline(time.Now().Add(answerTimeout)) // if it fails, writing does
	return g.Conn.Write(p)
}

// SetWriteDeadline does nothing: paho would take away the one that Write has set.
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

// acknowledge tells the broker that it needn't send messages again.
func (g *guard) acknowledge(messages []Received) error {
	packets := make([]byte, 0, 4*len(messages))
	for _, m := range messages {
		if m.QoS == 1 {
			packets = binary.BigEndian.AppendUint16(append(packets, puback<<4, 2), m.ID)
		}
	}
	if len(packets) == 0 {
		return nil
	}
	_, err := g.Write(packets)
	return err
}
