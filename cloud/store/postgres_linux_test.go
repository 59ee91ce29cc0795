package store

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A server that is gone while it is sent something is given up as soon as an idle one.
func TestAServerThatIsGoneIsGivenUp(t *testing.T) {
	config, err := Postgres{URL: "postgres://127.0.0.1/busbar"}.connection()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := config.DialFunc(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if failed := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); failed != nil || err != nil || got != 30_000 {
		t.Errorf("given up after %d ms, %v, %v", got, failed, err)
	}
}
