package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	here   = netip.MustParseAddrPort("10.0.0.1:40000")
	there  = netip.MustParseAddrPort("10.0.0.2:2404")
	here6  = netip.MustParseAddrPort("[2001:db8::1]:40000")
	there6 = netip.MustParseAddrPort("[2001:db8::2]:2404")
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	at := time.Date(2026, 11, 27, 6, 0, 0, 123456000, time.UTC)
	for name, c := range map[string]struct {
		serial        bool
		local, remote netip.AddrPort
	}{"IPv4": {false, here, there}, "IPv6": {false, here6, there6}, "serial": {serial: true}} {
		var file bytes.Buffer
		w := NewWriter(&file, c.serial)
		if err := w.Begin(); err != nil {
			t.Fatal(err)
		}
		for _, o := range []Octets{
			{Sent: true, Data: []byte("one")}, {Data: []byte("answer")}, {Sent: true, Data: []byte("two")},
		} {
			o.At, o.Local, o.Remote = at, c.local, c.remote
			if err := w.Write(o); err != nil {
				t.Fatal(err)
			}
		}
		var got []Packet
		if err := Read(&file, func(p Packet) { p.Data = bytes.Clone(p.Data); got = append(got, p) }); err != nil || len(got) != 3 {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		for i, want := range []string{"one", "answer", "two"} {
			if p := got[i]; string(p.Data) != want || !p.At.Equal(at) || p.Serial() != c.serial {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if !c.serial && (got[0].From != c.local || got[1].From != c.remote || got[2].Seq != got[0].Seq+3) || c.serial && (!got[0].Sent || got[1].Sent) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A file of pcapng as Wireshark writes one: a section, an interface with times in
// nanoseconds, and a packet of Ethernet with a VLAN.
func nextGeneration(order binary.AppendByteOrder) []byte {
	block := func(kind uint32, body []byte) []byte {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		b := order.AppendUint32(order.AppendUint32(nil, kind), uint32(len(body)+12))
		return order.AppendUint32(append(b, body...), uint32(len(body)+12))
	}
	u16, u32 := order.AppendUint16, order.AppendUint32
	file := block(0x0A0D0D0A, append(u16(u16(u32(nil, 0x1A2B3C4D), 1), 0), bytes.Repeat([]byte{0xFF}, 8)...))
	file = append(file, block(1, append(u32(u16(u16(nil, linkEthernet), 0), 0), append(u16(u16(nil, 9), 1), 9, 0, 0, 0)...))...)
	frame := append(make([]byte, 12), 0x81, 0, 0, 7, 8, 0)
	frame = append(frame, NewWriter(nil, false).segment(Octets{Sent: true, Local: here, Remote: there, Data: []byte("one")})...)
	const ticks = uint64(1_800_000_000_000_000_007)
	body := u32(u32(u32(u32(u32(nil, 0), uint32(ticks>>32)), uint32(ticks&0xFFFFFFFF)), uint32(len(frame))), uint32(len(frame)))
	return append(file, block(6, append(body, frame...))...)
}

func TestNextGeneration(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		var got []Packet
		if err := Read(bytes.NewReader(nextGeneration(order)), func(p Packet) { got = append(got, p) }); err != nil || len(got) != 1 {
			t.Fatalf("%v: %v, %v", order, got, err)
		}
		if p := got[0]; string(p.Data) != "one" || p.From != here || p.To != there || p.At.UnixNano() != 1_800_000_000_000_000_007 {
			t.Errorf("%v: %+v", order, p)
		}
	}
}

func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	w := NewWriter(&file, false)
	w.Begin()
	w.Write(Octets{Local: here, Remote: there, Data: []byte("one")})
	f.Add(file.Bytes())
	f.Add(nextGeneration(binary.LittleEndian))
	f.Fuzz(func(t *testing.T, b []byte) {
		Read(bytes.NewReader(b), func(p Packet) {
			if len(p.Data) == 0 || len(p.Data) > len(b) {
				t.Fatalf("%+v", p)
			}
		})
	})
}

// What goes over a connection is told to who listens, and to nobody else.
func TestTap(t *testing.T) {
	var tap Tap
	a, b := net.Pipe()
	tapped := tap.Conn(a)
	go func() {
		buf := make([]byte, 3)
		for {
			if _, err := b.Read(buf); err != nil {
				return
			}
			b.Write([]byte("yes"))
		}
	}()
	exchange := func() {
		t.Helper()
		if _, err := tapped.Write([]byte("ask")); err != nil {
			t.Fatal(err)
		}
		if _, err := tapped.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
	}
	exchange()
	var heard []string
	stop := tap.Listen(func(o Octets) { heard = append(heard, string(o.Data)) })
	exchange()
	stop()
	exchange()
	if !slices.Equal(heard, []string{"ask", "yes"}) {
		t.Errorf("%q", heard)
	}
	b.Close()
}

// blocked takes the head of a file, and then nothing until it is let.
type blocked struct {
	strings.Builder
	let  chan struct{}
	head bool
}

func (b *blocked) Write(p []byte) (int, error) {
	if b.head {
		<-b.let
	}
	b.head = true
	return len(p), nil
}

// Who writes too slowly is told so, and holds up nobody.
func TestAWriterThatIsTooSlow(t *testing.T) {
	var tap Tap
	w := &blocked{let: make(chan struct{})}
	ended := make(chan error)
	go func() { ended <- tap.Write(context.Background(), w, true) }()
	for tap.listened.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range mostWaiting + 10 {
		tap.Tell(Octets{Data: []byte{1}})
	}
	close(w.let)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "more goes over the link") {
		t.Error(err)
	}
}
