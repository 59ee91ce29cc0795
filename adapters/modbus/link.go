package modbus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// link is the one connection to an endpoint. Anything but the whole answer to
// the outstanding request closes it, so that no later request can be given an
// answer that isn't its own; the next exchange dials anew. One goroutine owns
// it.
type link struct {
	address  string
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	connects *counter

	// One packager for all units: a transaction id comes back only after 65,536
	// requests, whichever unit they were for.
	packager *goburrow.TCPClientHandler
	client   goburrow.Client

	conn     net.Conn
	watch    func() bool // stops watching for the end of the context
	answered bool        // conn has brought an answer

	failedDials int
	dialAfter   time.Time
	dialErr     error

	// Of the exchange in progress: goburrow's transporter is given only bytes.
	ctx            context.Context
	timeout        time.Duration
	data           int
	sent, received time.Time // received is also when waiting was given up

	buffer [maxFrame + 1]byte // one more, to see what follows an answer
}

func newLink(address string, dial func(context.Context, string, string) (net.Conn, error), connects *counter) *link {
	l := &link{address: address, dial: dial, connects: connects, packager: goburrow.NewTCPClientHandler(address)}
	l.client = goburrow.NewClient2(l.packager, l)
	return l
}

// read makes one exchange. The data are valid until the next one. The timeout
// is for the whole answer, and once more for a connection if there is none.
func (l *link) read(ctx context.Context, unit uint8, timeout time.Duration, r request) (data []byte, err error) {
	l.ctx, l.timeout, l.data = ctx, timeout, r.bytes()
	l.packager.SlaveId = unit
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

// Send is goburrow's Transporter. It asks a second time only if a connection
// that had worked turns out to have been closed by the device in the meantime.
func (l *link) Send(request []byte) ([]byte, error) {
	for {
		if err := l.connect(); err != nil {
			l.sent, l.received = time.Now(), time.Now()
			return nil, &failure{telemetry.NotConnected, err}
		}
		reply, err := l.exchange(request)
		if err == nil {
			return reply, nil
		}
		again := l.answered && err.reason == telemetry.NotConnected && l.ctx.Err() == nil
		l.close()
		if !again {
			return nil, err
		}
	}
}

func (l *link) exchange(request []byte) ([]byte, *failure) {
	n := 0
	l.sent = time.Now()
	err := l.conn.SetDeadline(l.sent.Add(l.timeout))
	if err == nil {
		_, err = l.conn.Write(request)
	}
	for err == nil {
		var k int
		k, err = l.conn.Read(l.buffer[n:])
		n += k
		length, wrong := replyLength(request, l.data, l.buffer[:n])
		if wrong != nil {
			l.received = time.Now()
			return nil, &failure{telemetry.Malformed, wrong}
		}
		if length > 0 {
			l.received = time.Now()
			l.answered = true
			if n > length {
				l.close()
			}
			return l.buffer[:length], nil
		}
	}
	l.received = time.Now()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &failure{telemetry.Timeout, fmt.Errorf("no answer within %v, %d bytes of one", l.timeout, n)}
	case n > 0:
		return nil, &failure{telemetry.Malformed, fmt.Errorf("answer broke off after %d bytes: %w", n, err)}
	}
	return nil, &failure{telemetry.NotConnected, err}
}

// connect dials if there is no connection. After failures it refuses for a
// while to try, so that one dead endpoint isn't dialled for each of its units.
func (l *link) connect() error {
	if l.conn != nil {
		return nil
	}
	if time.Now().Before(l.dialAfter) {
		return l.dialErr
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	conn, err := l.dial(ctx, "tcp", l.address)
	if err != nil {
		l.failedDials++
		l.dialAfter = time.Now().Add(dialPause(l.failedDials))
		l.dialErr = err
		return err
	}
	l.conn, l.answered, l.failedDials = conn, false, 0
	l.watch = context.AfterFunc(l.ctx, func() { conn.Close() })
	l.connects.Add(1)
	return nil
}

func (l *link) close() {
	if l.conn == nil {
		return
	}
	l.watch()
	l.conn.Close()
	l.conn = nil
}

const (
	firstDialPause = 500 * time.Millisecond
	maxDialPause   = 5 * time.Second
)

// dialPause is none after the first failure, then doubles. The jitter only
// shortens it: many gateways must not dial in step after a common outage.
func dialPause(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	pause := maxDialPause
	if doublings := failures - 2; doublings < 6 {
		pause = min(pause, firstDialPause<<doublings)
	}
	return pause/2 + rand.N(pause/2+1)
}
