package devices

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
)

func lineFrame(unit byte, pdu []byte) []byte { return rtu{}.wrap(nil, nil, unit, pdu) }

func TestSplitRTU(t *testing.T) {
	read := lineFrame(1, readRequest(HoldingRegisters, 16, 2))
	writes := lineFrame(9, bytesOf(t, "100001000204000a0102"))
	unknown := lineFrame(1, []byte{0x11})
	broken := bytes.Clone(read)
	broken[5] ^= 1
	for _, c := range []struct {
		name         string
		stream       []byte
		silent       bool
		request, out []byte
	}{
		{"one", read, false, read, nil},
		{"two", slices.Concat(read, writes), false, read, writes},
		{"the start of one", read[:5], false, nil, read[:5]},
		{"after noise", slices.Concat([]byte{0, 0xFF, 3}, read), false, read, nil},
		{"after another's answer", slices.Concat(lineFrame(2, bytesOf(t, "030401020304")), read), false, read, nil},
		{"after the start of one", slices.Concat(read[:3], read), false, read, nil},
		{"after what seems the start of a long one", slices.Concat([]byte{1, 16, 0, 0, 0, 9, 0xFF}, read), false, read, nil},
		{"a wrong checksum", broken, false, nil, broken[1:]},
		{"a wrong checksum, and silence", broken, true, nil, nil},
		{"an unknown function", unknown, false, nil, unknown},
		{"an unknown function, and silence", unknown, true, unknown, nil},
		{"nothing", nil, true, nil, nil},
	} {
		request, rest := splitRTU(c.stream, c.silent)
		if !bytes.Equal(request, c.request) || !bytes.Equal(rest, c.out) {
			t.Errorf("%s: % x and % x, want % x and % x", c.name, request, rest, c.request, c.out)
		}
	}
}

func FuzzSplitRTU(f *testing.F) {
	f.Add(lineFrame(1, readRequest(InputRegisters, 0, 1)), true)
	f.Add(slices.Concat([]byte{0, 1, 16}, lineFrame(1, []byte{0x2B, 0x0E, 1, 0}), lineFrame(2, []byte{0x11})), false)
	f.Fuzz(func(t *testing.T, stream []byte, silent bool) {
		request, rest := splitRTU(stream, silent)
		if request == nil {
			if silent && len(rest) > 0 || !bytes.HasSuffix(stream, rest) {
				t.Fatalf("% x is kept of % x", rest, stream)
			}
			return
		}
		if len(request) < 4 || len(request) > maxRTU || len(request)+len(rest) > len(stream) || !bytes.Equal(lineFrame(request[0], rtu{}.pdu(request)), request) {
			t.Fatalf("% x is no request", request)
		}
	})
}

// onLine runs units on a line until the test ends, in a bubble, and gives its other end.
func onLine(t *testing.T, bus *Bus, c LineConfig, during func(net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := bus.ServeLine(ctx, theirs, c); err != nil {
				t.Error(err)
			}
		})
		during(ours)
		cancel()
		serving.Wait()
		_ = ours.Close()
	})
}

// hear is what comes within a time, and when its last byte came.
func hear(t *testing.T, c net.Conn, within time.Duration) (heard []byte, at time.Time) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 1024)
	for {
		n, err := c.Read(b)
		if n > 0 {
			heard, at = append(heard, b[:n]...), time.Now()
		}
		if err != nil {
			return heard, at
		}
	}
}

// A request of 8 characters, the silence of 3.5, and an answer of 5 + 120: at 9,600
// baud with 10 bits a character, 142.2 ms.
func TestLineIsAsSlowAsItsBaud(t *testing.T) {
	for _, c := range []struct {
		line modbus.Line
		want time.Duration
	}{
		{modbus.Line{Baud: 9600, Parity: modbus.NoParity, StopBits: 1}, 142187500},
		{modbus.Line{Baud: 9600, Parity: modbus.Even, StopBits: 1}, 156406250},
		{modbus.Line{Baud: 1200, Parity: modbus.NoParity, StopBits: 2}, 1251250000},
		{modbus.Line{Baud: 115200, Parity: modbus.NoParity, StopBits: 1}, 13295138},
	} {
		bus := NewBus(map[byte]Unit{3: Bank{InputRegisters: make([]uint16, 60)}}, 1)
		onLine(t, bus, LineConfig{Line: c.line, Paced: true}, func(conn net.Conn) {
			began := time.Now()
			_, _ = conn.Write(lineFrame(3, readRequest(InputRegisters, 0, 60)))
			heard, at := hear(t, conn, time.Minute)
			if took := at.Sub(began); (took-c.want).Abs() > time.Microsecond || len(heard) != 125 {
				t.Errorf("%v: %d bytes in %v, want 125 in %v", c.line, len(heard), took, c.want)
			}
		})
	}
}

// A late unit doesn't hold up those beside it, and answers what it was asked in order.
// Nobody answers for units that aren't there, nor what is said to all.
func TestUnitsOnALine(t *testing.T) {
	m := wide(t)
	bus := NewBus(map[byte]Unit{1: m, 2: Bank{HoldingRegisters: []uint16{5}}}, 1)
	onLine(t, bus, LineConfig{}, func(conn net.Conn) {
		bus.Misbehave(1, Misbehaviour{Kind: Late, Time: 2 * time.Second})
		began := time.Now()
		say := func(unit byte, pdu []byte) { _, _ = conn.Write(lineFrame(unit, pdu)) }
		say(1, readRequest(HoldingRegisters, 1, 1))
		say(1, readRequest(HoldingRegisters, 2, 2))
		say(2, readRequest(HoldingRegisters, 0, 1))
		say(7, readRequest(HoldingRegisters, 0, 1))
		heard, at := hear(t, conn, time.Second)
		if want := lineFrame(2, []byte{3, 2, 0, 5}); !bytes.Equal(heard, want) || at.Sub(began) > time.Millisecond {
			t.Errorf("% x after %v", heard, at.Sub(began))
		}
		heard, at = hear(t, conn, time.Minute)
		if want := slices.Concat(lineFrame(1, []byte{3, 2, 0, 0}), lineFrame(1, []byte{3, 4, 0, 0, 0, 0})); !bytes.Equal(heard, want) || at.Sub(began) != 4*time.Second {
			t.Errorf("% x after %v", heard, at.Sub(began))
		}
		bus.Misbehave(1)
		say(0, bytesOf(t, "0600010009"))
		if heard, _ := hear(t, conn, time.Second); len(heard) > 0 {
			t.Errorf("% x is an answer to what was said to all", heard)
		}
		say(1, readRequest(HoldingRegisters, 1, 1))
		if heard, _ := hear(t, conn, time.Second); !bytes.Equal(heard, lineFrame(1, []byte{3, 2, 0, 9})) {
			t.Errorf("% x: what was said to all wasn't heard", heard)
		}
		say(1, []byte{0x11})
		if heard, _ := hear(t, conn, time.Second); !bytes.Equal(heard, lineFrame(1, []byte{0x91, 1})) {
			t.Errorf("% x to an unknown function", heard)
		}
	})
}

// A pseudo terminal whose client comes, goes and comes again, and none for a while.
func TestPseudoTerminal(t *testing.T) {
	pty, err := OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := NewBus(map[byte]Unit{1: Bank{HoldingRegisters: []uint16{5}}}, 1).ServeLine(ctx, pty, LineConfig{}); err != nil {
			t.Error(err)
		}
	})
	defer serving.Wait()
	defer cancel()
	want := lineFrame(1, []byte{3, 2, 0, 5})
	for range 3 {
		port, err := modbus.OpenSerial(pty.Path(), modbus.Line{Baud: 9600, Parity: modbus.NoParity, StopBits: 1})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		_ = port.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err = port.Write(lineFrame(1, readRequest(HoldingRegisters, 0, 1))); err == nil {
			_, err = io.ReadFull(port, got)
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("% x, %v", got, err)
		}
		if err := port.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
