package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud"
)

type healthCommand struct {
	Config  string        `help:"The configuration file." default:"/etc/busbar/cloud.yaml" placeholder:"FILE" type:"path"`
	Live    bool          `help:"Ask /livez, not /readyz."`
	Timeout time.Duration `help:"How long to wait for the answer." default:"5s" placeholder:"DURATION"`
}

func (healthCommand) Help() string {
	return `For whoever starts containers, in which there is no other program. Exit code 0: it is ready; 1: it isn't, and why not, a reason a line.
It asks at the address of console.listen on this machine, and believes the certificate that the configuration names. With
console.tls.client_ca it can't ask.

Example:
  busbar-cloud health --config cloud.yaml`
}

func (h healthCommand) Run(ctx context.Context) error {
	config, err := cloud.LoadConfig(h.Config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if err := h.ask(ctx, config.Console, filepath.Dir(h.Config)); err != nil {
		return fmt.Errorf("ask the cloud whether it is ready: %w", err)
	}
	return nil
}

func (h healthCommand) ask(ctx context.Context, console cloud.Console, dir string) error {
	host, port, err := net.SplitHostPort(console.Listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	url, transport := "http://", &http.Transport{}
	if t := console.TLS; t != nil {
		if t.ClientCA != "" {
			return errors.New("console.tls.client_ca asks for a certificate that this command doesn't have")
		}
		pair, err := tls.LoadX509KeyPair(t.Cert.In(dir), t.Key.In(dir))
		if err != nil {
			return err
		}
		url, transport.TLSClientConfig = "https://", pinned(pair.Leaf)
	}
	url += net.JoinHostPort(host, port) + "/readyz"
	if h.Live {
		url = strings.TrimSuffix(url, "readyz") + "livez"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}

// pinned believes one certificate alone, whatever name it is for.
func pinned(leaf *x509.Certificate) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // in favour of what follows
		VerifyConnection: func(s tls.ConnectionState) error {
			if !s.PeerCertificates[0].Equal(leaf) {
				return errors.New("another certificate than the configuration's is shown")
			}
			return nil
		},
	}
}
