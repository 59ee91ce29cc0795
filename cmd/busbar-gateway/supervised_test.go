package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// systemd is the socket at which a service tells it how it is.
func systemd(t *testing.T) (hear func() string) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, 100)
		n, err := socket.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}
}

func TestSystemdHearsHowTheGatewayIs(t *testing.T) {
	hear := systemd(t)
	t.Setenv("WATCHDOG_USEC", "3000")
	t.Setenv("WATCHDOG_PID", "")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := newSupervised(ctx, slog.New(slog.DiscardHandler))
	for range 3 {
		s.opening()
	}
	if got := hear(); got != "EXTEND_TIMEOUT_USEC=600000000" {
		t.Errorf("while it looks through the buffer comes %q", got)
	}
	s.alive()
	if got := hear(); got != "READY=1" {
		t.Errorf("the first is %q", got)
	}
	for deadline := time.Now().Add(s.every); time.Now().Before(deadline); {
		s.alive()
	}
	s.alive()
	if got := hear(); got != "WATCHDOG=1" {
		t.Errorf("then came %q", got)
	}
	stop()
	for {
		switch got := hear(); got {
		case "WATCHDOG=1":
		case "STOPPING=1":
			return
		default:
			t.Fatalf("at the end came %q", got)
		}
	}
}

func TestWithoutSystemdNobodyIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	s := newSupervised(t.Context(), slog.New(slog.DiscardHandler))
	s.alive()
	s.alive()
}
