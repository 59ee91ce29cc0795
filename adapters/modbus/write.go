package modbus

import (
	"context"
	"errors"
	"slices"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// certainty is how much is known of a write.
type certainty uint8

const (
	notWritten certainty = iota // nothing went out, or the device refused it
	perhaps                     // it may have been executed, or still be
	written                     // the device says so
)

// write makes one exchange that changes something at a meter, once: what isn't
// answered may have been executed. It comes after a read of the same unit, which has
// shown that this connection works and leads to the device, that on a line the unit owes
// no answers, that to an earlier write included, and whether one hears oneself there.
func (l *link) write(ctx context.Context, m *meter, connection int, pdu goburrow.ProtocolDataUnit) (certainty, error) {
	if err := errors.Join(l.turn(ctx, m), ctx.Err()); err != nil {
		return notWritten, err
	}
	s := l.stations[m.Unit]
	switch {
	case l.port == nil || s == nil || l.dialled != connection:
		return notWritten, &failure{telemetry.NotConnected, errors.New("the connection was closed before the write")}
	case len(s.owed) > 0:
		return notWritten, errors.New("the device still owes answers to earlier requests, from which that to a write couldn't be told")
	}
	defer func() { s.free = l.received.Add(m.Pause) }()
	l.once, l.asked = true, 0
	_, err := l.transact(m, pdu, writeReply(pdu))
	l.once = false
	switch {
	case err == nil:
		return written, nil
	case l.asked == 0:
		return notWritten, err
	}
	switch exceptionOf(err) {
	case 0,
		// The device has begun, or a gateway hasn't heard what became of it.
		goburrow.ExceptionCodeServerDeviceFailure,
		goburrow.ExceptionCodeAcknowledge,
		goburrow.ExceptionCodeGatewayTargetDeviceFailedToRespond:
		return perhaps, err
	}
	return notWritten, err
}

// write has a point hold what is to be written.
func (c *control) write(ctx context.Context, l *link, m *meter, w writing) (certainty, error) {
	if c.parts == nil || spread(c.parts) {
		return l.write(ctx, m, w.connection, c.request(w.data, false))
	}
	sure, err := l.write(ctx, m, w.connection, c.request(w.data, true))
	if c.method != ReadModifyWrite || exceptionOf(err) != goburrow.ExceptionCodeIllegalFunction {
		return sure, err
	}
	return l.write(ctx, m, w.connection, c.request(w.data, false))
}

// cloned is what a read brought, which the next one overwrites.
func cloned(data []byte, err error) ([]byte, error) { return slices.Clone(data), err }
