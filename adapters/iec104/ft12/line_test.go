package ft12

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/test/await"
)

// secondary is a station on a line, behind a server. It answers as it is scripted, and as
// it should otherwise.
type secondary struct {
	t       testing.TB
	address uint16
	conn    net.Conn
	// script says what is sent instead of an answer, by the number of the request; ok false:
	// nothing is scripted.
	script func(n int, request Frame, answer []byte) (b []byte, ok bool)

	mu       sync.Mutex
	requests []Frame
	class1   [][]byte // ASDUs that wait
	taken    [][]byte // ASDUs that came
	full     bool     // DFC
	fcb      Control
	last     []byte
}

// serve answers what comes over a connection until that ends.
func (s *secondary) serve(c net.Conn) {
	s.conn = c
	var buf []byte
	b := make([]byte, 512)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		buf = append(buf, b[:n]...)
		for {
			f, size, err := Parse(buf, 1)
			if err != nil {
				s.t.Errorf("the gateway sends % x: %v", buf, err)
				return
			}
			if size == 0 {
				break
			}
			f.ASDU = slices.Clone(f.ASDU)
			buf = buf[size:]
			if f.Address == s.address {
				c.Write(s.answer(f))
			}
		}
	}
}

func (s *secondary) answer(f Frame) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, f)
	b := s.proper(f)
	if s.script != nil {
		if other, ok := s.script(len(s.requests), f, b); ok {
			return other
		}
	}
	return b
}

func (s *secondary) proper(f Frame) []byte {
	if f.Control&FCV != 0 {
		if f.Control&FCB == s.fcb {
			return s.last
		}
		s.fcb = f.Control & FCB
	}
	a := Frame{Address: s.address}
	switch f.Control.Function() {
	case RequestStatus:
		a.Control = Status
	case ResetLink:
		s.fcb = 0
	case UserData:
		s.taken = append(s.taken, f.ASDU)
	case RequestClass1:
		a.Control = NoData
		if len(s.class1) > 0 {
			a.Control, a.ASDU = Respond, s.class1[0]
			s.class1 = s.class1[1:]
		}
	case RequestClass2:
		a.Control = NoData
	}
	if len(s.class1) > 0 {
		a.Control |= ACD
	}
	if s.full {
		a.Control |= DFC
	}
	b, _ := a.Append(nil, 1)
	s.last = b
	return b
}

func (s *secondary) asked(of Control) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.requests {
		if f.Control.Function() == of {
			n++
		}
	}
	return n
}

// plug listens as a server at the end of a line, whose stations hear what everybody is asked.
func plug(t *testing.T, stations ...*secondary) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var all []io.Writer
			for _, s := range stations {
				here, there := net.Pipe()
				all = append(all, here)
				go s.serve(there)
				go io.Copy(c, here)
			}
			go io.Copy(io.MultiWriter(all...), c)
		}
	}()
	e, err := modbus.ParseEndpoint("rtu+tcp://" + l.Addr().String() + "?baud=115200")
	if err != nil {
		t.Fatal(err)
	}
	return Config{Endpoint: e, Octets: 1, Timeout: 150 * time.Millisecond, Retries: 3, Poll: 5 * time.Millisecond}
}

func open(t *testing.T, lines *Lines, c Config, address uint16) *Link {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	k := lines.Open(ctx, Station{c, address})
	t.Cleanup(func() {
		cancel()
		k.Wait()
	})
	return k
}

func started(t *testing.T, k *Link) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		c, err := k.Started(ctx)
		if err == nil {
			return c
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func messages(t *testing.T, c *Conn, n int) (all []string) {
	t.Helper()
	for len(all) < n {
		select {
		case m := <-c.Messages():
			all = append(all, string(m.ASDU))
		case <-c.Ended():
			t.Fatalf("after %q: %v", all, c.Err())
		case <-time.After(30 * time.Second):
			t.Fatalf("no more after %q", all)
		}
	}
	return all
}

// Whatever a station does wrong with an answer, it is asked again, and what it has to tell
// comes once each, in order.
func TestNothingIsLostOrToldTwice(t *testing.T) {
	for name, wrong := range map[string]func(c net.Conn, b []byte) []byte{
		"silence":       func(net.Conn, []byte) []byte { return nil },
		"checksum":      func(_ net.Conn, b []byte) []byte { b = slices.Clone(b); b[len(b)-2]++; return b },
		"end":           func(_ net.Conn, b []byte) []byte { b = slices.Clone(b); b[len(b)-1]++; return b },
		"half":          func(_ net.Conn, b []byte) []byte { return b[:len(b)/2] },
		"noise":         func(_ net.Conn, b []byte) []byte { return []byte("noise") },
		"noise before":  func(_ net.Conn, b []byte) []byte { return append([]byte{0}, b...) },
		"other station": func(net.Conn, []byte) []byte { f, _ := (Frame{Control: NoData, Address: 9}).Append(nil, 1); return f },
		"long length":   func(net.Conn, []byte) []byte { return []byte{0x68, 0xFF, 0xFF, 0x68, 8} },
		"late": func(c net.Conn, b []byte) []byte {
			time.AfterFunc(200*time.Millisecond, func() { c.Write(b) })
			return nil
		},
		"drip": func(c net.Conn, b []byte) []byte {
			for _, o := range b[:len(b)-1] {
				c.Write([]byte{o})
				time.Sleep(time.Millisecond)
			}
			return b[len(b)-1:]
		},
		"echo": func(_ net.Conn, b []byte) []byte {
			f, _ := (Frame{Control: PRM | FCV | FCB | RequestClass1, Address: 1}).Append(nil, 1)
			return append(f, b...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &secondary{t: t, address: 1}
			var want []string
			for i := range 12 {
				want = append(want, fmt.Sprint("asdu ", i))
				s.class1 = append(s.class1, []byte(want[i]))
			}
			s.script = func(n int, _ Frame, answer []byte) ([]byte, bool) {
				if n > 2 && n%5 == 0 && n < 30 {
					return wrong(s.conn, answer), true
				}
				return nil, false
			}
			c := started(t, open(t, &Lines{}, plug(t, s), 1))
			if err := c.Send(t.Context(), []byte("command")); err != nil {
				t.Fatal(err)
			}
			if got := messages(t, c, len(want)); !slices.Equal(got, want) {
				t.Errorf("%q", got)
			}
			await.True(t, "the command has arrived", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.taken) == 1 })
			if n := s.asked(ResetLink); n != 1 {
				t.Errorf("the link was reset %d times", n)
			}
			await.True(t, "it goes on", func() bool { return s.asked(RequestClass2) > 20 })
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.taken) != 1 {
				t.Errorf("%q was taken", s.taken)
			}
		})
	}
}

// Who takes nothing is only asked whether that is over.
func TestAStationThatIsFull(t *testing.T) {
	s := &secondary{t: t, address: 1, full: true}
	c := started(t, open(t, &Lines{}, plug(t, s), 1))
	if err := c.Send(t.Context(), []byte("command")); err != nil {
		t.Fatal(err)
	}
	await.True(t, "it is asked", func() bool { return s.asked(RequestStatus) > 3 })
	if n := s.asked(UserData); n > 0 {
		t.Errorf("it was sent data %d times", n)
	}
	s.mu.Lock()
	s.full = false
	s.mu.Unlock()
	await.True(t, "it gets its command", func() bool { return s.asked(UserData) == 1 })
}

// One that is silent costs the others little, and is there again when it answers.
func TestASilentStationAmongOthers(t *testing.T) {
	a, b := &secondary{t: t, address: 1}, &secondary{t: t, address: 2}
	silent := true
	b.script = func(int, Frame, []byte) ([]byte, bool) { return nil, silent }
	var lines Lines
	config := plug(t, a, b)
	ka, kb := open(t, &lines, config, 1), open(t, &lines, config, 2)
	started(t, ka)
	if _, err := kb.Started(t.Context()); !errors.Is(err, ErrSilent) {
		t.Errorf("%v", err)
	}
	before := a.asked(RequestClass2)
	await.True(t, "the other is asked", func() bool { return a.asked(RequestClass2) > before+50 })
	b.mu.Lock()
	silent = false
	b.mu.Unlock()
	started(t, kb)
	if len(ka.Connected()) != 1 || len(kb.Connected()) != 1 {
		t.Errorf("%v, %v", ka.Connected(), kb.Connected())
	}
}

// A station that is lost is told to be, and what had come before is taken.
func TestALostStation(t *testing.T) {
	s := &secondary{t: t, address: 1, class1: [][]byte{[]byte("one"), []byte("two")}}
	s.script = func(n int, _ Frame, _ []byte) ([]byte, bool) { return nil, n > 6 }
	k := open(t, &Lines{}, plug(t, s), 1)
	c := started(t, k)
	await.True(t, "it has failed", func() bool { return c.Err() != nil })
	if got := messages(t, c, 2); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%q", got)
	}
	<-c.Ended()
	if err := c.Err(); !errors.Is(err, ErrSilent) {
		t.Error(err)
	}
	if err := c.Send(t.Context(), []byte("x")); err == nil {
		t.Error("it takes a command")
	}
}

// What is asked to stop isn't asked any more, and says so last.
func TestStopping(t *testing.T) {
	s := &secondary{t: t, address: 1, class1: [][]byte{[]byte("one")}}
	c := started(t, open(t, &Lines{}, plug(t, s), 1))
	messages(t, c, 1)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := <-c.Messages(); m.Event != link.Stopped {
		t.Errorf("%+v", m)
	}
	n := s.asked(RequestClass2)
	time.Sleep(50 * time.Millisecond)
	if more := s.asked(RequestClass2); more != n {
		t.Errorf("it was asked %d times more", more-n)
	}
}

// A station that leaves a line on which others are leaves nothing open.
func TestLeavingALine(t *testing.T) {
	a, b := &secondary{t: t, address: 1}, &secondary{t: t, address: 2}
	var lines Lines
	config := plug(t, a, b)
	ctx, cancel := context.WithCancel(t.Context())
	leaves := lines.Open(ctx, Station{config, 1})
	started(t, open(t, &lines, config, 2))
	c := started(t, leaves)
	cancel()
	leaves.Wait()
	select {
	case <-c.Ended():
	case <-time.After(30 * time.Second):
		t.Error("its link hasn't ended")
	}
}

// A connection over which nobody answers is made anew, in either mode: the server may have lost
// it long ago.
func TestASilentConnection(t *testing.T) {
	for _, is := range []bool{false, true} {
		t.Run(fmt.Sprintf("balanced %v", is), func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			accepted := make(chan net.Conn, 100)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					accepted <- c
				}
			}()
			e, err := modbus.ParseEndpoint("rtu+tcp://" + l.Addr().String() + "?baud=115200")
			if err != nil {
				t.Fatal(err)
			}
			open(t, &Lines{}, Config{Endpoint: e, Balanced: is, Octets: 1, Timeout: 5 * time.Millisecond, Poll: 5 * time.Millisecond}, 1)
			for range 2 {
				select {
				case c := <-accepted:
					defer c.Close()
				case <-time.After(time.Minute):
					t.Fatal("the connection isn't made anew")
				}
			}
		})
	}
}

// After a reset of its own link, what a balanced station repeats is confirmed, and not answered
// as something before the reset was.
func TestRepeatedReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e, err := modbus.ParseEndpoint("rtu+tcp://" + l.Addr().String() + "?baud=115200")
	if err != nil {
		t.Fatal(err)
	}
	open(t, &Lines{}, Config{Endpoint: e, Balanced: true, Octets: 1, Timeout: time.Minute, Poll: time.Minute}, 1)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	var buf []byte
	ask := func(f Frame) Frame {
		t.Helper()
		b, err := f.Append(nil, 1)
		if err == nil {
			_, err = c.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
		for {
			answer, size, err := Parse(buf, 1)
			if err != nil {
				t.Fatal(err)
			}
			buf = buf[size:]
			if size > 0 && answer.Control&PRM == 0 {
				return answer
			}
			if size > 0 {
				continue // it asks, too
			}
			more := make([]byte, 512)
			n, err := c.Read(more)
			if err != nil {
				t.Fatal(err)
			}
			buf = append(buf, more[:n]...)
		}
	}
	for i, step := range []struct{ ask, answer Control }{
		{ResetLink, Ack}, {TestLink | FCV | FCB, Ack}, {14 | FCV, NotImplemented}, {14 | FCV, NotImplemented},
		{ResetLink, Ack}, {TestLink | FCV, Ack}, {TestLink | FCV | FCB, Ack},
	} {
		got := ask(Frame{Control: PRM | step.ask, Address: 1})
		if got.Control.Function() != step.answer || got.Control&DIR == 0 {
			t.Errorf("step %d: %v, expected function %d", i, got, step.answer)
		}
	}
}
