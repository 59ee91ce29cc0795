package modbus

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// actuator is a device that can be written to, of unit 1, written from the standard
// alone. It remembers every write that reached it.
type actuator struct {
	endpoint string

	mu        sync.Mutex
	registers [64]uint16 // holding
	coils     [64]bool
	writes    [][]byte // PDUs, in order
	react     func(pdu []byte) reaction
	onRead    func() // before each; nil: nothing
	drops     bool   // the connection, once, in place of the next answer to a read
	echo      bool   // the line has one
}

// reaction is what the device does about a write, instead of executing and answering
// it.
type reaction struct {
	exception byte          // it refuses
	ignores   bool          // it doesn't execute it
	silent    bool          // it doesn't answer
	hangsUp   bool          // nor stays connected
	late      time.Duration // before the answer
	answer    []byte        // another PDU
}

func startActuator(t testing.TB, transport Transport) *actuator {
	t.Helper()
	a := &actuator{}
	for i := range a.registers {
		a.registers[i] = uint16(0x100*i + 1)
	}
	var serving sync.WaitGroup
	if transport == RTU {
		master, slave := openPTY(t)
		a.endpoint = "rtu://" + slave.Name() + "?baud=115200"
		serving.Go(func() { a.serve(master, transport) })
		t.Cleanup(func() { master.Close(); serving.Wait() })
		return a
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.endpoint = string(transport) + "://" + listener.Addr().String()
	var open sync.Map
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			serving.Go(func() {
				a.serve(c, transport)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		serving.Wait()
	})
	return a
}

func (a *actuator) serve(line io.ReadWriter, transport Transport) {
	for {
		head, pdu, err := readRequest(line, transport)
		if err != nil {
			return
		}
		frame := func(pdu []byte) []byte {
			if transport != TCP {
				return withCRC(head[0], pdu)
			}
			b := append(slices.Clone(head[:4]), 0, byte(len(pdu)+1), head[6])
			return append(b, pdu...)
		}
		answer, late, err := a.execute(pdu)
		if err != nil {
			return
		}
		a.mu.Lock()
		if a.echo {
			line.Write(frame(pdu))
		}
		a.mu.Unlock()
		time.Sleep(late)
		if answer != nil {
			if _, err := line.Write(frame(answer)); err != nil {
				return
			}
		}
	}
}

func readRequest(line io.Reader, transport Transport) (head, pdu []byte, err error) {
	if transport == TCP {
		head = make([]byte, 7)
		if _, err = io.ReadFull(line, head); err != nil {
			return
		}
		pdu = make([]byte, binary.BigEndian.Uint16(head[4:])-1)
		_, err = io.ReadFull(line, pdu)
		return
	}
	b := make([]byte, 7, 300)
	if _, err = io.ReadFull(line, b); err != nil {
		return
	}
	more := 1
	switch b[1] {
	case 15, 16:
		more = int(b[6]) + 2
	case 22:
		more = 3
	}
	b = append(b, make([]byte, more)...)
	if _, err = io.ReadFull(line, b[7:]); err != nil {
		return
	}
	if n := len(b) - 2; crc(b[:n]) != binary.LittleEndian.Uint16(b[n:]) {
		return nil, nil, errors.New("wrong checksum")
	}
	return b[:1], b[1 : len(b)-2], nil
}

func (a *actuator) execute(pdu []byte) (answer []byte, late time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	function, at, n := pdu[0], binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	if function <= 4 {
		if a.onRead != nil {
			a.onRead()
		}
		if a.drops {
			a.drops = false
			return nil, 0, errHangUp
		}
		if function != 1 && function != 3 || int(at)+int(n) > 64 {
			return []byte{function | 0x80, 2}, 0, nil
		}
		return a.read(function, at, n), 0, nil
	}
	a.writes = append(a.writes, slices.Clone(pdu))
	var r reaction
	if a.react != nil {
		r = a.react(pdu)
	}
	if !r.ignores && r.exception == 0 {
		a.write(function, at, n, pdu)
	}
	answer = pdu[:5]
	if function == 22 {
		answer = pdu
	}
	switch {
	case r.hangsUp:
		return nil, 0, errHangUp
	case r.silent:
		answer = nil
	case r.exception != 0:
		answer = []byte{function | 0x80, r.exception}
	case r.answer != nil:
		answer = r.answer
	}
	return answer, r.late, nil
}

func (a *actuator) read(function byte, at, n uint16) []byte {
	if function == 3 {
		answer := []byte{3, byte(2 * n)}
		for i := range n {
			answer = binary.BigEndian.AppendUint16(answer, a.registers[at+i])
		}
		return answer
	}
	answer := append([]byte{1, byte((n + 7) / 8)}, make([]byte, (n+7)/8)...)
	for i := range n {
		if a.coils[at+i] {
			answer[2+i/8] |= 1 << (i % 8)
		}
	}
	return answer
}

func (a *actuator) write(function byte, at, n uint16, pdu []byte) {
	switch function {
	case 5:
		a.coils[at] = n == 0xFF00
	case 6:
		a.registers[at] = n
	case 15:
		for i := range n {
			a.coils[at+i] = pdu[6+i/8]>>(i%8)&1 != 0
		}
	case 16:
		for i := range n {
			a.registers[at+i] = binary.BigEndian.Uint16(pdu[6+2*i:])
		}
	case 22:
		and, or := n, binary.BigEndian.Uint16(pdu[5:])
		a.registers[at] = a.registers[at]&and | or&^and
	}
}

// written is every write that has reached the device.
func (a *actuator) written() [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.writes)
}

func (a *actuator) does(react func(pdu []byte) reaction) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.react = react
}

func (a *actuator) always(r reaction) { a.does(func([]byte) reaction { return r }) }
