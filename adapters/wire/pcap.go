package wire

import (
	"encoding/binary"
	"io"
	"net/netip"
)

// Kinds of links in files (tcpdump.org/linktypes.html).
const (
	linkRaw    = 101 // an IP packet
	linkSerial = 250 // RTAC serial: 12 octets, and then what went over a serial line
)

const pcapMagic = 0xA1B2C3D4

// Writer writes a file of the pcap format.
type Writer struct {
	w      io.Writer
	serial bool
	// next is the number of the next octet of each direction of each connection.
	next map[[2]netip.AddrPort]uint32
	buf  []byte
}

// NewWriter writes to w, what goes over a serial line or over connections.
func NewWriter(w io.Writer, serial bool) *Writer {
	return &Writer{w: w, serial: serial, next: map[[2]netip.AddrPort]uint32{}}
}

// Begin writes what comes first, so that a file in which nothing happened is one.
func (w *Writer) Begin() error {
	kind := uint32(linkRaw)
	if w.serial {
		kind = linkSerial
	}
	b := binary.LittleEndian.AppendUint32(nil, pcapMagic)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, 1<<18)
	b = binary.LittleEndian.AppendUint32(b, kind)
	_, err := w.w.Write(b)
	return err
}

// Write writes what went over the link. The packets of a connection are made up around it:
// with its addresses and numbers, and without what TCP itself says.
func (w *Writer) Write(o Octets) error {
	var packet []byte
	if w.serial {
		packet = serialRecord(o)
	} else {
		packet = w.segment(o)
	}
	at := o.At.UnixMicro()
	b := binary.LittleEndian.AppendUint32(w.buf[:0], uint32(at/1e6))
	b = binary.LittleEndian.AppendUint32(b, uint32(at%1e6))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	w.buf = append(b, packet...)
	_, err := w.w.Write(w.buf)
	return err
}

// Events of a serial line.
const (
	serialSent     = 1
	serialReceived = 2
)

func serialRecord(o Octets) []byte {
	event := byte(serialReceived)
	if o.Sent {
		event = serialSent
	}
	at := o.At.UnixMicro()
	b := binary.BigEndian.AppendUint32(nil, uint32(at/1e6))
	b = binary.BigEndian.AppendUint32(b, uint32(at%1e6))
	b = append(b, event, 0, 0, 0)
	return append(b, o.Data...)
}

// segment is an IP packet with a TCP segment.
func (w *Writer) segment(o Octets) []byte {
	from, to := o.Remote, o.Local
	if o.Sent {
		from, to = to, from
	}
	seq := w.next[[2]netip.AddrPort{from, to}]
	ack := w.next[[2]netip.AddrPort{to, from}]
	w.next[[2]netip.AddrPort{from, to}] = seq + uint32(len(o.Data))
	b := binary.BigEndian.AppendUint16(nil, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint32(b, seq+1)
	b = binary.BigEndian.AppendUint32(b, ack+1)
	b = append(b, 5<<4, 0x18, 0xFF, 0xFF, 0, 0, 0, 0) // PSH and ACK
	b = append(b, o.Data...)
	header := ipHeader(from.Addr(), to.Addr(), len(b))
	sum := partial(header[len(header)-2*len(from.Addr().AsSlice()):], 6+uint32(len(b)))
	binary.BigEndian.PutUint16(b[16:], fold(partial(b, sum)))
	return append(header, b...)
}

// ipHeader ends with the two addresses.
func ipHeader(from, to netip.Addr, payload int) []byte {
	const hops, tcp = 64, 6
	if from.Is4() {
		b := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, hops, tcp, 0, 0}
		binary.BigEndian.PutUint16(b[2:], uint16(20+payload))
		b = append(append(b, from.AsSlice()...), to.AsSlice()...)
		binary.BigEndian.PutUint16(b[10:], fold(partial(b, 0)))
		return b
	}
	b := []byte{0x60, 0, 0, 0, 0, 0, tcp, hops}
	binary.BigEndian.PutUint16(b[4:], uint16(payload))
	return append(append(b, from.AsSlice()...), to.AsSlice()...)
}

// partial adds 16-bit words to a sum (RFC 1071).
func partial(b []byte, sum uint32) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xFFFF {
		sum = sum>>16 + sum&0xFFFF
	}
	return ^uint16(sum)
}
