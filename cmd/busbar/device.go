package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
)

type deviceCommand struct {
	Read readCommand `cmd:"" help:"Read one device once, and print its values with their units and quality. If the configuration's gateway is running on this machine, it does the reading, ahead of its polls. The exit code is 1 if the device didn't give a single good value."`
}

type readCommand struct {
	program.Logging `set:"log_level=warn"`
	Config          string `help:"The configuration that describes the device." required:"" placeholder:"FILE" type:"path"`
	Device          string `help:"The device's id in it." required:"" placeholder:"ID"`
}

func (c readCommand) Run(ctx context.Context) error {
	config, err := gatewayconfig.Load(c.Config)
	if err != nil {
		return err
	}
	known := make([]string, len(config.Devices))
	for i, d := range config.Devices {
		known[i] = d.ID
	}
	if !slices.Contains(known, c.Device) {
		return program.Usage{Err: fmt.Errorf("there is no device %q in the configuration, only %q", c.Device, known)}
	}
	readings, err := gateway.ReadDevice(ctx, config, c.Device, c.Logger())
	if err != nil {
		return err
	}
	good := 0
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range readings {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Signal, r.Value, r.Unit, r.Quality)
		if r.Good {
			good++
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if good == 0 {
		return program.Silent(program.ExitFailure)
	}
	return nil
}
