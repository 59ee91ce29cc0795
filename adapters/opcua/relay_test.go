package opcua

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// relay is a line to a server that can be cut: what is sent then gets lost, and nobody is
// told.
type relay struct {
	endpoint string

	mu    sync.Mutex
	ready *sync.Cond
	dead  bool
	conns []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target, path, _ := strings.Cut(strings.TrimPrefix(to, "opc.tcp://"), "/")
	r := &relay{endpoint: "opc.tcp://" + listener.Addr().String() + "/" + path}
	r.ready = sync.NewCond(&r.mu)
	t.Cleanup(func() {
		listener.Close()
		r.mend()
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, near, far)
			r.mu.Unlock()
			go r.pass(near, far)
			go r.pass(far, near)
		}
	}()
	return r
}

func (r *relay) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		r.mu.Lock()
		for r.dead {
			r.ready.Wait()
		}
		r.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut has nothing pass any more.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = true
}

// mend has new connections pass. Those before are broken off.
func (r *relay) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns, r.dead = nil, false
	r.ready.Broadcast()
}
