package modbus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// crc is the checksum of Modbus over Serial Line V1.02, 6.2.2, bit by bit.
func crc(b []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, c := range b {
		sum ^= uint16(c)
		for range 8 {
			odd := sum&1 != 0
			sum >>= 1
			if odd {
				sum ^= 0xA001
			}
		}
	}
	return sum
}

// withCRC is an RTU frame of a unit and a PDU.
func withCRC(unit byte, pdu []byte) []byte {
	b := append([]byte{unit}, pdu...)
	return binary.LittleEndian.AppendUint16(b, crc(b))
}

func rtuAnswerTo(request []byte) []byte { return withCRC(request[0], pduTo(request)) }

// rtuPoison is a right answer with values that no register holds.
func rtuPoison(request []byte) []byte {
	pdu := pduTo(request)
	for i := 2; i < len(pdu); i++ {
		pdu[i] = 0xEE
	}
	return withCRC(request[0], pdu)
}

func rtuRefusal(request []byte, code byte) []byte {
	return withCRC(request[0], []byte{request[1] | 0x80, code})
}

// lineFault answers one request, or doesn't. A connection is closed if it fails.
type lineFault func(w io.Writer, request []byte) error

// linePeer is a line with units on it, behind a serial port or a device server,
// written from the standard alone. It answers rightly, and one request after the
// other, unless it is told to misbehave.
type linePeer struct {
	endpoint string
	mu       sync.Mutex
	fault    lineFault
	conns    map[net.Conn]bool
	accepted int
}

func (p *linePeer) misbehave(f lineFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

func (p *linePeer) serve(line io.ReadWriter) {
	for {
		var request [8]byte
		if _, err := io.ReadFull(line, request[:]); err != nil {
			return
		}
		p.mu.Lock()
		answer := p.fault
		p.mu.Unlock()
		if sum := request[6:]; crc(request[:6]) != binary.LittleEndian.Uint16(sum) {
			continue
		}
		var err error
		if answer == nil {
			_, err = line.Write(rtuAnswerTo(request[:]))
		} else {
			err = answer(line, request[:])
		}
		if err != nil {
			return
		}
	}
}

func startLinePeer(t testing.TB, transport Transport) *linePeer {
	t.Helper()
	p := &linePeer{conns: map[net.Conn]bool{}}
	var serving sync.WaitGroup
	if transport == RTU {
		master, slave := openPTY(t)
		p.endpoint = "rtu://" + slave.Name() + "?baud=115200"
		serving.Go(func() { p.serve(master) })
		t.Cleanup(func() {
			master.Close()
			serving.Wait()
		})
		return p
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.endpoint = "rtu+tcp://" + listener.Addr().String() + "?baud=115200"
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.accepted++
			p.conns[c] = true
			p.mu.Unlock()
			serving.Go(func() {
				p.serve(c)
				c.Close()
				p.mu.Lock()
				delete(p.conns, c)
				p.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		serving.Wait()
	})
	return p
}

// openPTY is a pair of terminals: what is written to one is read from the other.
// The slave stays open, so that the master can be read whoever has it.
func openPTY(t testing.TB) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	controlled := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err := errors.Join(controlled, err); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// The standard's example: unit 2, function 7 has the checksum 0x1241, low byte
// first on the wire (Modbus over Serial Line V1.02, 6.2.2).
func TestChecksumOfTheStandard(t *testing.T) {
	if got := withCRC(2, []byte{7}); !bytes.Equal(got, []byte{2, 7, 0x41, 0x12}) {
		t.Errorf("% x", got)
	}
}
