package modbus

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// link is the one connection to an endpoint, or its serial port. What can't be
// told from another request's answer never becomes a value: when the stream is
// out of order, a connection is closed and a line is left to fall silent. One
// goroutine owns it.
type link struct {
	Endpoint
	ctx   context.Context // the connection doesn't outlive it
	open  func(context.Context) (port, error)
	pause time.Duration // after a connection
	stats *busCounters
	bus   *bus // that it is shared on; nil: whoever has it is alone

	framing framing
	client  goburrow.Client

	port     port
	watch    func() bool // stops watching for the end of the context
	dialled  int         // connections so far
	answered bool        // the connection has brought an answer
	heard    bool        // it has brought something since the last timeout
	requests int         // sent on it
	rest     []byte      // of the buffer, what came after the last answer
	torn     bool        // the last timeout was in the middle of a frame
	lastByte time.Time   // on the line, either way
	over     int         // bytes that came on the line after the last answer
	strays   int         // how often these could have been an answer

	failedDials int
	dialAfter   time.Time
	dialErr     error

	stations map[uint8]*station

	// Of the exchange in progress: goburrow's transporter is given only bytes.
	// received is also when waiting was given up.
	timeout         time.Duration
	want            reply
	once            bool // it changes something, and isn't sent a second time
	asked           int  // times that the request has gone out
	began, sent     time.Time
	taken, received time.Time // when the device took the values, about

	buffer [1024]byte // two frames and noise
}

// port is a connection or an open serial port.
type port interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
}

// opener opens what an endpoint is reached by.
type opener struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	serial func(path string, l Line) (port, error)
}

func (o opener) of(e Endpoint) func(context.Context) (port, error) {
	if e.Transport == RTU {
		return func(context.Context) (port, error) { return o.serial(e.Address, e.Line) }
	}
	return func(ctx context.Context) (port, error) { return o.dial(ctx, "tcp", e.Address) }
}

func newLink(ctx context.Context, e Endpoint, o opener, stats *busCounters) *link {
	l := &link{Endpoint: e, ctx: ctx, open: o.of(e), stats: stats, stations: map[uint8]*station{}}
	if e.Transport == TCP {
		l.framing = mbap{goburrow.NewTCPClientHandler(e.Address)}
	} else {
		l.framing = &rtu{RTUClientHandler: goburrow.NewRTUClientHandler(e.Address)}
	}
	l.client = goburrow.NewClient2(l.framing, l)
	return l
}

// connect opens the connection or port if it isn't. After failures it refuses
// for a while to try, so that one dead endpoint isn't dialled for each of its
// units.
func (l *link) connect() error {
	if l.port != nil {
		return nil
	}
	if time.Now().Before(l.dialAfter) {
		return l.dialErr
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	p, err := l.open(ctx)
	if err != nil {
		l.failedDials++
		l.dialAfter = time.Now().Add(dialPause(l.failedDials, l.timeout))
		l.dialErr = err
		return err
	}
	l.port, l.answered, l.heard, l.requests, l.rest, l.failedDials = p, false, true, 0, nil, 0
	l.dialled++
	l.lastByte = time.Now()
	l.watch = context.AfterFunc(l.ctx, func() { p.Close() })
	l.stats.connects.Add(1)
	if l.pause > 0 {
		select {
		case <-l.ctx.Done():
		case <-time.After(l.pause):
		}
	}
	return nil
}

func (l *link) close() {
	if l.port == nil {
		return
	}
	l.watch()
	l.port.Close()
	l.port = nil
}

const (
	firstDialPause = 500 * time.Millisecond
	maxDialPause   = 5 * time.Second
)

// dialPause is none after the first failure, then doubles, up to the time that a
// connection may take: an endpoint that is back is not kept waiting for longer. The
// jitter only shortens it: many gateways must not dial in step after a common outage.
func dialPause(failures int, timeout time.Duration) time.Duration {
	if failures < 2 {
		return 0
	}
	pause := min(maxDialPause, timeout)
	if doublings := failures - 2; doublings < 6 {
		pause = min(pause, firstDialPause<<doublings)
	}
	return pause/2 + rand.N(pause/2+1)
}

// Send is goburrow's Transporter. It asks a second time only if a connection
// that had worked turns out to have been closed by the other side in the
// meantime, or a port to have been unplugged.
func (l *link) Send(request []byte) ([]byte, error) {
	l.asked = 0
	for {
		if err := l.connect(); err != nil {
			l.received = time.Now()
			l.taken = l.received
			return nil, &failure{telemetry.NotConnected, err}
		}
		answer, f := l.exchange(request)
		l.stats.spent(l.began, l.received)
		if f == nil {
			return answer, nil
		}
		again := !l.once && l.answered && f.reason == telemetry.NotConnected && l.ctx.Err() == nil
		if l.spoilt(f) {
			l.close()
		}
		if !again {
			return nil, f
		}
	}
}

// spoilt reports whether the connection has to be closed after a failure. A
// timeout may be one of the unit alone, and closing would disturb the others; but
// if nothing at all was heard since the one before, the connection itself may be
// dead without anybody having said so.
func (l *link) spoilt(f *failure) bool {
	switch {
	case f.reason == telemetry.NotConnected:
		return true
	case l.Transport == RTU:
		return false
	case f.reason == telemetry.Timeout && !l.torn:
		dead := !l.heard
		l.heard = false
		return dead
	}
	return true
}
