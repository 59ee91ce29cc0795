package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gateway/appliance"
	"github.com/busbar/busbar/gateway/update"
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
		long := time.Duration(0)
		if machine.OnTrial() {
			long = update.Within
		}
		rest(ctx, machine, long)
		return machine.Reboot("")
	}
	ctx, reboot := context.WithCancel(ctx)
	defer reboot()
	var argument atomic.Pointer[string]
	updates, err := openUpdates(machine, log, func(said string) {
		argument.Store(&said)
		reboot()
	})
	if err != nil {
		log.Error("this machine can't be updated", "error", err)
	} else {
		go updates.Guard(ctx)
	}
	for ctx.Err() == nil {
		err := runOn(ctx, machine, updates, info, logging)
		if ctx.Err() == nil {
			log.Error("the gateway doesn't run: edit gateway.yaml on the partition BUSBAR, and start again", "error", err)
			program.Report(info, err)
			if updates != nil {
				updates.Lacks(fmt.Sprintf("the gateway doesn't run: %v", err))
			}
			rest(ctx, machine, retry)
		}
	}
	if said := argument.Load(); said != nil {
		return machine.Reboot(*said)
	}
	return machine.Reboot("")
}

// openUpdates is nil on an error.
func openUpdates(machine *appliance.Machine, log *slog.Logger, reboot func(argument string)) (*update.Updater, error) {
	slots, err := machine.Slots()
	if err != nil {
		return nil, err
	}
	keys, err := trusted()
	if err != nil {
		log.Error("bundles can't be checked, and are refused", "error", err)
	}
	return update.Open(update.Options{
		Slots: slots, Keys: keys, Dir: filepath.Join(layout.DataDir, "update"), Reboot: reboot, Limit: machine.Limit,
		Free: func() (int64, error) { return appliance.Free(layout.DataDir) }, Log: log,
	})
}

// trusted are the keys of those whose bundles are taken.
func trusted() (bundle.Keys, error) {
	text, err := os.ReadFile(layout.Trust)
	if err != nil {
		return nil, err
	}
	return bundle.ParseKeys(strings.Fields(string(text))...)
}

// runOn runs the gateway of the configuration on the boot partition.
func runOn(ctx context.Context, machine *appliance.Machine, updates *update.Updater, info program.Info, logging *program.Logging) error {
	o := gateway.Options{Version: info.Version, Log: logging.Logger(), Alive: machine.Alive, Updates: updates}
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
