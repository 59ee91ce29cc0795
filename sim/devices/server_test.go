package devices

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

func splitHostPort(s *Server) (host, port string, err error) {
	return net.SplitHostPort(s.Addr().String())
}

func stderrOf(err error) []byte {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.Stderr
	}
	return nil
}

func TestAnswersAreUniqueAndGaplessForManyClients(t *testing.T) {
	m := testMeter(t, func() time.Duration { return 0 })
	s := serve(t, map[byte]Unit{1: m})
	const clients, reads = 8, 500
	got := make([][]uint32, clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := dial(t, s)
		wg.Go(func() {
			for range reads {
				n, err := c.answers(1)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				got[i] = append(got[i], n)
			}
		})
	}
	wg.Wait()
	for i, numbers := range got {
		if !slices.IsSorted(numbers) {
			t.Errorf("client %d saw the counter go back", i)
		}
	}
	all := slices.Concat(got...)
	slices.Sort(all)
	for i, n := range all {
		if n != uint32(i+1) {
			t.Fatalf("number %d is %d", i+1, n)
		}
	}
	if m.Answers() != clients*reads || len(all) != clients*reads {
		t.Errorf("%d numbers, the meter says %d, want %d", len(all), m.Answers(), clients*reads)
	}
}

// Requests may come in any pieces, and many at once.
func TestRequestsInPieces(t *testing.T) {
	s := serve(t, map[byte]Unit{1: Bank{InputRegisters: []uint16{1, 2, 3, 4}}})
	var sent, want []byte
	for i := range 1000 {
		address := i % 4
		sent = append(sent, frame(uint16(i), 1, readRequest(InputRegisters, address, 1))...)
		want = append(want, frame(uint16(i), 1, []byte{4, 2, 0, byte(address + 1)})...)
	}
	for _, piece := range []int{1, 5, 12, 13, 4095, len(sent)} {
		c := dial(t, s)
		go func() {
			for chunk := range slices.Chunk(sent, piece) {
				if _, err := c.Write(chunk); err != nil {
					return
				}
			}
		}()
		got := make([]byte, len(want))
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("pieces of %d bytes: %d of %d bytes, %v", piece, n, len(want), err)
		}
	}
}

func TestWrongHeaderEndsTheConnectionOnly(t *testing.T) {
	s := serve(t, map[byte]Unit{1: Bank{InputRegisters: []uint16{7}}})
	good := dial(t, s)
	for name, bytes := range map[string][]byte{
		"protocol identifier": {0, 1, 0, 1, 0, 6, 1, 4, 0, 0, 0, 1},
		"length 0":            {0, 1, 0, 0, 0, 0, 1, 4},
		"length 1":            {0, 1, 0, 0, 0, 1, 1, 4},
		"length 255":          {0, 1, 0, 0, 0, 255, 1, 4},
	} {
		c := dial(t, s)
		if _, err := c.Write(bytes); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 0 || !ended(err) {
			t.Errorf("%s: %d bytes, %v; want the connection to end", name, n, err)
		}
		if reply, err := good.ask(1, readRequest(InputRegisters, 0, 1)); err != nil || reply[3] != 7 {
			t.Fatalf("%s: another connection got % x, %v", name, reply, err)
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }

func TestConnectionsAreBounded(t *testing.T) {
	s := serve(t, map[byte]Unit{1: Bank{InputRegisters: []uint16{7}}})
	var all []*client
	for range maxConnections {
		c := dial(t, s)
		if _, err := c.ask(1, readRequest(InputRegisters, 0, 1)); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	extra := dial(t, s)
	_ = extra.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := extra.Read(make([]byte, 1)); !ended(err) {
		t.Fatalf("connection %d: %v", maxConnections+1, err)
	}
	_ = all[0].Close()
	for deadline := time.Now().Add(5 * time.Second); ; {
		if _, err := dial(t, s).ask(1, readRequest(InputRegisters, 0, 1)); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("no place after one has left: %v", err)
		}
	}
}

func TestBehaviours(t *testing.T) {
	m, other := testMeter(t, func() time.Duration { return 0 }), testMeter(t, func() time.Duration { return 0 })
	s := serve(t, map[byte]Unit{1: m, 2: other})
	c := dial(t, s)
	if !c.says(1) {
		t.Fatal("no answer from the start")
	}

	s.Misbehave(1, Misbehaviour{Kind: Silent})
	if c.says(1) {
		t.Error("a silent unit answered")
	}
	if !c.says(2) {
		t.Error("the unit beside a silent one did not answer")
	}
	if m.Answers() != 1 {
		t.Errorf("%d answers counted, want 1: a silent unit serves none", m.Answers())
	}
	s.Misbehave(1)
	if !c.says(1) {
		t.Error("no answer after the silence")
	}

	const delay = 80 * time.Millisecond
	s.Misbehave(1, Misbehaviour{Kind: Late, Time: delay})
	began := time.Now()
	if _, err := c.answers(1); err != nil || time.Since(began) < delay {
		t.Errorf("answer after %v (%v), want %v or more", time.Since(began), err, delay)
	}
}

// How a device ends connections, or doesn't begin them.
func TestConnectionsThatDevicesEnd(t *testing.T) {
	s := serve(t, map[byte]Unit{1: Bank{InputRegisters: []uint16{7}}, 2: Bank{InputRegisters: []uint16{8}}})
	request := readRequest(InputRegisters, 0, 1)
	ask := func(c *client) error {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err := c.ask(1, request)
		return err
	}
	awaitAnswer := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			conn, err := net.Dial("tcp", s.Addr().String())
			if err == nil {
				err = ask(&client{Conn: conn})
				_ = conn.Close()
			}
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no answer %s: %v", what, err)
			}
		}
	}
	s.Misbehave(1, Misbehaviour{Kind: HangUp})
	if err := ask(dial(t, s)); !errors.Is(err, io.EOF) {
		t.Errorf("hang-up: %v", err)
	}
	s.Misbehave(1, Misbehaviour{Kind: Reset})
	if err := ask(dial(t, s)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}

	s.Misbehave(1)
	first := dial(t, s)
	if err := ask(first); err != nil {
		t.Fatal(err)
	}
	s.Misbehave(2, Misbehaviour{Kind: OneClient})
	if err := ask(dial(t, s)); !ended(err) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a second client: %v", err)
	}
	if err := ask(first); err != nil {
		t.Errorf("the first client, after a second one has come: %v", err)
	}
	_ = first.Close()
	awaitAnswer("after the first client has gone")
	s.Misbehave(2)

	other := dial(t, s)
	if err := ask(other); err != nil {
		t.Fatal(err)
	}
	s.Misbehave(1, Misbehaviour{Kind: Restart, Time: 300 * time.Millisecond})
	began := time.Now()
	if err := ask(dial(t, s)); err == nil {
		t.Error("a device that restarts answers")
	}
	if err := ask(other); err == nil {
		t.Error("another connection outlives a restart")
	}
	awaitAnswer("after a restart")
	if away := time.Since(began); away < 300*time.Millisecond {
		t.Errorf("it was away for %v", away)
	}
}

func TestResetBreaksConnections(t *testing.T) {
	m := testMeter(t, func() time.Duration { return 0 })
	s := serve(t, map[byte]Unit{1: m})
	c := dial(t, s)
	if !c.says(1) {
		t.Fatal("no answer")
	}
	s.Reset()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset connection", err)
	}
	if !dial(t, s).says(1) {
		t.Error("no answer on a new connection")
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(frame(1, 1, readRequest(InputRegisters, 0, 1)))
	f.Add(slices.Concat(frame(1, 1, []byte{3}), frame(2, 2, readRequest(Coils, 0, 9))))
	f.Add([]byte{0, 1, 0, 0, 0, 255, 1, 4})
	f.Fuzz(func(t *testing.T, stream []byte) {
		rest := stream
		for {
			request, tail, err := split(rest)
			if err != nil {
				return
			}
			if request == nil {
				if len(tail) != len(rest) || len(rest) >= maxADU {
					t.Fatalf("%d bytes are kept of %d", len(tail), len(rest))
				}
				return
			}
			if len(request) < headerSize+1 || len(request) > maxADU || len(request)+len(tail) != len(rest) {
				t.Fatalf("%d bytes split into %d and %d", len(rest), len(request), len(tail))
			}
			rest = tail
		}
	})
}
