package devices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a TCP port with one or several units behind it. It speaks Modbus TCP,
// and a request for a unit that it hasn't got is answered with exception 0x0B; or RTU,
// as a device server does that passes on what comes from the line behind it, where
// nobody answers for such a unit.
type Server struct {
	*Bus
	listener net.Listener
	line     *LineConfig // nil: Modbus TCP
	log      *slog.Logger
	refuses  atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once the server has stopped
	away  time.Time             // no connections are taken until then
}

const (
	maxConnections = 128 // more are closed as soon as they come
	writeTimeout   = 10 * time.Second
)

// Listen opens a port that speaks Modbus TCP. Serve closes it in the end.
func Listen(address string, units map[byte]Unit, log *slog.Logger) (*Server, error) {
	return NewBus(units, 0).Listen(address, log)
}

// Listen opens a port that speaks Modbus TCP. Serve closes it in the end.
func (b *Bus) Listen(address string, log *slog.Logger) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("modbus: listen on %s: %w", address, err)
	}
	return &Server{Bus: b, listener: listener, log: log, conns: map[net.Conn]struct{}{}}, nil
}

// ListenRTU opens a port that speaks RTU. Each connection is a line of its own.
func (b *Bus) ListenRTU(address string, line LineConfig, log *slog.Logger) (*Server, error) {
	s, err := b.Listen(address, log)
	if err != nil {
		return nil, err
	}
	s.line = &line
	return s, nil
}

// Refuse has the server answer for units that don't work with exception 0x0B, as a
// gateway does to a serial line with nobody there. It is for Modbus TCP.
func (s *Server) Refuse(on bool) { s.refuses.Store(on) }

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Reset breaks off all connections without a farewell, as a host does that has
// lost its power and with it its memory of them.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		breakOff(conn)
	}
}

func breakOff(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// errEnded says that a unit wanted the connection to end.
var errEnded = errors.New("the device ends the connection")

// end does to a connection what a response says. It fails if that has ended it.
func (s *Server) end(conn net.Conn, r response) error {
	switch r.end {
	case goesOn:
		return nil
	case breaksOff:
		breakOff(conn)
	case restarts:
		s.mu.Lock()
		s.away = time.Now().Add(r.away)
		s.mu.Unlock()
		s.Reset()
	}
	return errEnded
}

// Close stops the server. Serve then returns.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
	return err
}

// Serve answers until ctx ends or the server is closed, and returns when its
// connections are closed. A client's errors end its connection only.
func (s *Server) Serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var conversations sync.WaitGroup
	defer conversations.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()

	refusing := false
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, mostly: it passes when clients leave.
			if !refusing {
				s.log.Warn("cannot accept connections", "address", s.Addr().String(), "error", err)
			}
			refusing = true
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		refusing = false
		if !s.admit(conn) {
			continue
		}
		conversations.Go(func() {
			defer s.dismiss(conn)
			if err := s.converse(ctx, conn); err != nil {
				s.log.Debug("connection closed", "client", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

func (s *Server) converse(ctx context.Context, conn net.Conn) error {
	if s.line == nil {
		c := conversation{server: s, conn: conn}
		return c.run(ctx)
	}
	l := newLine(s.Bus, *s.line, conn, func(r response) error { return s.end(conn, r) })
	return l.run(ctx)
}

// admit closes a connection that isn't taken.
func (s *Server) admit(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case time.Now().Before(s.away):
		breakOff(conn)
		return false
	case s.conns == nil, len(s.conns) >= maxConnections, len(s.conns) > 0 && s.takesOneClient():
		_ = conn.Close()
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *Server) dismiss(conn net.Conn) {
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
	_ = conn.Close()
}
