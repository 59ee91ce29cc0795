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
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// ControlRequest and ControlAnswer are what is asked of a signal, and what came of
// it, in words.
type (
	ControlRequest = status.ControlRequest
	ControlAnswer  = status.ControlAnswer
)

// ErrNoAnswer is that a gateway was asked and nobody knows what came of it.
var ErrNoAnswer = errors.New("the gateway was asked, but its answer hasn't come")

// Control asks the gateway that runs with the configuration on this machine to
// operate a signal of a device. Only that one does: it knows what else goes on. dir is
// what the configuration's file names are relative to. The error is about reaching the
// gateway, and ErrNoAnswer if that may have done it all the same; if ctx ends while it
// operates, it goes on to the end.
func Control(ctx context.Context, config gatewayconfig.Config, dir string, action telemetry.ControlAction, device, signal string, r ControlRequest) (a ControlAnswer, err error) {
	path := controlTokenPath(config, dir)
	token, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return a, fmt.Errorf("there is no %s: no gateway runs here with this configuration, or its control isn't enabled", path)
	case err != nil:
		return a, fmt.Errorf("whoever operates a device has to be able to read the gateway's token: %w", err)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	address := fmt.Sprintf("http://%s/devices/%s/signals/%s/%s", config.Status.Listen, url.PathEscape(device), url.PathEscape(signal), action)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	transport := http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if dialling, ok := errors.AsType[*net.OpError](err); ok && dialling.Op == "dial" {
		return a, fmt.Errorf("the gateway doesn't answer at %s; devices are operated by a running gateway only: %w", config.Status.Listen, err)
	} else if err != nil {
		return a, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	defer response.Body.Close()
	if name := response.Header.Get(status.GatewayHeader); name != config.Gateway.ID {
		return a, fmt.Errorf("what listens at %s is gateway %q, expected %s", config.Status.Listen, name, config.Gateway.ID)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		return a, fmt.Errorf("the gateway that is running: %s", strings.TrimSpace(string(answer)))
	}
	if err == nil {
		err = json.Unmarshal(answer, &a)
	}
	if err != nil {
		return a, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return a, nil
}
