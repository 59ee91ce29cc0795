package thinlink

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// echo answers what it is sent.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func tunnel(t *testing.T, l *Link, to string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", to)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	return conn.(*net.TCPConn)
}

// exchange sends bytes and reads them back.
func exchange(t *testing.T, conn *net.TCPConn, content []byte) {
	go func() {
		conn.Write(content)
		conn.CloseWrite()
	}()
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came back of %d, %v", len(got), len(content), err)
	}
}

// A line gives no more than its rate to all its connections together, loses
// nothing for good, and is as long as it says.
func TestLineIsSharedLongAndLossless(t *testing.T) {
	l, err := Listen(Options{Rate: 1_000_000, Delay: 50 * time.Millisecond, Loss: 0.02})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server := echo(t)
	began := time.Now()
	conns := []*net.TCPConn{tunnel(t, l, server), tunnel(t, l, server)}
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("two handshakes and two requests took %v", took)
	}
	content := bytes.Repeat([]byte("0123456789"), 5000)
	began = time.Now()
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() { exchange(t, c, content) })
	}
	all.Wait()
	// 100 kB at 125 kB/s, and a round trip.
	if took := time.Since(began); took < 800*time.Millisecond {
		t.Errorf("took %v", took)
	}
	up, down := l.Counts()
	for _, c := range []Count{up, down} {
		if c.Bytes < 100_000 || c.Wire < c.Bytes+headerBytes*c.Segments {
			t.Errorf("%+v", c)
		}
	}
}

func TestProxySaysWhatItCannot(t *testing.T) {
	l, err := Listen(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		request string
		status  int
	}{{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 405}, {"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 502}} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(l.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, c.request)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != c.status {
			t.Errorf("%q: %v, %v", c.request, response, err)
		}
	}
}
