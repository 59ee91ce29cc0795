// Package nut reads uninterruptible power supplies through upsd, the server of
// Network UPS Tools: over its text protocol (RFC 9271) on TCP, one connection a
// device, all variables of the UPS in one exchange.
package nut

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// Adapter is the adapters.Adapter for UPSs.
type Adapter = session.Adapter[Device]

// New is an adapter of devices that have been checked. logger nil means slog.Default.
func New(devices []Device, logger *slog.Logger) *Adapter { return session.New(devices, logger) }

// Device is one UPS that an upsd serves.
type Device struct {
	ID       string
	Endpoint string // as ParseEndpoint takes it
	UPS      string // its name in ups.conf
	// Username and the password in PasswordFile are given to upsd before it is asked;
	// "": it isn't told who asks, which is enough to read. The file is read at each
	// connection.
	Username, PasswordFile string
	PollEvery              time.Duration
	Timeout                time.Duration // for a connection, and for a whole answer
	Points                 []Point
	Live                   telemetry.SignalID
}

// Point is a variable of the UPS, or a flag of its ups.status.
type Point struct {
	Name     string
	Variable string // such as battery.charge; "": a flag
	Status   string // such as OB
	Text     bool   // the variable is a text, else a number × Scale + Offset
	Scale    float64
	Offset   float64
	Signal   telemetry.SignalID
}

// DefaultPort is that of upsd.
const DefaultPort = "3493"

// ParseEndpoint is the host:port of tcp://host or tcp://host:port.
func ParseEndpoint(endpoint string) (address string, err error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "tcp" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q, expected tcp://host or tcp://host:port", endpoint)
	}
	port := u.Port()
	if port == "" {
		port = DefaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: port %s, expected a number from 1 to 65535", endpoint, port)
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// CheckName says what is wrong with the name of a UPS, a variable, a flag or a user.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > 64:
		return errors.New("expected a name of 1 to 64 bytes")
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' || r == '@' }):
		return errors.New("expected a name of printable ASCII without spaces, quotes, @ and \\")
	}
	return nil
}

// About implements session.Device.
func (d Device) About() session.About {
	a := session.About{ID: d.ID, Where: d.UPS + "@" + strings.TrimPrefix(d.Endpoint, "tcp://"), Live: d.Live}
	for _, p := range d.Points {
		a.Points = append(a.Points, session.Point{Name: p.Name, Signal: p.Signal})
	}
	return a
}
