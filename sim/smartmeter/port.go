package smartmeter

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// mostReaders is how many may listen to a port at once.
const mostReaders = 16

// Port is a P1 port behind a serial device server.
type Port struct {
	meter    *Meter
	every    time.Duration
	listener net.Listener
	log      *slog.Logger
}

// Listen opens the port of a meter on host:port, until Run has ended.
func Listen(address string, m *Meter, every time.Duration, log *slog.Logger) (*Port, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Port{m, every, l, log}, nil
}

// Endpoint is where it is, as a gateway's configuration has it.
func (p *Port) Endpoint() string { return "tcp://" + p.listener.Addr().String() }

// Snippet is how a gateway reads it.
func (p *Port) Snippet() string {
	return fmt.Sprintf("devices:\n  - id: house\n    powered_by: measured\n    p1: {endpoint: %q}\n", p.Endpoint())
}

// Run sends telegrams to all who listen, until ctx ends. Who doesn't take one before the next is
// due is cut off.
func (p *Port) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { p.listener.Close() })()
	readers := make(chan net.Conn)
	failed := make(chan error, 1)
	go func() {
		for {
			c, err := p.listener.Accept()
			if err != nil {
				failed <- err
				return
			}
			select {
			case readers <- c:
			case <-ctx.Done():
				c.Close()
			}
		}
	}()
	list := map[net.Conn]bool{}
	defer func() {
		for c := range list {
			c.Close()
		}
	}()
	due := time.NewTicker(p.every)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("P1 port: %w", err)
		case c := <-readers:
			if len(list) == mostReaders {
				p.log.Warn("too many listen to the P1 port", "from", c.RemoteAddr())
				c.Close()
				continue
			}
			list[c] = true
		case now := <-due.C:
			telegram := p.meter.Telegram(now)
			for c := range list {
				_ = c.SetWriteDeadline(now.Add(p.every))
				if _, err := c.Write(telegram); err != nil {
					p.log.Info("a reader of the P1 port has gone", "from", c.RemoteAddr(), "error", err)
					c.Close()
					delete(list, c)
				}
			}
		}
	}
}
