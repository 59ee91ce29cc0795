// Package thinlink is a slow, long and lossy line for tests: an HTTP proxy whose
// tunnels all share it.
//
// It models, in each direction, a rate that all connections share, segment by
// segment in the order of their arrival; a short queue before it, which holds
// senders back when it is full; the time a segment is on its way; and loss as TCP
// shows it: a lost segment crosses the line again after a retransmission timeout,
// which doubles with each further loss, and everything behind it on its connection
// waits. A connection begins with the round trip of a handshake.
//
// It doesn't model congestion windows, so a connection never sends less than the
// line takes; nor fast retransmission, which would repair a loss sooner; nor the
// acknowledgements' own bytes; nor reordering, nor losses in bursts.
package thinlink

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options describe the line.
type Options struct {
	Rate  int           // bits a second in each direction, headers included; 0: no limit
	Delay time.Duration // one way
	Loss  float64       // probability that a segment is lost
}

const (
	segmentBytes = 1400
	headerBytes  = 40 // of IP and TCP, in front of each segment
	queueBytes   = 6 << 10

	// A retransmission timeout is between these.
	shortestTimeout = 200 * time.Millisecond
	longestTimeout  = time.Second
)

// Link is a running proxy.
type Link struct {
	options  Options
	listener net.Listener
	up, down direction
	running  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

// Listen starts the proxy on a free port of this machine.
func Listen(o Options) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{options: o, listener: listener, conns: map[net.Conn]bool{}}
	l.up.options, l.down.options = o, o
	l.running.Go(l.accept)
	return l, nil
}

// URL is the proxy's, as a configuration takes it.
func (l *Link) URL() string { return "http://" + l.listener.Addr().String() }

// Close ends the proxy and everything that goes through it.
func (l *Link) Close() {
	l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		c.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
}

// Count is what has crossed the line in one direction.
type Count struct {
	Segments uint64
	Bytes    uint64 // in segments, the proxy's own dialogue included
	Wire     uint64 // Bytes, the segments' headers, and what was sent again
}

// Counts is what has crossed the line, from the clients and to them.
func (l *Link) Counts() (up, down Count) { return l.up.counted(), l.down.counted() }

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		if l.keep(conn) {
			l.running.Go(func() { l.serve(conn) })
		}
	}
}

// keep notes a connection, so that Close ends it.
func (l *Link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close()
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *Link) drop(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	conn.Close()
}

// serve answers a client's CONNECT and carries its bytes.
func (l *Link) serve(client net.Conn) {
	defer l.drop(client)
	time.Sleep(2 * l.options.Delay) // the handshake
	reader := bufio.NewReader(client)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	if request.Method != http.MethodConnect {
		io.WriteString(client, "HTTP/1.1 405 Method Not Allowed\r\n\r\n")
		return
	}
	server, err := net.Dial("tcp", request.Host)
	if err == nil {
		if !l.keep(server) {
			return
		}
		defer l.drop(server)
	}
	time.Sleep(time.Until(l.up.send(len(request.Host))))
	answer := "HTTP/1.1 200 OK\r\n\r\n"
	if err != nil {
		answer = "HTTP/1.1 502 Bad Gateway\r\n\r\n"
	}
	time.Sleep(time.Until(l.down.send(len(answer))))
	if _, failed := io.WriteString(client, answer); failed != nil || err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.up.carry(server, reader) })
	both.Go(func() { l.down.carry(client, server) })
	both.Wait()
}

// direction is one of the line's two.
type direction struct {
	options Options

	mu    sync.Mutex
	free  time.Time // when all that was sent has left
	count Count
}

func (d *direction) counted() Count {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// send takes a segment when there is room for it in the queue, and says when it
// arrives.
func (d *direction) send(bytes int) (arrives time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	full := d.takes(queueBytes)
	for wait := time.Until(d.free.Add(-full)); wait > 0; wait = time.Until(d.free.Add(-full)) {
		d.mu.Unlock()
		time.Sleep(wait)
		d.mu.Lock()
	}
	d.count.Segments++
	d.count.Bytes += uint64(bytes)
	if now := time.Now(); d.free.Before(now) {
		d.free = now
	}
	d.transmit(bytes)
	arrives = d.free.Add(d.options.Delay)
	timeout := shortestTimeout + time.Duration(rand.Int64N(int64(longestTimeout-shortestTimeout)))
	for ; rand.Float64() < d.options.Loss; timeout *= 2 {
		d.transmit(bytes)
		arrives = arrives.Add(timeout)
	}
	return arrives
}

func (d *direction) transmit(bytes int) {
	d.count.Wire += uint64(bytes + headerBytes)
	d.free = d.free.Add(d.takes(bytes + headerBytes))
}

func (d *direction) takes(bytes int) time.Duration {
	if d.options.Rate == 0 {
		return 0
	}
	return time.Duration(8 * bytes * int(time.Second) / d.options.Rate)
}

// segment is on its way; without bytes it is the connection's end.
type segment struct {
	bytes   []byte
	arrives time.Time
}

// inFlight bounds the segments of a connection that are on their way.
const inFlight = 256

// carry copies from one end to the other until either fails.
func (d *direction) carry(to net.Conn, from io.Reader) {
	way := make(chan segment, inFlight)
	var arriving sync.WaitGroup
	arriving.Go(func() {
		for s := range way {
			time.Sleep(time.Until(s.arrives))
			if len(s.bytes) == 0 {
				to.(*net.TCPConn).CloseWrite()
			} else if _, err := to.Write(s.bytes); err != nil {
				to.Close()
			}
		}
	})
	for {
		bytes := make([]byte, segmentBytes)
		n, err := from.Read(bytes)
		if n > 0 {
			way <- segment{bytes[:n], d.send(n)}
		}
		if err != nil {
			way <- segment{nil, d.send(0)}
			break
		}
	}
	close(way)
	arriving.Wait()
}
