package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/sim/outstation"
)

type iec104Command struct {
	Listen  string        `help:"The address of the station, of this machine alone unless it is encrypted." default:"127.0.0.1:2404" placeholder:"HOST:PORT"`
	Points  int           `help:"How many measurements there are." default:"10"`
	Every   time.Duration `help:"How often one measurement in ten changes." default:"1s"`
	Seed    uint64        `help:"Makes the values: the same for the same seed." default:"1"`
	Control bool          `help:"Take commands."`
	Cert    string        `help:"The station's certificate, to encrypt." placeholder:"FILE" type:"path"`
	Key     string        `help:"Its key." placeholder:"FILE" type:"path"`
	CA      string        `name:"ca" help:"The authority of the masters' certificates." placeholder:"FILE" type:"path"`
}

func (iec104Command) Help() string {
	return `A bay's remote terminal unit, common address 1: a breaker (1001, double point), fans (1002, single point), a limit (1003, float), a tap changer (1010, step position), a meter (1020, integrated total) and measurements from 10001 on (float). It answers general and counter interrogation, with groups, reading, clock synchronisation and tests, tells changes with their times, and keeps 10,000 of them while no master is there.

With --control there are commands, a thousand above what they change: 2001 (double, to be selected first), 2002 (single), 2003 (float) and 2010 (step), the last three direct. It prints the configuration by which a gateway reads it.

Examples:
  busbar-sim iec104
  busbar-sim iec104 --listen 127.0.0.1:2404 --points 1000 --every 100ms --control
  busbar-sim iec104 --listen 0.0.0.0:19998 --cert rtu.crt --key rtu.key --ca masters.crt`
}

func (c iec104Command) Run(ctx context.Context, logging *program.Logging) error {
	wrong := func(format string, args ...any) error { return program.Usage{Err: fmt.Errorf(format, args...)} }
	encryption, err := c.encryption()
	if err != nil {
		return program.Usage{Err: err}
	}
	host, _, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(host)
	switch {
	case err != nil:
		return wrong("--listen: %w", err)
	case encryption == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return wrong("--listen: %q is no address of this machine alone; others need --cert, --key and --ca", c.Listen)
	case c.Points < 0 || c.Points > outstation.MostPoints:
		return wrong("--points: %d, expected 0 to %d", c.Points, outstation.MostPoints)
	case c.Every < time.Millisecond:
		return wrong("--every: %v, expected at least 1ms", c.Every)
	}
	o, err := outstation.New(outstation.Config{Listen: c.Listen, TLS: encryption, Points: c.Points, Every: c.Every, Seed: c.Seed, Control: c.Control}, logging.Logger())
	if err != nil {
		return wrong("--listen: %w", err)
	}
	fmt.Printf("a remote terminal unit on %s\n\nFor gateway.yaml:\n\n%s\n", o.Endpoint(), o.Snippet())
	return program.UntilStopped(ctx, o.Run(ctx))
}

// encryption is what the certificates make; nil: none.
func (c iec104Command) encryption() (*tls.Config, error) {
	if c.Cert == "" && c.Key == "" && c.CA == "" {
		return nil, nil
	}
	if c.Cert == "" || c.Key == "" || c.CA == "" {
		return nil, errors.New("--cert, --key and --ca: expected all three of them")
	}
	own, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("--cert and --key: %w", err)
	}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	masters := x509.NewCertPool()
	if !masters.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca: no certificate in %s", c.CA)
	}
	return &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: masters}, nil
}
