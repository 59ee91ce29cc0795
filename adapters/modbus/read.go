package modbus

import (
	"context"
	"errors"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// station is what a link remembers of one unit.
type station struct {
	free  time.Time // when it may be asked again
	doubt *doubt    // on lines only; nil: none
}

// doubt is that an answer to an earlier request may still come. A frame on a line
// has no number by which a late answer could be known, if the next request is for
// as much. So a unit that has failed to answer is first asked for something of
// another size. Units answer in order: once it has given that, whatever it owed
// has come or never will.
type doubt struct {
	tests  int // made
	silent int // of them, in a row, in which the line brought nothing
}

// maxSilent is after how many silent tests the request itself is made again: some
// devices don't answer at all to what they don't like. An answer that is later
// than that many timeouts isn't thought of.
const maxSilent = 2

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

// readSurely makes the exchange so that the answer is to this request.
func (l *link) readSurely(m *meter, r request) (data []byte, err error) {
	s := l.stations[m.Unit]
	if s == nil {
		s = &station{}
		l.stations[m.Unit] = s
	}
	defer func() { s.free = l.received.Add(m.Pause) }()
	if s.doubt != nil && s.doubt.silent < maxSilent {
		_, err := l.ask(m, s.doubt.test(r))
		s.doubt.tests++
		switch {
		case err == nil:
			s.doubt = nil
		case exceptionOf(err) != 0:
			// It may be the one that was owed. In either case no values are, but
			// perhaps an exception.
		default:
			if !l.stirred && reasonOf(err) == telemetry.Timeout {
				s.doubt.silent++
			} else {
				s.doubt.silent = 0
			}
			return nil, err
		}
	}
	data, err = l.ask(m, r)
	switch {
	case l.Transport == TCP:
	case err == nil:
		s.doubt = nil
	case exceptionOf(err) != 0 || !l.asked:
	case s.doubt == nil:
		s.doubt = &doubt{}
	default:
		s.doubt.silent = 0
	}
	return data, err
}

// test is a request whose answer has another size than that to r, and than that
// to the test before where that is possible.
func (d *doubt) test(r request) request {
	size, unit := int(r.count), 1
	if !r.table.Registers() {
		size, unit = r.bytes(), 8
	}
	t := request{table: r.table, first: r.first}
	if size == 1 {
		t.count = uint16(unit + 1)
		t.first = min(r.first, uint16(1<<16-int(t.count)))
		return t
	}
	t.count = uint16(unit * (1 + d.tests%min(size-1, 4)))
	return t
}

func (l *link) ask(m *meter, r request) (data []byte, err error) {
	l.timeout, l.data = m.Timeout, r.bytes()
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

// exceptionOf is the code of the device's exception, 0 if the error is no such.
func exceptionOf(err error) byte {
	if e, ok := errors.AsType[*goburrow.ModbusError](err); ok {
		return e.ExceptionCode
	}
	return 0
}
