package devices

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
)

// LineConfig is how a serial line is played.
type LineConfig struct {
	modbus.Line
	// Paced makes every character take its time, and keeps frames apart as long as the
	// standard wants it. Without, everything is there at once.
	Paced bool
}

// takes is how long so many characters are under way.
func (c LineConfig) takes(characters int) time.Duration {
	if !c.Paced || c.Baud == 0 {
		return 0
	}
	bits := 1 + 8 + max(1, c.StopBits)
	if c.Parity == modbus.Even || c.Parity == modbus.Odd {
		bits++
	}
	return time.Duration(characters*bits) * time.Second / time.Duration(c.Baud)
}

// silence is what keeps frames apart (Modbus over Serial Line V1.02, 2.5.1.1).
func (c LineConfig) silence() time.Duration {
	if c.Paced && c.Baud > 19200 {
		return 1750 * time.Microsecond
	}
	return c.takes(7) / 2
}

// Port is a serial port, or a connection to one.
type Port interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// line is a serial line with units on it. Each hears every request, and answers its
// own in their order; they don't wait for one another.
type line struct {
	LineConfig
	bus  *Bus
	port Port
	end  func(response) error

	sending sync.Mutex // whoever sends a piece has the line
	mu      sync.Mutex
	free    time.Time // when the last character will have gone
}

func newLine(b *Bus, c LineConfig, p Port, end func(response) error) *line {
	return &line{LineConfig: c, bus: b, port: p, end: end}
}

// ServeLine answers on a serial line until ctx ends, or the port fails, which is an
// error. It closes the port.
func (b *Bus) ServeLine(ctx context.Context, p Port, c LineConfig) error {
	err := newLine(b, c, p, func(response) error { return nil }).run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

const (
	// frameGap is how long a request may stop in the middle. The standard says 1.5
	// characters, but converters pass on what they have every 16 ms, and this machine
	// may be busy.
	frameGap = 100 * time.Millisecond
	// backlog is how many requests a unit keeps that it hasn't come to.
	backlog = 16
)

func (l *line) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var units sync.WaitGroup
	defer units.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.port.Close() })
	defer stop()
	requests := map[byte]chan []byte{}
	for id, p := range l.bus.units {
		asked := make(chan []byte, backlog)
		requests[id] = asked
		units.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case request := <-asked:
					if l.answer(ctx, p, request) != nil {
						cancel()
						return
					}
				}
			}
		})
	}
	return l.listen(func(request []byte) {
		l.heard(len(request))
		if request[0] == 0 {
			l.broadcast(request)
			return
		}
		select {
		case requests[request[0]] <- append([]byte(nil), request...): // none: for ever, so the default
		default:
		}
	})
}

// listen hands over every request until the port fails.
func (l *line) listen(request func([]byte)) error {
	var in [2 * maxRTU]byte
	held := 0
	for {
		var deadline time.Time
		if held > 0 {
			deadline = time.Now().Add(frameGap)
		}
		if err := l.port.SetReadDeadline(deadline); err != nil {
			return err
		}
		n, err := l.port.Read(in[held:])
		silent := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !silent {
			if errors.Is(err, io.EOF) && held == 0 {
				return nil
			}
			return err
		}
		rest := in[:held+n]
		for {
			var one []byte
			one, rest = splitRTU(rest, silent || len(rest) == len(in))
			if one == nil {
				break
			}
			request(one)
		}
		held = copy(in[:], rest)
	}
}

// broadcast has every unit do what is written to all of them. Nobody answers.
func (l *line) broadcast(request []byte) {
	switch pdu := (rtu{}).pdu(request); pdu[0] {
	case writeCoil, writeRegister, writeCoils, writeRegisters, maskRegister:
		for _, p := range l.bus.units {
			_ = answer(nil, p.unit, pdu)
		}
	}
}

func (l *line) answer(ctx context.Context, p *place, request []byte) error {
	p.requests.Add(1)
	if !p.works() {
		return nil
	}
	b := p.behaviour.Load()
	var r response
	if b == nil {
		r.pieces = []piece{{0, rtu{}.wrap(nil, request, p.id, answer(nil, p.unit, rtu{}.pdu(request)))}}
	} else {
		r = p.respond(b, rtu{}, request)
	}
	due := l.quiet()
	for _, piece := range r.pieces {
		due = due.Add(piece.after)
		if err := sleep(ctx, due); err != nil {
			return err
		}
		if err := l.send(ctx, piece.bytes); err != nil {
			return err
		}
	}
	return l.end(r)
}

// quiet is when a unit may begin to answer what has come last.
func (l *line) quiet() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.free.Add(l.silence())
	if now := time.Now(); at.Before(now) {
		return now
	}
	return at
}

// heard takes the line for a request, which came all at once.
func (l *line) heard(characters int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(l.takes(characters))
}

// send puts characters on the line once it is free. They are there when the last of
// them has gone, as from a converter that waits for the end of a frame: one by one, a
// busy machine would tear them.
func (l *line) send(ctx context.Context, b []byte) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	l.mu.Lock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(l.takes(len(b)))
	free := l.free
	l.mu.Unlock()
	if err := sleep(ctx, free); err != nil {
		return err
	}
	return l.put(b)
}

// put writes to the port. What a serial port doesn't take is lost, as on a line where
// nobody listens.
func (l *line) put(b []byte) error {
	if err := l.port.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := l.port.Write(b); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// sleep returns at a moment, or earlier if ctx ends.
func sleep(ctx context.Context, until time.Time) error {
	d := time.Until(until)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
