package meter

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/p1"
	"github.com/busbar/busbar/telemetry"
)

// connection is a line to a meter.
type connection interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	SetBaud(baud int) error
}

// fixed is a connection to a server, on whose line the speed stays.
type fixed struct{ net.Conn }

func (fixed) SetBaud(int) error { return nil }

const dialTimeout = 10 * time.Second

func (d Device) dial(ctx context.Context) (connection, Endpoint, error) {
	e, err := d.Protocol.ParseEndpoint(d.Endpoint)
	if err != nil {
		return nil, e, &failure{telemetry.NotConnected, err}
	}
	var c connection
	if e.Path != "" {
		c, err = modbus.OpenSerial(e.Path, e.Line)
	} else {
		var socket net.Conn
		socket, err = (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", e.Address)
		c = fixed{socket}
	}
	if err != nil {
		return nil, e, &failure{telemetry.NotConnected, err}
	}
	return c, e, nil
}

// failure is why a meter couldn't be read, and what that says about its values.
type failure struct {
	reason telemetry.Reason
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// decrypter is that of the device; nil if its telegrams aren't encrypted.
func (d Device) decrypter() (*p1.Decrypter, error) {
	if d.KeyFile == "" {
		return nil, nil
	}
	key, err := readKey(d.KeyFile)
	if err != nil {
		return nil, err
	}
	authentication := p1.SmartyAuthentication
	if d.AuthenticationKeyFile != "" {
		if authentication, err = readKey(d.AuthenticationKeyFile); err != nil {
			return nil, err
		}
	}
	return p1.NewDecrypter(key, authentication)
}

func readKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, err := p1.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("key: %s: %w", file, err)
	}
	return key, nil
}
