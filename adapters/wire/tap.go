// Package wire is what goes over a device's link as it goes there, for people who look into
// it: by a Tap while it goes on, and in files that Wireshark reads.
package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Octets are some that went over a link together.
type Octets struct {
	At   time.Time
	Sent bool // by the gateway
	Data []byte
	// Local and Remote are the ends of a connection; of a serial line neither is valid, and
	// Data is a frame.
	Local, Remote netip.AddrPort
}

// Tap tells whoever listens what goes over a link. It costs a look when nobody does. It is
// safe for concurrent use.
type Tap struct {
	listened  atomic.Int32
	mu        sync.Mutex
	listeners map[*func(Octets)]bool
}

// Listen calls take with all that goes over the link, until stop is called. take is called by
// one goroutine at a time, holds up the link, and mustn't keep Data.
func (t *Tap) Listen(take func(Octets)) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listeners == nil {
		t.listeners = map[*func(Octets)]bool{}
	}
	t.listeners[&take] = true
	t.listened.Add(1)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.listeners, &take)
		t.listened.Add(-1)
	}
}

// Tell is that these octets go over the link. Of a Tap that is nil, nobody listens.
func (t *Tap) Tell(o Octets) {
	if t == nil || t.listened.Load() == 0 || len(o.Data) == 0 {
		return
	}
	o.At = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for take := range t.listeners {
		(*take)(o)
	}
}

// Conn is the connection, which tells the Tap what goes over it. Of one that is encrypted
// that is what is inside.
func (t *Tap) Conn(c net.Conn) net.Conn {
	if t == nil {
		return c
	}
	return &tapped{Conn: c, tap: t, local: address(c.LocalAddr()), remote: address(c.RemoteAddr())}
}

func address(a net.Addr) netip.AddrPort {
	if tcp, is := a.(*net.TCPAddr); is {
		p := tcp.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return netip.AddrPort{}
}

type tapped struct {
	net.Conn
	tap           *Tap
	local, remote netip.AddrPort
}

func (t *tapped) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.tap.Tell(Octets{Data: b[:n], Local: t.local, Remote: t.remote})
	return n, err
}

func (t *tapped) Write(b []byte) (int, error) {
	t.tap.Tell(Octets{Sent: true, Data: b, Local: t.local, Remote: t.remote}) // its answer may be quicker
	return t.Conn.Write(b)
}

// mostWaiting is how much waits for who writes it, in pieces.
const mostWaiting = 4096

// Write writes what goes over the link to w as a file of the pcap format, until ctx ends or
// w fails. Who can't keep up is told so by an error: the link isn't held up.
func (t *Tap) Write(ctx context.Context, w io.Writer, serial bool) error {
	waiting := make(chan Octets, mostWaiting)
	behind := make(chan struct{}, 1)
	defer t.Listen(func(o Octets) {
		o.Data = bytes.Clone(o.Data)
		select {
		case waiting <- o:
		default:
			select {
			case behind <- struct{}{}:
			default:
			}
		}
	})()
	file := NewWriter(w, serial)
	if err := file.Begin(); err != nil {
		return err
	}
	for ctx.Err() == nil || len(waiting) > 0 {
		select {
		case o := <-waiting:
			if err := file.Write(o); err != nil {
				return err
			}
		case <-behind:
			return errors.New("more goes over the link than can be written")
		case <-ctx.Done():
		}
	}
	return nil
}
