package modbus

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// fastPeer answers every read of the given number of registers with the same
// 230.1 V, as fast as a socket allows.
func fastPeer(b *testing.B, registers int) Endpoint {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				reply := make([]byte, 9+2*registers)
				binary.BigEndian.PutUint16(reply[4:], uint16(3+2*registers))
				reply[8] = byte(2 * registers)
				for i := 9; i < len(reply); i += 4 {
					copy(reply[i:], []byte{0x43, 0x66, 0x19, 0x9A})
				}
				var request [12]byte
				for {
					if _, err := io.ReadFull(c, request[:]); err != nil {
						return
					}
					copy(reply, request[:4])
					copy(reply[6:8], request[6:8])
					if _, err := c.Write(reply); err != nil {
						return
					}
				}
			}()
		}
	}()
	return Endpoint{Transport: TCP, Address: listener.Addr().String()}
}

func perValue(b *testing.B, values int) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*values), "ns/value")
}

// BenchmarkRead reads 100 registers an exchange through this package's
// transporter, through the library's own, and as bare bytes: the most that one
// connection gives on loopback.
func BenchmarkRead(b *testing.B) {
	const registers = 100
	b.Run("busbar", func(b *testing.B) {
		m := &meter{Device: Device{Unit: 1, Timeout: time.Minute}, endpoint: fastPeer(b, registers)}
		l := newLink(b.Context(), m.endpoint, opener{dial: (&net.Dialer{}).DialContext}, new(busCounters))
		defer l.close()
		r := request{table: Holding, count: registers}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := l.read(b.Context(), m, r); err != nil {
				b.Fatal(err)
			}
		}
		perValue(b, registers)
	})
	b.Run("goburrow", func(b *testing.B) {
		handler := goburrow.NewTCPClientHandler(fastPeer(b, registers).Address)
		handler.SlaveId = 1
		defer handler.Close()
		client := goburrow.NewClient(handler)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.ReadHoldingRegisters(0, registers); err != nil {
				b.Fatal(err)
			}
		}
		perValue(b, registers)
	})
	b.Run("bytes", func(b *testing.B) {
		c, err := net.Dial("tcp", fastPeer(b, registers).Address)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		request := []byte{0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, registers}
		answer := make([]byte, 9+2*registers)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Write(request); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, answer); err != nil {
				b.Fatal(err)
			}
		}
		perValue(b, registers)
	})
}

// BenchmarkPoll polls a device of 50 float32 up to its samples.
func BenchmarkPoll(b *testing.B) {
	const points = 50
	d := Device{ID: "d", Live: 1000, Timeout: time.Minute}
	for i := range points {
		d.Points = append(d.Points, Point{Signal: telemetry.SignalID(i), Table: Input, Address: uint16(2 * i), Type: Float32})
	}
	m := newMeter(d, fastPeer(b, 2*points))
	l := newLink(b.Context(), m.endpoint, opener{dial: (&net.Dialer{}).DialContext}, new(busCounters))
	defer l.close()
	r := m.newReader()
	b.ReportAllocs()
	for b.Loop() {
		if err := r.poll(b.Context(), l); err != nil || r.good != points {
			b.Fatal(err, r.outcomes)
		}
	}
	perValue(b, points)
}

// BenchmarkDecode turns the registers of 50 float32 into values.
func BenchmarkDecode(b *testing.B) {
	const points = 50
	d := newDecoder(Point{Table: Input, Type: Float32})
	data := make([]byte, 4*points)
	b.ReportAllocs()
	for b.Loop() {
		for i := range points {
			d.value(data, 2*i)
		}
	}
	perValue(b, points)
}
