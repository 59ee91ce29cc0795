package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Packet is one that was read from a file, with what a link carried.
type Packet struct {
	At   time.Time
	From netip.AddrPort // not valid: a serial line
	To   netip.AddrPort
	Sent bool   // of a serial line: by who captured it
	Seq  uint32 // of a connection: the number of its first octet
	Data []byte
}

// Serial reports whether it went over a serial line.
func (p Packet) Serial() bool { return !p.From.IsValid() }

// Kinds of links beside those that are written.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRawBSD   = 12
	linkCooked   = 113
	linkCooked2  = 276
)

// longestPacket bounds what is read at once.
const longestPacket = 1 << 18

// ErrFormat is that it isn't a file of the formats pcap and pcapng, or one that is damaged.
var ErrFormat = errors.New("no file of the formats pcap and pcapng, or a damaged one")

// Read calls take for each packet of a file that has octets of TCP, or of a serial line.
// Others are left out.
func Read(r io.Reader, take func(Packet)) error {
	b := bufio.NewReader(r)
	first, err := b.Peek(4)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	switch magic := binary.LittleEndian.Uint32(first); magic {
	case pcapMagic, 0xA1B23C4D:
		return readPcap(b, binary.LittleEndian, magic == pcapMagic, take)
	case 0xD4C3B2A1, 0x4D3CB2A1:
		return readPcap(b, binary.BigEndian, magic == 0xD4C3B2A1, take)
	case 0x0A0D0D0A:
		return readNG(b, take)
	}
	return ErrFormat
}

func readPcap(r io.Reader, order binary.ByteOrder, micro bool, take func(Packet)) error {
	var header [24]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	kind := order.Uint32(header[20:]) & 0xFFFF
	unit := time.Nanosecond
	if micro {
		unit = time.Microsecond
	}
	for {
		var record [16]byte
		if _, err := io.ReadFull(r, record[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		n := order.Uint32(record[8:])
		if n > longestPacket {
			return fmt.Errorf("%w: a packet of %d octets", ErrFormat, n)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		at := time.Unix(int64(order.Uint32(record[0:])), int64(order.Uint32(record[4:]))*int64(unit))
		if p, ok := unpack(kind, b); ok {
			p.At = at
			take(p)
		}
	}
}

// readNG reads sections with their interfaces and packets (draft-ietf-opsawg-pcapng).
func readNG(r io.Reader, take func(Packet)) error {
	const section, description, enhanced = 0x0A0D0D0A, 1, 6
	type device struct {
		kind uint32
		unit time.Duration
	}
	var order binary.ByteOrder = binary.LittleEndian
	var devices []device
	for {
		var head [12]byte
		if _, err := io.ReadFull(r, head[:8]); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		had := 8
		if order.Uint32(head[:]) == section {
			if _, err := io.ReadFull(r, head[8:]); err != nil {
				return fmt.Errorf("%w: %w", ErrFormat, err)
			}
			had = 12
			if order = binary.LittleEndian; order.Uint32(head[8:]) != 0x1A2B3C4D {
				order = binary.BigEndian
			}
			devices = nil
		}
		n := order.Uint32(head[4:])
		if n < uint32(had)+4 || n > longestPacket+64 {
			return fmt.Errorf("%w: a block of %d octets", ErrFormat, n)
		}
		b := make([]byte, int(n)-had)
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		switch order.Uint32(head[:]) {
		case description:
			if len(b) < 8 {
				return ErrFormat
			}
			devices = append(devices, device{uint32(order.Uint16(b)), resolution(b[8:len(b)-4], order)})
		case enhanced:
			if len(b) < 24 || int(order.Uint32(b)) >= len(devices) || uint64(order.Uint32(b[12:])) > uint64(len(b)-24) {
				return ErrFormat
			}
			d := devices[order.Uint32(b)]
			if p, ok := unpack(d.kind, b[20:20+order.Uint32(b[12:])]); ok {
				ticks := uint64(order.Uint32(b[4:]))<<32 | uint64(order.Uint32(b[8:]))
				per := uint64(time.Second / d.unit)
				p.At = time.Unix(int64(ticks/per), int64(ticks%per)*int64(d.unit))
				take(p)
			}
		}
	}
}

// resolution is what times of an interface are counted in, by its options. Only powers of
// ten down to nanoseconds are known.
func resolution(options []byte, order binary.ByteOrder) time.Duration {
	const tsresol = 9
	for len(options) >= 4 {
		code, n := order.Uint16(options), int(order.Uint16(options[2:]))
		if code == 0 || len(options) < 4+n {
			break
		}
		if code == tsresol && n == 1 && options[4] <= 9 {
			unit := time.Second
			for range options[4] {
				unit /= 10
			}
			return unit
		}
		options = options[min(len(options), 4+(n+3)/4*4):]
	}
	return time.Microsecond
}

// unpack finds what a packet carries.
func unpack(kind uint32, b []byte) (Packet, bool) {
	skip := map[uint32]int{linkNull: 4, linkEthernet: 14, linkRaw: 0, linkRawBSD: 0, linkCooked: 16, linkCooked2: 20}
	n, known := skip[kind]
	switch {
	case kind == linkSerial && len(b) > 12 && (b[8] == serialSent || b[8] == serialReceived):
		return Packet{Sent: b[8] == serialSent, Data: b[12:]}, true
	case !known || len(b) < n:
		return Packet{}, false
	case kind == linkEthernet:
		for len(b) >= n+4 && b[n-2] == 0x81 && b[n-1] == 0 { // a VLAN
			n += 4
		}
	}
	return unpackIP(b[n:])
}

func unpackIP(b []byte) (Packet, bool) {
	const tcp = 6
	var from, to netip.Addr
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		n, whole := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		fragment := binary.BigEndian.Uint16(b[6:])&0x3FFF != 0
		if b[9] != tcp || n < 20 || whole < n || whole > len(b) || fragment {
			return Packet{}, false
		}
		from, to = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		b = b[n:whole]
	case len(b) >= 40 && b[0]>>4 == 6:
		n := int(binary.BigEndian.Uint16(b[4:]))
		if b[6] != tcp || 40+n > len(b) {
			return Packet{}, false
		}
		from, to = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		b = b[40 : 40+n]
	default:
		return Packet{}, false
	}
	if len(b) < 20 || int(b[12]>>4)*4 < 20 || int(b[12]>>4)*4 > len(b) {
		return Packet{}, false
	}
	p := Packet{
		From: netip.AddrPortFrom(from, binary.BigEndian.Uint16(b)), To: netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:])),
		Seq: binary.BigEndian.Uint32(b[4:]), Data: b[int(b[12]>>4)*4:],
	}
	return p, len(p.Data) > 0
}
