package mqttconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// guard passes on what a broker sends to a client that has asked for nothing but
// subscriptions of one topic at QoS 0, packet by packet, and only what it may send:
// paho allocates whatever length a packet says, and panics on an acknowledgement of
// more subscriptions than there were.
type guard struct {
	net.Conn
	packet []byte // what of the last packet hasn't been read yet
	buffer []byte
}

// longestPacket bounds what is read of a packet, in bytes. A longer message is left
// out: it is none of ours.
const longestPacket = 256 << 10

// Types of packets that a broker sends (MQTT 3.1.1, table 2.1).
const (
	connack  = 2
	publish  = 3
	puback   = 4
	suback   = 9
	pingresp = 13
)

var errPacket = errors.New("the broker sends what isn't MQTT 3.1.1")

func (g *guard) Read(p []byte) (int, error) {
	for len(g.packet) == 0 {
		packet, err := readPacket(g.Conn, g.buffer[:0])
		if err != nil {
			return 0, err
		}
		g.packet, g.buffer = packet, packet
	}
	n := copy(p, g.packet)
	g.packet = g.packet[n:]
	return n, nil
}

// readPacket appends the next packet to dst. A message that is too long is read and
// nothing is appended.
func readPacket(r io.Reader, dst []byte) ([]byte, error) {
	var b [1]byte
	octet := func() error {
		_, err := io.ReadFull(r, b[:])
		dst = append(dst, b[0])
		return err
	}
	if err := octet(); err != nil {
		return nil, err
	}
	header, length := dst[0], 0
	for shift := 0; ; shift += 7 {
		if shift > 21 {
			return nil, fmt.Errorf("%w: a length of more than four bytes", errPacket)
		}
		if err := octet(); err != nil {
			return nil, err
		}
		length |= int(b[0]&0x7F) << shift
		if b[0]&0x80 == 0 {
			break
		}
	}
	switch kind := header >> 4; {
	case kind == publish && header&0x06 == 0 && length > longestPacket:
		_, err := io.CopyN(io.Discard, r, int64(length))
		return nil, err
	case kind == publish && header&0x06 == 0 && length >= 2:
	case header == connack<<4 && length == 2, header == puback<<4 && length == 2, header == suback<<4 && length == 3, header == pingresp<<4 && length == 0:
	default:
		return nil, fmt.Errorf("%w: a packet that begins with %#x and has %d bytes", errPacket, header, length)
	}
	begin := len(dst)
	dst = append(dst, make([]byte, length)...)
	if _, err := io.ReadFull(r, dst[begin:]); err != nil {
		return nil, err
	}
	if header>>4 == publish && int(binary.BigEndian.Uint16(dst[begin:]))+2 > length {
		return nil, fmt.Errorf("%w: a topic that is longer than its packet", errPacket)
	}
	return dst, nil
}
