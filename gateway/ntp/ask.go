package ntp

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Measurement is what one server said at one moment.
type Measurement struct {
	Server  string
	Stratum uint8
	Began   telemetry.Micros // the time at which the clock that it was asked by was 0
	At      telemetry.Micros // by that clock
	// MaxError is the root distance: half the way to the server and from there to
	// its reference clock, and what both clocks may be off.
	MaxError time.Duration
}

const (
	defaultPort = "123"

	// answerTimeout is how long an answer is waited for. What takes longer is worth
	// nothing: half of it would be the error.
	answerTimeout = 4 * time.Second

	// farthest bounds the root distance of a server that is believed: MAXDIST of
	// RFC 5905, A.5.5.
	farthest = 1500 * time.Millisecond

	// least is the smallest error that is believed of a server: MINDISP of RFC 5905.
	// Without it, two good servers beside each other would contradict each other.
	least = 5 * time.Millisecond
)

// ask sends one packet to a server and waits for its answer.
func (c *Client) ask(ctx context.Context, server string) (Measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	conn, err := c.o.Dial(ctx, "udp", Address(server))
	if err != nil {
		return Measurement{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var random [8]byte
	rand.Read(random[:])
	cookie := binary.BigEndian.Uint64(random[:])
	sent := c.o.SinceBoot()
	if _, err := conn.Write(request(cookie)); err != nil {
		return Measurement{}, err
	}
	// Others may send something else to the port; then the answer follows.
	var packet [512]byte
	for {
		n, err := conn.Read(packet[:])
		if ctx.Err() != nil {
			return Measurement{}, ctx.Err()
		} else if err != nil {
			return Measurement{}, err
		}
		received := c.o.SinceBoot()
		switch a, err := parse(packet[:n], cookie); {
		case err == nil:
			return measure(server, a, sent, received)
		case !errors.Is(err, errOther):
			return Measurement{}, err
		}
	}
}

// Address is the server's with the port that it is asked at.
func Address(server string) string {
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server
	}
	return net.JoinHostPort(strings.Trim(server, "[]"), defaultPort)
}

// measure judges an answer to what was sent and received at these times of the own
// clock.
func measure(server string, a answer, sent, received telemetry.Micros) (Measurement, error) {
	if err := a.check(); err != nil {
		return Measurement{}, err
	}
	within := time.Duration(a.answered-a.received) * time.Microsecond
	took := time.Duration(received-sent) * time.Microsecond
	if within > took+least {
		return Measurement{}, fmt.Errorf("it says that it took %v to answer within %v", within, took)
	}
	m := Measurement{
		Server: server, Stratum: a.stratum, At: received,
		Began:    (a.received - sent + a.answered - received) / 2,
		MaxError: max(least, (took-within+a.delay)/2+a.dispersal),
	}
	if m.MaxError > farthest {
		return m, fmt.Errorf("it may be off by %v, more than %v", m.MaxError, farthest)
	}
	return m, nil
}

// plain says in few words why a server gave no time.
func plain(err error) string {
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there"
	case errors.As(err, &op):
		return op.Err.Error() // without the port of this time
	}
	return err.Error()
}
