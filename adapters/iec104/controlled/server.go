// Package controlled is a controlled station of IEC 60870-5-104: it holds points, tells
// masters what changes, answers what they ask for, and hands their commands to who owns
// the process.
package controlled

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
)

// Config is how a station serves its masters.
type Config struct {
	Params asdu.Params
	Link   link.Config
	Zone   *time.Location // of the times that it tells and is told
	// Groups are the masters; none: all connections are those of one.
	Groups []Group
	// Events is how many each group's queue keeps while its master doesn't take them. Of more,
	// the oldest are lost.
	Events int
	// Select is how long a selection lasts.
	Select time.Duration
	// Journal keeps events over the end of the process, and Restored is what it has kept; nil:
	// they end with it.
	Journal  Journal
	Restored Restored
}

// Default is what is usual.
var Default = Config{Params: asdu.IEC104, Link: link.Default, Zone: time.UTC, Events: 10_000, Select: 10 * time.Second}

// Command is a command for a control of the station.
type Command struct {
	Control
	Object asdu.Object // with Select, it is only selected
	Time   time.Time   // that the master has sent with it; zero: none
	Master string      // its address
}

// Owner is who owns the process. Its methods may take their time.
type Owner interface {
	// Select says whether a command may be selected now. An error is a negative confirmation.
	Select(context.Context, Command) error
	// Cancel says that a command that was selected is given up, by the master or because it
	// is gone. A selection that has ended by its time isn't cancelled.
	Cancel(Command)
	// Execute executes a command, and returns when that has ended, or has failed. It calls
	// accepted when the command is one that is executed, which is confirmed then; an error
	// before is a negative confirmation. The context ends with Serve, not with the link. What is
	// told by Tell before it returns comes before the termination.
	Execute(ctx context.Context, c Command, accepted func()) error
	// SetClock is told the time by a master. An error is a negative confirmation. It mustn't
	// wait.
	SetClock(station uint16, at time.Time) error
}

// Server is a controlled station. Its methods are safe for concurrent use.
type Server struct {
	config Config
	owner  Owner
	log    *slog.Logger

	mu       sync.Mutex
	table    *table
	queues   []*queue
	events   uint64 // how many there were
	kept     uint64 // up to which number they may be told
	selected map[key]selection
	running  map[key]bool // controls that are being executed

	executing sync.WaitGroup
}

// New makes a station. The error says what is wrong with the configuration or the points.
func New(c Config, points []Point, controls []Control, owner Owner, log *slog.Logger) (*Server, error) {
	if err := errors.Join(c.Params.Check(), c.Link.Check()); err != nil {
		return nil, err
	}
	if c.Events < 1 || c.Select <= 0 || c.Zone == nil {
		return nil, fmt.Errorf("iec104: %d events, selections of %v and zone %v, expected at least one event, a time above 0 and a zone", c.Events, c.Select, c.Zone)
	}
	t, err := newTable(c.Params, points, controls)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, owner: owner, log: log, table: t, selected: map[key]selection{}, running: map[key]bool{}}
	groups := c.Groups
	if len(groups) == 0 {
		groups = []Group{{Name: "all"}}
	}
	if len(groups) > mostGroups {
		return nil, fmt.Errorf("iec104: %d groups, expected at most %d", len(groups), mostGroups)
	}
	for i, g := range groups {
		s.queues = append(s.queues, &queue{Group: g, bit: 1 << i})
	}
	s.restore(c.Restored)
	for _, station := range t.stations { // what comes first is that it has started
		s.record(event{station: station, of: asdu.EndOfInitialization, cause: asdu.Initialized}, false, nil)
	}
	return s, nil
}

// Listen opens a port. With encryption, masters are asked for a certificate by one of its
// ClientCAs, and those without one are refused. The port is usually 2404, with encryption
// 19998.
func Listen(address string, encryption *tls.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil || encryption == nil {
		return l, err
	}
	encryption = encryption.Clone()
	encryption.ClientAuth = tls.RequireAndVerifyClientCert
	encryption.MinVersion = max(encryption.MinVersion, tls.VersionTLS12)
	return tls.NewListener(l, encryption), nil
}

// handshake is how long the encryption of a connection may take.
const handshake = 10 * time.Second

// afterFailure is how long nothing is accepted after that has failed.
const afterFailure = time.Second

// Serve takes connections until ctx ends or the listener is closed. It returns when they
// are closed, and no command is executed any more.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var running sync.WaitGroup
	defer s.executing.Wait()
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var guests guests
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("iec104: accept: %w", err)
		case err != nil:
			s.log.Warn("no connection can be accepted", "error", err)
			select {
			case <-time.After(afterFailure):
			case <-ctx.Done():
			}
			continue
		}
		q := s.queueOf(c.RemoteAddr())
		if q == nil {
			s.log.Warn("a connection is refused: it belongs to no group", "master", c.RemoteAddr())
			c.Close()
			continue
		}
		g, other := guests.admit(c)
		if other != nil {
			s.log.Warn("there are too many connections: one that wasn't started is closed", "master", other.RemoteAddr(), "most", mostGuests)
			other.Close()
		}
		if g == nil {
			s.log.Warn("a connection is refused: there are too many", "master", c.RemoteAddr(), "most", mostGuests)
			c.Close()
			continue
		}
		running.Go(func() {
			defer guests.leave(g)
			if err := s.serve(ctx, c, q, g); err != nil {
				s.log.Warn("a connection is refused", "master", c.RemoteAddr(), "error", err)
			}
		})
	}
}

// serve serves one connection. The error is that it isn't served at all.
func (s *Server) serve(ctx context.Context, c net.Conn, q *queue, g *guest) error {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if encrypted, is := c.(*tls.Conn); is {
		ctx, cancel := context.WithTimeout(ctx, handshake)
		defer cancel()
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return err
		}
	}
	v := newSession(s, q, link.Drive(c, s.config.Link, link.Controlled), c.RemoteAddr().String())
	v.guest = g
	s.log.Info("a master is connected", "master", v.remote, "group", q.Name)
	v.run(ctx)
	s.log.Info("a master is gone", "master", v.remote, "group", q.Name, "error", v.conn.Err())
	return nil
}

// queueOf is that of the group which a connection belongs to; nil: none.
func (s *Server) queueOf(remote net.Addr) *queue {
	at, err := netip.ParseAddrPort(remote.String())
	for _, q := range s.queues {
		if len(q.Masters) == 0 || err == nil && slices.ContainsFunc(q.Masters, func(p netip.Prefix) bool { return p.Contains(at.Addr().Unmap()) }) {
			return q
		}
	}
	return nil
}
