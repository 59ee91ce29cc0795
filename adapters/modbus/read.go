package modbus

import (
	"context"
	"fmt"
	"slices"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// busyPauses are how long a device is left alone that says it is busy.
var busyPauses = [...]time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}

// read makes one exchange with a meter, after whoever else has to go first, and
// again if the meter is busy. The data are valid until the next one. The timeout
// is for the answer, and once more for a connection if there is none.
func (l *link) read(ctx context.Context, m *meter, r request) (data []byte, err error) {
	for busy := 0; ; busy++ {
		if err := l.turn(ctx, m); err != nil {
			return nil, err
		}
		data, err = l.readSurely(m, r)
		if exceptionOf(err) != goburrow.ExceptionCodeServerDeviceBusy || busy == len(busyPauses) {
			return data, err
		}
		until := time.Now().Add(busyPauses[busy])
		if l.bus != nil && !l.bus.inSlot(until) {
			return data, err
		}
		if err := l.wait(ctx, until); err != nil {
			return nil, err
		}
	}
}

// turn returns when it is this meter's.
func (l *link) turn(ctx context.Context, m *meter) error {
	if l.bus != nil {
		if err := l.bus.yield(); err != nil {
			return err
		}
	}
	if s := l.stations[m.Unit]; s != nil && m.Pause > 0 && time.Now().Before(s.free) {
		return l.wait(ctx, s.free)
	}
	return nil
}

// wait returns at a moment, or later; others go in the meantime.
func (l *link) wait(ctx context.Context, until time.Time) error {
	if l.bus != nil {
		return l.bus.serve(ctx, until)
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(until)):
	}
	return ctx.Err()
}

// station is what the link remembers of a unit.
func (l *link) station(unit uint8) *station {
	s := l.stations[unit]
	if s == nil {
		s = &station{}
		l.stations[unit] = s
	}
	return s
}

// readSurely makes the exchange so that the answer is to this request.
func (l *link) readSurely(m *meter, r request) ([]byte, error) {
	s := l.station(m.Unit)
	defer func() { s.free = l.received.Add(m.Pause) }()
	if l.Transport == TCP && len(s.owed) == 0 {
		data, err := l.ask(m, r)
		if err != nil && (isTooLate(err) || reasonOf(err) == telemetry.Timeout && l.leadsToMany()) {
			s.owed = append(s.owed, debt{shapeOf(r), l.sent})
		}
		return data, err
	}
	s.forget(time.Now())
	data, err := l.askAfterTests(s, m, r)
	if l.Transport == TCP {
		return data, err
	}
	if err == nil && s.repeats(r, data, l.strays) {
		s.owed, s.mute = append(s.owed, debt{shapeOf(r), l.sent}), true
		if data, err = l.askAfterTests(s, m, r); err == nil {
			s.cleared(r, data)
		}
	}
	if err == nil {
		s.remember(r, data)
	}
	return data, err
}

// isTooLate reports whether an error is a serial gateway's that has stopped waiting for
// the unit. What that still answers, the gateway may take for the answer to the next
// request.
func isTooLate(err error) bool {
	return exceptionOf(err) == goburrow.ExceptionCodeGatewayTargetDeviceFailedToRespond
}

// leadsToMany reports whether several units are read over the connection, which then is
// one to a gateway. Some say nothing when they stop waiting.
func (l *link) leadsToMany() bool {
	return l.bus != nil && slices.ContainsFunc(l.bus.units, func(u *unit) bool { return u.Unit != l.bus.units[0].Unit })
}

// isAnswered reports whether a unit has answered, be it with an exception.
func isAnswered(err error) bool {
	return err == nil || exceptionOf(err) != 0 && !isTooLate(err)
}

// askAfterTests makes the exchange once the unit owes no answer that looks like its.
func (l *link) askAfterTests(s *station, m *meter, r request) ([]byte, error) {
	refused := false
	for range maxTests {
		if !s.owes(shapeOf(r)) && !(refused && len(s.owed) > 0) {
			break
		}
		_, err := l.askOnLine(s, m, s.test(r, refused))
		if !isAnswered(err) {
			return nil, err
		}
		s.mute = false
		refused = refused || err != nil
	}
	data, err := l.askOnLine(s, m, r)
	if !isAnswered(err) {
		s.mute = false // it may be silent whatever it is asked
	}
	return data, err
}

// askOnLine makes one exchange, and keeps account of what the unit owes.
func (l *link) askOnLine(s *station, m *meter, r request) ([]byte, error) {
	data, err := l.ask(m, r)
	for range l.asked {
		s.owed = append(s.owed, debt{shapeOf(r), l.sent})
	}
	if !isAnswered(err) {
		return nil, err
	}
	refused := err != nil
	if s.paid(shapeOf(r), refused); refused && len(s.owed) > 0 {
		return nil, &failure{telemetry.Malformed, fmt.Errorf("this may be about an earlier request: %w", err)}
	}
	return data, err
}

func (l *link) ask(m *meter, r request) (data []byte, err error) {
	l.timeout, l.want = m.Timeout, readReply(r)
	l.framing.ask(m.Unit)
	switch r.table {
	case Coil:
		data, err = l.client.ReadCoils(r.first, r.count)
	case Discrete:
		data, err = l.client.ReadDiscreteInputs(r.first, r.count)
	case Input:
		data, err = l.client.ReadInputRegisters(r.first, r.count)
	default:
		data, err = l.client.ReadHoldingRegisters(r.first, r.count)
	}
	return data, err
}
