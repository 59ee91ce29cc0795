//go:build linux

package netem

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/busbar/busbar/test/machine"
)

// The line is as long and as slow as it says, and loses packets, which TCP sends
// again.
func TestLine(t *testing.T) {
	machine.Demand(t, machine.PC)
	l, err := Open(t.TempDir(), Options{Rate: 64_000, Delay: 100 * time.Millisecond, Loss: 0.2})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	listener, err := net.Listen("tcp", l.Far+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(io.Discard, c)
			}()
		}
	}()
	var c net.Conn
	began := time.Now()
	if e := l.Near.Inside(func() { c, err = net.Dial("tcp", listener.Addr().String()) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	defer c.Close()
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("a handshake took %v", took)
	}
	began = time.Now()
	const bytes = 40_000
	if _, err := c.Write(make([]byte, bytes)); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	// At 8 kB/s.
	if took := time.Since(began); took < 5*time.Second {
		t.Errorf("%d bytes took %v", bytes, took)
	}
	sent, received, err := l.Counts()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes in %v: %+v, %+v", bytes, time.Since(began), sent, received)
	if sent.Bytes < bytes+4000 {
		t.Errorf("nothing was sent again: %+v", sent)
	}
}

// Nothing of a line is left when it is closed, and what listens inside can be
// reached from outside only where it is exposed.
func TestNamespace(t *testing.T) {
	n, err := NewNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	inside, err := n.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	go func() {
		for {
			c, err := inside.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "inside")
			c.Close()
		}
	}()
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("reached from outside")
	}
	exposed, err := n.Expose(address)
	if err != nil {
		t.Fatal(err)
	}
	defer exposed.Close()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if said, err := io.ReadAll(c); string(said) != "inside" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
}
