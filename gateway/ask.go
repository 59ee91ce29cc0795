package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
)

// Door is where a running gateway is asked.
type Door struct {
	address  string // of its status page
	socket   string // the file of its socket on this machine; "": it is asked at its address
	password string
	tls      *tls.Config // nil: it is asked on this machine
}

// here is the door of the gateway that runs with a configuration on this machine.
func here(config gatewayconfig.Config, dir string) Door {
	d := Door{address: cmp.Or(config.Status.Listen, gatewayconfig.DefaultListen)}
	if reachable(d.address) {
		d.socket = filepath.Join(config.Buffer.Path.In(dir), socketFile)
	}
	return d
}

// Here is the door of the gateway whose status page this machine alone reaches, at an address.
func Here(address string) Door { return Door{address: address} }

// Away is the door of a gateway on another machine, for who has its password. trusts says
// whether it is the gateway by its certificate's fingerprint.
func Away(address, password string, trusts func(fingerprint string) error) Door {
	return Door{address: address, password: password, tls: &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The gateway has made its certificate itself, so nobody vouches for it.
		InsecureSkipVerify: true,
		VerifyPeerCertificate: func(chain [][]byte, _ [][]*x509.Certificate) error {
			if len(chain) == 0 {
				return errors.New("the gateway shows no certificate")
			}
			return trusts(status.Fingerprint(chain[0]))
		},
	}}
}

func (d Door) transport(begins time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: time.Second}
	dial := dialer.DialContext
	switch {
	case d.socket != "":
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", d.socket)
		}
	case d.tls != nil:
		dialer.Timeout = 10 * time.Second
	}
	return &http.Transport{DialContext: dial, TLSClientConfig: d.tls, DisableKeepAlives: true, ResponseHeaderTimeout: begins}
}

// request is one to the gateway, without what it asks for.
func (d Door) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	origin := "http://" + d.address
	switch {
	case d.tls != nil:
		origin = "https://" + d.address
	case d.socket != "":
		origin = "http://localhost"
	}
	request, err := http.NewRequestWithContext(ctx, method, origin+path, body)
	if err == nil && d.tls != nil {
		request.SetBasicAuth("busbar", d.password)
	}
	return request, err
}

// question is what a running gateway is asked for.
type question struct {
	at     Door
	path   string
	token  string // "": none
	body   any
	begins time.Duration // how soon an answer has to begin; 0: whenever
}

// errNobody is that nobody listens there, so that nothing was asked.
var errNobody = errors.New("nobody listens there")

// ask puts a question to what listens at its address. The name is the answering
// gateway's, "" if another program has answered.
func (q question) ask(ctx context.Context) (answer *http.Response, name string, err error) {
	body, err := json.Marshal(q.body)
	if err != nil {
		return nil, "", err
	}
	request, err := q.at.request(ctx, http.MethodPost, q.path, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	if q.token != "" {
		request.Header.Set("Authorization", "Bearer "+q.token)
	}
	answer, err = q.at.transport(q.begins).RoundTrip(request)
	if dialling, ok := errors.AsType[*net.OpError](err); ok && dialling.Op == "dial" {
		return nil, "", fmt.Errorf("%w: %w", errNobody, err)
	} else if err != nil {
		return nil, "", err
	}
	return answer, answer.Header.Get(status.GatewayHeader), nil
}

// said is why a gateway hasn't done what it was asked for, in its own words.
type said string

func (s said) Error() string { return "the gateway that is running: " + string(s) }

// mostAnswer bounds an answer, in bytes: all values of a device, at most.
const mostAnswer = 16 << 20

// take reads an answer to its end; the error is said if that is a refusal.
func take(answer *http.Response, to any) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err == nil && answer.StatusCode != http.StatusOK {
		return said(strings.TrimSpace(string(text)))
	}
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		return fmt.Errorf("the answer of the gateway that is running: %w", err)
	}
	return nil
}
