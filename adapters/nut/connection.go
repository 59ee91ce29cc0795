package nut

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry"
)

// failure is why a UPS couldn't be read, and what that says about the values.
type failure struct {
	quality telemetry.Quality
	refused bool // by upsd, in an answer that is whole
	err     error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(reason telemetry.Reason, format string, args ...any) error {
	return &failure{quality: bad(reason), err: fmt.Errorf(format, args...)}
}

// refusal is what an ERR of upsd means. Of a UPS whose driver has heard nothing of it
// lately, upsd has old values, which it doesn't tell.
func refusal(code string) error {
	f := &failure{quality: bad(telemetry.Refused), refused: true}
	switch code {
	case "DATA-STALE":
		f.quality = bad(telemetry.Timeout) | telemetry.Stale
		f.err = errors.New("the UPS doesn't answer its driver (DATA-STALE)")
	case "DRIVER-NOT-CONNECTED":
		f.quality = bad(telemetry.NotConnected)
		f.err = errors.New("upsd isn't connected to the driver of the UPS (DRIVER-NOT-CONNECTED)")
	case "UNKNOWN-UPS":
		f.err = errors.New("upsd knows no UPS of this name (UNKNOWN-UPS)")
	default:
		f.err = fmt.Errorf("upsd refuses: %q", code)
	}
	return f
}

// connection is one to an upsd.
type connection struct {
	net.Conn
	in *bufio.Reader
}

// maxVariables bounds what one UPS may have. Real ones have up to some 200.
const maxVariables = 4096

// dial connects and says who asks.
func (d Device) dial(ctx context.Context) (*connection, error) {
	address, err := ParseEndpoint(d.Endpoint)
	if err != nil {
		return nil, failed(telemetry.NotConnected, "%w", err)
	}
	dialer := net.Dialer{Timeout: d.Timeout}
	socket, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, failed(telemetry.NotConnected, "%w", err)
	}
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	c := &connection{Conn: socket, in: bufio.NewReaderSize(socket, maxLine)}
	if err := c.identify(d); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *connection) identify(d Device) error {
	if d.Username == "" {
		return nil
	}
	password, err := kafkaconn.ReadPassword(d.PasswordFile)
	if err != nil {
		return failed(telemetry.NotConnected, "%w", err)
	}
	if strings.ContainsFunc(password, unicode.IsControl) {
		return failed(telemetry.NotConnected, "the password in %s holds a control character, expected none", d.PasswordFile)
	}
	if err := c.SetDeadline(time.Now().Add(d.Timeout)); err != nil {
		return failed(telemetry.NotConnected, "%w", err)
	}
	for _, request := range []string{"USERNAME " + quote(d.Username), "PASSWORD " + quote(password)} {
		what, _, _ := strings.Cut(request, " ")
		if err := c.ask(request); err != nil {
			return err
		}
		words, err := c.words()
		if err != nil {
			return err
		}
		if len(words) == 0 || words[0] != "OK" {
			return failed(telemetry.Malformed, "%s was answered by %q, expected OK", what, words)
		}
	}
	return nil
}

func (c *connection) ask(request string) error {
	if _, err := io.WriteString(c, request+"\n"); err != nil {
		return failed(reasonOf(err), "%w", err)
	}
	return nil
}

// words is the next line. One that says ERR is an error.
func (c *connection) words() ([]string, error) {
	line, err := c.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, failed(telemetry.Malformed, "a line is longer than %d bytes", maxLine)
	case err != nil:
		return nil, failed(reasonOf(err), "%w", err)
	}
	words, err := split(strings.TrimRight(string(line), "\r\n"))
	if err != nil {
		return nil, failed(telemetry.Malformed, "%w", err)
	}
	if len(words) >= 2 && words[0] == "ERR" {
		return nil, refusal(words[1])
	}
	return words, nil
}

func reasonOf(err error) telemetry.Reason {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return telemetry.Timeout
	}
	return telemetry.NotConnected
}

// variables is everything that upsd knows of a UPS.
func (c *connection) variables(ups string, timeout time.Duration) (map[string]string, error) {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, failed(telemetry.NotConnected, "%w", err)
	}
	if err := c.ask("LIST VAR " + ups); err != nil {
		return nil, err
	}
	words, err := c.words()
	if err != nil {
		return nil, err
	}
	if begin := []string{"BEGIN", "LIST", "VAR", ups}; !slices.Equal(words, begin) {
		return nil, failed(telemetry.Malformed, "the answer begins with %q, expected %q", words, begin)
	}
	variables := map[string]string{}
	for end := []string{"END", "LIST", "VAR", ups}; ; {
		words, err := c.words()
		switch {
		case err != nil:
			return nil, err
		case slices.Equal(words, end):
			return variables, nil
		case len(words) != 4 || words[0] != "VAR" || words[1] != ups:
			return nil, failed(telemetry.Malformed, "a line says %q, expected VAR %s, a name and a value", words, ups)
		case len(variables) == maxVariables:
			return nil, failed(telemetry.Malformed, "more than %d variables", maxVariables)
		}
		variables[words[2]] = words[3]
	}
}
