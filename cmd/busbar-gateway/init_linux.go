package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gateway/appliance"
)

type initCommand struct{}

func (initCommand) Help() string {
	return `This is what images start. It needs to be the first process, and isn't of use on a machine with an
operating system: install the package there.`
}

// retry is how long a gateway rests that couldn't start, or ended by itself.
const retry = 10 * time.Second

func (initCommand) Run(ctx context.Context, info program.Info, logging *program.Logging) error {
	if os.Getpid() != 1 {
		return program.Usage{Err: errors.New("init is for the first process of a machine")}
	}
	log := logging.Logger()
	log.Info("starting", "version", info.Version)
	machine, err := appliance.Start(ctx, log)
	if err != nil {
		log.Error("this machine can't run a gateway", "error", err)
		rest(ctx, machine, 0)
		return machine.Reboot()
	}
	for ctx.Err() == nil {
		err := runOn(ctx, machine, info, logging)
		if ctx.Err() == nil {
			log.Error("the gateway doesn't run: edit gateway.yaml on the partition BUSBAR, and start again", "error", err)
			program.Report(info, err)
			rest(ctx, machine, retry)
		}
	}
	return machine.Reboot()
}

// runOn runs the gateway of the configuration on the boot partition.
func runOn(ctx context.Context, machine *appliance.Machine, info program.Info, logging *program.Logging) error {
	o := gateway.Options{Version: info.Version, Log: logging.Logger(), Alive: machine.Alive}
	config, err := gateway.Load(filepath.Join(layout.BootDir, layout.ConfigName), &o)
	if err != nil {
		return err
	}
	if err := layout.CheckPaths(config); err != nil {
		return err
	}
	opening, opened := context.WithCancel(ctx)
	go rest(opening, machine, mostOpening)
	g, err := gateway.New(config, o)
	opened()
	if err != nil {
		return err
	}
	return g.Run(ctx)
}

// mostOpening is how long it may take to look through a buffer that wasn't closed before
// the machine starts anew.
const mostOpening = 10 * time.Minute

// rest waits, for ever if that is 0, and keeps the machine on.
func rest(ctx context.Context, machine *appliance.Machine, long time.Duration) {
	until := time.Now().Add(long)
	for ctx.Err() == nil && (long == 0 || time.Now().Before(until)) {
		machine.Alive()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
