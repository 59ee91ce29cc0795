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

// Behaviour is how a unit treats the requests it gets. The zero value answers
// at once.
type Behaviour struct {
	Silent  bool          // takes requests and says nothing
	Garbage bool          // answers with bytes that mean nothing
	Delay   time.Duration // before each answer; other units wait with it if they share the connection
}

// Server is a Modbus TCP server with one or several units behind one port. A
// request for a unit it doesn't have gets exception 0x0B.
type Server struct {
	listener net.Listener
	units    map[byte]*place
	log      *slog.Logger

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once the server has stopped
}

type place struct {
	unit      Unit
	behaviour atomic.Pointer[Behaviour]
}

const (
	maxConnections = 128 // more are closed as soon as they come
	writeTimeout   = 10 * time.Second
)

// Listen opens the port, which Serve closes in the end.
func Listen(address string, units map[byte]Unit, log *slog.Logger) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("modbus: listen on %s: %w", address, err)
	}
	s := &Server{listener: listener, units: map[byte]*place{}, log: log, conns: map[net.Conn]struct{}{}}
	for id, u := range units {
		s.units[id] = &place{unit: u}
		s.Behave(id, Behaviour{})
	}
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Behave changes what a unit does from its next request on. It is safe for
// concurrent use and does nothing for a unit that the server doesn't have.
func (s *Server) Behave(unit byte, b Behaviour) {
	if p, ok := s.units[unit]; ok {
		p.behaviour.Store(&b)
	}
}

// Reset breaks off all connections without a farewell, as a host does that has
// lost its power and with it its memory of them.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
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
			_ = conn.Close()
			continue
		}
		conversations.Go(func() {
			defer s.dismiss(conn)
			c := conversation{server: s, conn: conn}
			if err := c.run(ctx); err != nil {
				s.log.Debug("connection closed", "client", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

func (s *Server) admit(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil || len(s.conns) >= maxConnections {
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
