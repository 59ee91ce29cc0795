package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os/exec"
	"testing"
	"time"
)

// hangUp as an answer closes the connection.
var hangUp = []byte("hang up")

// answerer serves Modbus TCP connections with whatever answer makes of a request: a
// frame, or nothing.
func answerer(t *testing.T, answer func(request []byte) []byte) Endpoint {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					head := make([]byte, 6)
					if _, err := io.ReadFull(c, head); err != nil {
						return
					}
					request := append(head, make([]byte, binary.BigEndian.Uint16(head[4:]))...)
					if _, err := io.ReadFull(c, request[6:]); err != nil {
						return
					}
					b := answer(request)
					if bytes.Equal(b, hangUp) {
						return
					}
					if _, err := c.Write(b); err != nil {
						return
					}
				}
			}()
		}
	}()
	e, err := ParseEndpoint("tcp://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestProberTellsWhatAnswersFromWhatDoesNot(t *testing.T) {
	long := pageOf(1, 1, 0, 0, "Maker")
	e := answerer(t, func(request []byte) []byte {
		switch unit, function := request[6], request[7]; {
		case unit == 1 && function == 43:
			return frame(request, pageOf(request[9], 0x82, 0, 0, "Maker", "Code", "1.0"))
		case unit == 1 && function == 17:
			return frame(request, []byte{17, 4, 1, 0xFF, 'a', 'b'})
		case unit == 1:
			return frame(request, pduTo(request[6:]))
		case unit == 2:
			return frame(request, []byte{function | 0x80, 1})
		case unit == 3:
			return nil
		case unit == 8:
			return hangUp
		case unit == 4:
			return []byte("HTTP/1.1 400 Bad Request\r\n\r\n")
		case unit == 5: // a length that the objects don't have
			b := frame(request, append(bytes.Clone(long), 0))
			return b
		case unit == 6: // and one that the bytes don't have
			b := frame(request, long)
			binary.BigEndian.PutUint16(b[4:], uint16(len(long)))
			return b
		}
		return frame(request, []byte{request[7] | 0x80, 0x0B})
	})
	p := NewProber(t.Context(), e, 2*time.Second, 0)
	defer p.Close()
	for range 2 {
		id, err := p.Identify(t.Context(), 1)
		if err != nil || id.Text(ObjectVendor) != "Maker" || id.Text(ObjectRevision) != "1.0" || id.Text(ObjectModel) != "" {
			t.Errorf("%+v, %v", id, err)
		}
		if server, err := p.ServerID(t.Context(), 1); err != nil || !bytes.Equal(server, []byte{1, 0xFF, 'a', 'b'}) {
			t.Errorf("% x, %v", server, err)
		}
		data, err := p.Registers(t.Context(), 1, Input, 7, 2)
		if err != nil || binary.BigEndian.Uint16(data) != registerOf(1, 4, 7) || len(data) != 4 {
			t.Errorf("% x, %v", data, err)
		}
		if _, err := p.Identify(t.Context(), 2); ExceptionOf(err) != 1 || NoAnswer(err) {
			t.Errorf("refused: %v", err)
		}
		for unit := uint8(4); unit <= 6; unit++ {
			if _, err := p.Identify(t.Context(), unit); err == nil || NoAnswer(err) || ExceptionOf(err) != 0 || errors.Is(err, ErrUnreachable) {
				t.Errorf("unit %d, nonsense: %v", unit, err)
			}
		}
		if _, err := p.Registers(t.Context(), 7, Holding, 0, 1); !NoAnswer(err) || ExceptionOf(err) != 0x0B {
			t.Errorf("behind a gateway: %v", err)
		}
	}
	if _, err := p.Registers(t.Context(), 8, Holding, 0, 1); err == nil || NoAnswer(err) || errors.Is(err, ErrUnreachable) || ExceptionOf(err) != 0 {
		t.Errorf("hung up: %v", err)
	}
	p.timeout = 20 * time.Millisecond
	if _, err := p.Registers(t.Context(), 3, Holding, 0, 1); !NoAnswer(err) || ExceptionOf(err) != 0 {
		t.Errorf("silent: %v", err)
	}

	closed, _ := ParseEndpoint("tcp://" + freeAddress(t))
	gone := NewProber(t.Context(), closed, time.Second, 0)
	defer gone.Close()
	for range 3 {
		if _, err := gone.Registers(t.Context(), 1, Holding, 0, 1); !errors.Is(err, ErrUnreachable) || NoAnswer(err) {
			t.Errorf("nobody listens: %v", err)
		}
	}
}

// Whoever probes an endpoint that is polled shares its one connection, and the polls
// go on.
func TestProbingGoesOnBesidePolls(t *testing.T) {
	p := startPeer(t)
	d := words(5, 6)
	d.ID, d.Unit, d.Live, d.Endpoint, d.PollEvery = "d", 1, 99, p.endpoint(), 20*time.Millisecond
	a, sink := run(t, d)
	sink.await(t, "the first polls", func() bool { return sink.count(d.ID) >= 2 })
	e, _ := ParseEndpoint(p.endpoint())
	prober, err := a.Prober(e, time.Second, 0)
	if err != nil {
		t.Fatal(err)
	}
	before, probes := sink.count(d.ID), 0
	for sink.count(d.ID) < before+10 {
		data, err := prober.Registers(t.Context(), 9, Holding, 40, 1)
		if err != nil || binary.BigEndian.Uint16(data) != registerOf(9, 3, 40) {
			t.Fatalf("% x, %v", data, err)
		}
		probes++
	}
	if p.connections() != 1 || probes < 10 {
		t.Errorf("%d connections, %d probes", p.connections(), probes)
	}
	for _, b := range sink.from(d.ID, 0) {
		for _, s := range b.Samples {
			if s.Quality != 0 {
				t.Errorf("%v", s.Quality)
			}
		}
	}

	// What costs the bus time is followed by as much for the others.
	prober.timeout = 20 * time.Millisecond
	p.misbehave(func(c net.Conn, request []byte) error {
		if request[6] == 9 {
			return nil
		}
		return write(c, answerTo(request))
	})
	began := time.Now()
	for range 3 {
		if _, err := prober.Registers(t.Context(), 9, Holding, 40, 1); !NoAnswer(err) {
			t.Errorf("%v", err)
		}
	}
	if took := time.Since(began); took < 5*prober.timeout {
		t.Errorf("3 timeouts with pauses between them within %v", took)
	}

	elsewhere, _ := ParseEndpoint("tcp://127.0.0.1:1")
	if _, err := a.Prober(elsewhere, time.Second, 0); !errors.Is(err, ErrElsewhere) {
		t.Errorf("another endpoint: %v", err)
	}
	other, _ := ParseEndpoint("rtu+" + p.endpoint())
	if _, err := a.Prober(other, time.Second, 0); err == nil || errors.Is(err, ErrElsewhere) {
		t.Errorf("the same endpoint in another way: %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := prober.Registers(stopped, 9, Holding, 40, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestIdentityOfPymodbus(t *testing.T) {
	python := python(t)
	check := func(t *testing.T, endpoint string, args ...string) {
		var out bytes.Buffer
		_, exited := start(t, exec.Command(python, append([]string{"testdata/identity.py"}, args...)...), &out)
		awaitMeterOf(t, Device{
			ID: "d", Endpoint: endpoint, Unit: 2, Timeout: 500 * time.Millisecond, Live: 1,
			Points: []Point{{Signal: 2, Name: "A", Table: Holding, Address: 0, Type: Int16}},
		}, exited, &out)
		e, err := ParseEndpoint(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		p := NewProber(t.Context(), e, 5*time.Second, 0)
		defer p.Close()
		id, err := p.Identify(t.Context(), 1)
		if err != nil || id.Incomplete != "" || len(id.Objects) != 7 || id.Conformity != 0x83 {
			t.Errorf("%d objects, %q, %v: %v", len(id.Objects), id.Incomplete, err, id)
		}
		for object, want := range map[byte]string{ObjectVendor: "Example", ObjectRevision: "V1.2", ObjectModel: "Model 7", 0x80: "private"} {
			if got := id.Text(object); got != want {
				t.Errorf("object %d: %q, expected %q", object, got, want)
			}
		}
		if server, err := p.ServerID(t.Context(), 1); err != nil || !bytes.Contains(server, []byte("Example")) {
			t.Errorf("%q, %v", server, err)
		}
	}
	for _, transport := range []Transport{TCP, RTUOverTCP} {
		t.Run(string(transport), func(t *testing.T) {
			address := freeAddress(t)
			_, port, _ := net.SplitHostPort(address)
			check(t, string(transport)+"://"+address, string(transport), port)
		})
	}
	t.Run(string(RTU), func(t *testing.T) {
		ours, theirs, _ := twoTTYs(t)
		check(t, "rtu://"+ours+"?baud=9600&parity=N", string(RTU), theirs)
	})
}
