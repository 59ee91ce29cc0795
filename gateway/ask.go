package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/busbar/busbar/gateway/status"
)

// question is what another program on this machine asks a running gateway for.
type question struct {
	listen, path string
	token        string // "": none
	body         any
	begins       time.Duration // how soon an answer has to begin; 0: whenever
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
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+q.listen+q.path, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	if q.token != "" {
		request.Header.Set("Authorization", "Bearer "+q.token)
	}
	transport := http.Transport{
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, DisableKeepAlives: true, ResponseHeaderTimeout: q.begins,
	}
	answer, err = transport.RoundTrip(request)
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
