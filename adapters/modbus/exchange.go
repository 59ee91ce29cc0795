package modbus

import (
	"errors"
	"fmt"
	"os"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// frameGap is how long a frame on a serial port may stop in the middle. The
// standard says 1.5 characters, but USB converters pass on what they have every
// 16 ms, and this machine may be busy.
const frameGap = 100 * time.Millisecond

// exchange sends a request and waits for its answer. The timeout is how long the
// device may take; on a line, the time that both frames need comes on top.
func (l *link) exchange(request []byte) ([]byte, *failure) {
	l.began = time.Now()
	l.sent = l.began
	if l.Transport != TCP {
		if f := l.settle(); f != nil {
			l.end()
			return nil, f
		}
		l.sent = time.Now()
	}
	limit := l.sent.Add(l.timeout + l.Line.Takes(len(request)+rtuExtra+l.want.longest()))
	earlier := l.requests
	l.asked, l.requests = l.asked+1, l.requests+1
	n := copy(l.buffer[:], l.rest)
	l.rest, l.torn = nil, false
	if n > 0 {
		// A whole answer to an earlier request isn't the beginning of one to this.
		if old := l.framing.find(request, &l.want, earlier, l.buffer[:n]); old.wrong == nil {
			n = copy(l.buffer[:], l.buffer[old.drop:n])
		}
	}
	err := l.port.SetDeadline(limit)
	if err == nil {
		_, err = l.port.Write(request)
	}
	var last found
	again := false
	for err == nil && n < len(l.buffer) {
		var k int
		k, err = l.port.Read(l.buffer[n:])
		if k == 0 {
			if errors.Is(err, os.ErrDeadlineExceeded) && !again && time.Now().Before(limit) {
				// If it was this machine that paused, the rest is there by now.
				again, err = true, l.port.SetReadDeadline(time.Now().Add(time.Millisecond))
			}
			continue
		}
		n, l.heard, again = n+k, true, false
		last = l.framing.find(request, &l.want, earlier, l.buffer[:n])
		if last.wrong != nil {
			l.end()
			return nil, &failure{telemetry.Malformed, last.wrong}
		}
		if last.answer != nil {
			l.end()
			l.answered, l.over = true, last.after
			if l.Transport == TCP {
				l.rest = l.buffer[last.drop+len(last.answer) : n]
				if !l.framing.follows(request, earlier, l.rest) {
					l.close()
				}
			}
			return last.answer, nil
		}
		n = copy(l.buffer[:], l.buffer[last.drop:n])
		if err == nil && (last.broken || last.begun && l.Transport == RTU) {
			if gap := time.Now().Add(max(frameGap, l.Line.silence())); gap.Before(limit) {
				err = l.port.SetReadDeadline(gap)
			}
		}
	}
	l.end()
	return nil, l.giveUp(err, last, n, limit)
}

func (l *link) giveUp(err error, last found, n int, limit time.Time) *failure {
	switch {
	case err == nil:
		return &failure{telemetry.Malformed, fmt.Errorf("no answer in %d bytes", n)}
	case errors.Is(err, os.ErrDeadlineExceeded) && last.broken:
		return &failure{telemetry.Malformed, fmt.Errorf("no answer with a right checksum in %d bytes", n)}
	case errors.Is(err, os.ErrDeadlineExceeded) && l.received.Before(limit):
		return &failure{telemetry.Malformed, fmt.Errorf("answer broke off after %d bytes", n)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.torn = l.Transport == TCP && n > 0
		return &failure{telemetry.Timeout, fmt.Errorf("no answer within %v, %d bytes of one", l.timeout, n)}
	case n > 0:
		return &failure{telemetry.Malformed, fmt.Errorf("answer broke off after %d bytes: %w", n, err)}
	}
	return &failure{telemetry.NotConnected, err}
}

// end notes when an exchange ended, and when the device took the values: in the
// middle, without the time that the frames spent on a line whose speed is known.
func (l *link) end() {
	l.received = time.Now()
	l.lastByte = l.received
	from, to := l.sent, l.received
	if l.Transport == RTU {
		there, back := l.Line.Takes(requestSize), l.Line.Takes(rtuExtra+l.want.longest())
		if there+back < to.Sub(from) {
			from, to = from.Add(there), to.Add(-back)
		}
	}
	l.taken = to.Add(-to.Sub(from) / 2)
}

// settle waits until the line has been silent for as long as keeps frames apart,
// and passes over what comes until then: the rest of an answer that was given up,
// an answer that comes too late, noise.
func (l *link) settle() *failure {
	silence := l.Line.silence()
	now := time.Now()
	// At least a moment, to see what has come in the meantime.
	until := now.Add(min(silence, time.Millisecond))
	if after := l.lastByte.Add(silence); after.After(until) {
		until = after
	}
	limit := now.Add(l.Line.Takes(maxRTU) + silence + frameGap)
	for {
		err := l.port.SetReadDeadline(until)
		if err == nil {
			var n int
			n, err = l.port.Read(l.buffer[:])
			l.over += n
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if l.over >= minRTU { // and no transmitter that is switched off
				l.strays++
			}
			l.over = 0
			return nil
		case err != nil:
			return &failure{telemetry.NotConnected, err}
		}
		l.heard = true
		l.lastByte = time.Now()
		if until = l.lastByte.Add(silence); until.After(limit) {
			return &failure{telemetry.Malformed, fmt.Errorf("the line doesn't fall silent")}
		}
	}
}

// transact makes one exchange and returns the answer's PDU.
func (l *link) transact(m *meter, pdu goburrow.ProtocolDataUnit, want reply) ([]byte, error) {
	l.timeout, l.want = m.Timeout, want
	l.framing.ask(m.Unit)
	request, err := l.framing.Encode(&pdu)
	if err != nil {
		return nil, err
	}
	answer, err := l.Send(request)
	if err != nil {
		return nil, err
	}
	if err := l.framing.Verify(request, answer); err != nil {
		return nil, &failure{telemetry.Malformed, err}
	}
	got, err := l.framing.Decode(answer)
	if err != nil {
		return nil, &failure{telemetry.Malformed, err}
	}
	if got.FunctionCode == pdu.FunctionCode|exceptionFlag && len(got.Data) == 1 {
		return nil, &goburrow.ModbusError{FunctionCode: got.FunctionCode, ExceptionCode: got.Data[0]}
	}
	return append([]byte{got.FunctionCode}, got.Data...), nil
}
