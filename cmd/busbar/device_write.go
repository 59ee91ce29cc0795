package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

type writeCommand struct {
	Config string `arg:"" help:"The configuration of the gateway that is running." type:"path"`
	Device string `arg:"" help:"The device's id in it."`
	Signal string `arg:"" help:"The signal's name; it is listed under control of the device."`
	Value  string `arg:"" help:"The value, in the signal's unit; 1 or 0, on or off for a bool."`
	Select bool   `help:"Select it first also if it may be operated directly. What has to be selected is in any case, and so is everything while you are asked."`
	By     string `help:"Who operates it, for the record." default:"${user}" placeholder:"NAME"`
	Yes    bool   `help:"Don't ask before it is written."`
}

func (writeCommand) Help() string {
	return `The gateway that runs with this configuration on this machine does it, if gateway.control is enabled and the device's control lists
the signal. Whoever asks has to be able to read control.token in the buffer's directory, as the gateway's user is.
The exit code is 0 only if the device shows the value afterwards.

Examples:
  busbar device write gateway.yaml bay-1 Pos 0
  busbar device write gateway.yaml inverter WMaxLimPct 60 --by "Ana, control room" --yes`
}

func (c writeCommand) Run(ctx context.Context) error {
	config, err := gatewayconfig.Load(c.Config)
	if err != nil {
		return err
	}
	point, err := c.point(config)
	if err != nil {
		return program.Usage{Err: err}
	}
	if !c.Yes && !isatty.IsTerminal(os.Stdin.Fd()) {
		return program.Usage{Err: errors.New("there is no terminal on which you could be asked; --yes operates without asking")}
	}
	ask := func(ctx context.Context, action telemetry.ControlAction, selection string) (gateway.ControlAnswer, error) {
		return gateway.Control(ctx, config, filepath.Dir(c.Config), action, c.Device, c.Signal,
			gateway.ControlRequest{Value: c.Value, By: c.By, Selection: selection})
	}
	selection := ""
	if c.Select || !c.Yes || point.Mode == gatewayconfig.ControlSelected {
		a, err := ask(ctx, telemetry.ControlSelect, "")
		if err != nil {
			return err
		}
		if a.Outcome != telemetry.ControlDone {
			return c.report(a)
		}
		selection = a.ID
		fmt.Printf("%s of %s shows %s. It is selected for %s until %s.\n", c.Signal, c.Device, with(a.Old, a.Unit), with(a.Requested, a.Unit), a.Expires.Local().Format(time.TimeOnly))
	}
	if !c.Yes && answer(ctx, fmt.Sprintf("Write %s to %s of %s? Type yes: ", c.Value, c.Signal, c.Device)) != "yes" {
		cancelling, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer stop()
		if _, err := ask(cancelling, telemetry.ControlCancel, selection); err != nil {
			return fmt.Errorf("nothing was written, but the selection lasts until it runs out: %w", err)
		}
		return errors.New("nothing was written, and the selection is given up")
	}
	a, err := ask(ctx, telemetry.ControlOperate, selection)
	if ctx.Err() != nil {
		return errors.New("interrupted; what has begun goes on, and what comes of it is in the gateway's log and events")
	}
	switch {
	case errors.Is(err, gateway.ErrNoAnswer):
		return fmt.Errorf("%s of %s: UNKNOWN, it may have been executed: %w", c.Signal, c.Device, err)
	case err != nil:
		return fmt.Errorf("nothing was written: %w", err)
	}
	return c.report(a)
}

// point is how the configuration lists the signal.
func (c writeCommand) point(config gatewayconfig.Config) (gatewayconfig.Control, error) {
	if config.Gateway.Control != gatewayconfig.Enabled {
		return gatewayconfig.Control{}, fmt.Errorf("control is off in %s, expected gateway: {control: enabled}", c.Config)
	}
	var known []string
	for _, d := range config.Devices {
		if d.ID == c.Device {
			if point, listed := d.ControlOf(c.Signal); listed {
				return point, nil
			}
			return gatewayconfig.Control{}, fmt.Errorf("%s isn't listed under control of device %s", c.Signal, c.Device)
		}
		known = append(known, d.ID)
	}
	return gatewayconfig.Control{}, fmt.Errorf("there is no device %q in the configuration, only %q", c.Device, known)
}

// report says what came of it.
func (c writeCommand) report(a gateway.ControlAnswer) error {
	of := fmt.Sprintf("%s of %s", c.Signal, c.Device)
	because := a.Cause
	if a.Detail != "" {
		because = strings.Trim(because+": "+a.Detail, ": ")
	}
	switch a.Outcome {
	case telemetry.ControlDone:
		fmt.Printf("%s: %s was written; it showed %s, and shows %s\n", of, with(a.Requested, a.Unit), with(a.Old, a.Unit), with(a.ReadBack, a.Unit))
		return nil
	case telemetry.ControlRefused:
		return fmt.Errorf("%s: refused, nothing was written: %s", of, because)
	case telemetry.ControlFailed:
		return fmt.Errorf("%s: failed, nothing was executed: %s", of, because)
	case telemetry.ControlUnconfirmed:
		return fmt.Errorf("%s: written, but not confirmed: %s", of, because)
	}
	return fmt.Errorf("%s: UNKNOWN, it may have been executed: %s", of, because)
}

// with is a value with its unit.
func with(value, unit string) string {
	switch {
	case value == "":
		return "nothing"
	case unit == "" || unit == "1":
		return value
	}
	return value + " " + unit
}
