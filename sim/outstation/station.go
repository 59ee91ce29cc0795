// Package outstation plays remote terminal units that speak IEC 60870-5-104.
package outstation

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/busbar/busbar/adapters/iec104/controlled"
)

// Where the objects of a bay are, at common address 1. A command's address is Command above
// that of what it changes.
const (
	Breaker  = 1001 // double point
	Measured = 10001
	Command  = 1000

	station = 1
)

// Station is a controlled station with a port of its own.
type Station struct {
	server   *controlled.Server
	listener net.Listener // of Serve
	address  string
	tls      *tls.Config
	log      *slog.Logger
	reached  chan bool
}

// Open makes one of common address 1 and listens at host:port, until Serve has ended. encryption
// nil is none.
func Open(listen string, encryption *tls.Config, points []controlled.Point, controls []controlled.Control, owner controlled.Owner, log *slog.Logger) (*Station, error) {
	for i := range points {
		points[i].Station = station
	}
	for i := range controls {
		controls[i].Station = station
	}
	s := &Station{tls: encryption, log: log, reached: make(chan bool, 1)}
	var err error
	if s.server, err = controlled.New(controlled.Default, points, controls, owner, log); err != nil {
		return nil, err
	}
	if s.listener, err = controlled.Listen(listen, encryption); err != nil {
		return nil, err
	}
	s.address = s.listener.Addr().String()
	return s, nil
}

// Close closes the port, if Serve isn't called.
func (s *Station) Close() error { return s.listener.Close() }

// Endpoint is where it listens, as a gateway's configuration has it.
func (s *Station) Endpoint() string {
	scheme := "tcp"
	if s.tls != nil {
		scheme = "tls"
	}
	return scheme + "://" + s.address
}

// Tell tells masters a change, of whose station it takes care.
func (s *Station) Tell(c controlled.Change) {
	c.Station = station
	if err := s.server.Tell(c); err != nil {
		s.log.Warn("a value can't be told", "station", s.Endpoint(), "object", c.Address, "error", err)
	}
}

// Value is what an object has at present.
func (s *Station) Value(address uint32) float64 {
	p, _ := s.server.Point(station, address)
	return p.Value
}

// Reach says whether masters reach it from now on. They do at first. What is told meanwhile
// it keeps. Reach mustn't be called by several at once.
func (s *Station) Reach(is bool) {
	select {
	case <-s.reached: // not taken yet
	default:
	}
	s.reached <- is
}

// Serve serves masters while they reach it, until ctx ends or the port can't be served.
func (s *Station) Serve(ctx context.Context) error {
	for {
		if err := s.whileReached(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		for is := false; !is; {
			select {
			case <-ctx.Done():
				return nil
			case is = <-s.reached:
			}
		}
		if err := s.listenAgain(ctx); err != nil {
			return err
		}
	}
}

// whileReached serves until masters don't reach it any more, or ctx ends.
func (s *Station) whileReached(ctx context.Context) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(serving, s.listener) }()
	for {
		select {
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case is := <-s.reached:
			if !is {
				stop()
				<-ended
				return nil
			}
		}
	}
}

// listenAgain opens the port at which it was reached before. Somebody else may have it for a
// moment: an outgoing connection, for instance.
func (s *Station) listenAgain(ctx context.Context) error {
	for {
		l, err := controlled.Listen(s.address, s.tls)
		if err == nil {
			s.listener = l
			return nil
		}
		s.log.Warn("a station can't listen again", "station", s.Endpoint(), "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

var errState = errors.New("a switch is commanded on or off")

// Closes is whether a double command closes its switch. The error is that it is neither on nor
// off.
func Closes(c controlled.Command) (bool, error) {
	switch c.Object.Value {
	case 1:
		return false, nil
	case 2:
		return true, nil
	}
	return false, errState
}
