package modbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// Prober asks units of one endpoint that nobody has configured, one request at a
// time. It isn't for several goroutines at once.
//
// Its errors are judged by NoAnswer, ExceptionOf and ErrUnreachable; any other says
// that what came was no answer to the request.
type Prober struct {
	endpoint       Endpoint
	timeout, pause time.Duration
	do             func(context.Context, func(*link) error) error
	close          func()
	free           time.Time // when it may ask again
	shared         bool      // with polls
}

// ErrUnreachable is that the endpoint can't be connected to, or its port not be
// opened.
var ErrUnreachable = errors.New("can't be reached")

// NewProber is for an endpoint that it then has for itself, by a connection that is
// made for the first request, until Close or until ctx ends. A unit may take the
// timeout for its answer, and after each answer the endpoint is left alone for the
// pause.
func NewProber(ctx context.Context, e Endpoint, timeout, pause time.Duration) *Prober {
	l := newLink(ctx, e, opener{(&net.Dialer{}).DialContext, openSerial}, new(busCounters))
	return &Prober{
		endpoint: e, timeout: timeout, pause: pause, close: l.close,
		do: func(_ context.Context, do func(*link) error) error { return do(l) },
	}
}

// ErrElsewhere is that an adapter doesn't read from an endpoint, or isn't running.
var ErrElsewhere = errors.New("the endpoint isn't read from")

// Prober is for an endpoint that the adapter polls: over the same connection,
// between the polls' requests, and for half of the time at most. The error is
// ErrElsewhere, or says that the adapter has the endpoint with other settings.
func (a *Adapter) Prober(e Endpoint, timeout, pause time.Duration) (*Prober, error) {
	a.mu.Lock()
	buses := a.buses
	a.mu.Unlock()
	for _, b := range buses {
		if b.endpoint.Address != e.Address || !a.running.Load() {
			continue
		}
		if err := e.Conflict(b.endpoint); err != nil {
			return nil, err
		}
		return &Prober{endpoint: b.endpoint, timeout: timeout, pause: pause, do: b.do, close: func() {}, shared: true}, nil
	}
	return nil, ErrElsewhere
}

// Close gives up the connection, if it is the prober's own.
func (p *Prober) Close() { p.close() }

// Registers reads registers of a unit.
func (p *Prober) Registers(ctx context.Context, unit uint8, table Table, first, count uint16) ([]byte, error) {
	return p.ask(ctx, unit, func(l *link, m *meter) ([]byte, error) {
		return l.read(ctx, m, request{table: table, first: first, count: count})
	})
}

// Identify is what a unit says of itself by function 43, MEI type 14.
func (p *Prober) Identify(ctx context.Context, unit uint8) (Identification, error) {
	return identify(func(access, object byte) ([]byte, error) {
		return p.other(ctx, unit,
			goburrow.ProtocolDataUnit{FunctionCode: encapsulated, Data: []byte{readIdentification, access, object}},
			reply{head: [7]byte{encapsulated, readIdentification, access}, known: 3})
	})
}

// ServerID is what a unit says of itself by function 17, as its maker likes.
func (p *Prober) ServerID(ctx context.Context, unit uint8) ([]byte, error) {
	pdu, err := p.other(ctx, unit,
		goburrow.ProtocolDataUnit{FunctionCode: reportServerID}, reply{head: [7]byte{reportServerID}, known: 1})
	if err != nil {
		return nil, err
	}
	return pdu[2:], nil
}

const reportServerID = 17

func (p *Prober) other(ctx context.Context, unit uint8, pdu goburrow.ProtocolDataUnit, want reply) ([]byte, error) {
	return p.ask(ctx, unit, func(l *link, m *meter) ([]byte, error) { return l.other(ctx, m, pdu, want) })
}

// ask has a unit asked when it is time.
func (p *Prober) ask(ctx context.Context, unit uint8, ask func(*link, *meter) ([]byte, error)) ([]byte, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Until(p.free)):
	}
	m := &meter{Device: Device{Unit: unit, Timeout: p.timeout}}
	// Of its own: what has begun when ctx ends goes on.
	var answer struct {
		data        []byte
		err         error
		unreachable bool
		took        time.Duration
	}
	got := make(chan struct{})
	err := p.do(ctx, func(l *link) error {
		defer close(got)
		dialled, began := l.dialled, time.Now()
		data, err := ask(l, m)
		answer.data, answer.err, answer.took = bytes.Clone(data), err, time.Since(began)
		answer.unreachable = l.port == nil && l.dialled == dialled && l.failedDials > 0
		return nil
	})
	if err != nil {
		return nil, err
	}
	<-got
	pause := p.pause
	if p.shared {
		pause = max(pause, answer.took)
	}
	p.free = time.Now().Add(pause)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case answer.unreachable:
		return nil, fmt.Errorf("modbus: %s %w: %w", p.endpoint, ErrUnreachable, answer.err)
	case hungUp(answer.err):
		return nil, fmt.Errorf("the other side closed the connection, as a device does that takes one client and has one: %w", answer.err)
	}
	return answer.data, answer.err
}

// other makes an exchange that is no read. On a line, a late answer to the same
// function would be taken for this one's, so it isn't made while the unit owes one.
func (l *link) other(ctx context.Context, m *meter, pdu goburrow.ProtocolDataUnit, want reply) ([]byte, error) {
	if err := l.turn(ctx, m); err != nil {
		return nil, err
	}
	s := l.station(m.Unit)
	if l.Transport == TCP {
		return l.transact(m, pdu, want)
	}
	s.forget(time.Now())
	owed := shape{function: pdu.FunctionCode}
	if s.owes(owed) {
		return nil, &failure{telemetry.Malformed, fmt.Errorf("an earlier answer to function %d may still come", pdu.FunctionCode)}
	}
	data, err := l.transact(m, pdu, want)
	for range l.asked {
		s.owed = append(s.owed, debt{owed, l.sent})
	}
	if err == nil || exceptionOf(err) != 0 {
		s.paid(owed, err != nil)
	}
	return data, err
}

// NoAnswer reports whether an error says that nobody is there: nothing came in
// time, or a gateway says that it reaches none.
func NoAnswer(err error) bool {
	if err == nil || errors.Is(err, ErrUnreachable) || hungUp(err) {
		return false
	}
	reason := reasonOf(err)
	return reason == telemetry.Timeout || reason == telemetry.NotConnected
}

// hungUp reports whether an exchange failed because its connection was closed.
func hungUp(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.reason == telemetry.NotConnected
}

// ExceptionOf is the exception's code that an error is, of the device or of a
// gateway before it, and 0 if it is none.
func ExceptionOf(err error) byte { return exceptionOf(err) }
