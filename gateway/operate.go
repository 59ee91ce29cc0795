package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

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
	answer, name, err := question{
		at: here(config, dir), token: strings.TrimSpace(string(token)), body: r,
		path: fmt.Sprintf("/devices/%s/signals/%s/%s", url.PathEscape(device), url.PathEscape(signal), action),
	}.ask(ctx)
	if errors.Is(err, errNobody) {
		return a, fmt.Errorf("the gateway doesn't answer at %s; devices are operated by a running gateway only: %w", config.Status.Listen, err)
	} else if err != nil {
		return a, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	defer answer.Body.Close()
	if name != config.Gateway.ID {
		return a, fmt.Errorf("what listens at %s is gateway %q, expected %s", config.Status.Listen, name, config.Gateway.ID)
	}
	err = take(answer, &a)
	if _, refused := errors.AsType[said](err); err != nil && !refused {
		err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return a, err
}
