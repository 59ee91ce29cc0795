package main

import (
	"context"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/clock"
)

type clockCommand struct {
	File string `help:"The file to write." default:"/run/busbar-clock/discipline.json" placeholder:"FILE" type:"path"`
}

func (clockCommand) Help() string {
	return `Whether the kernel's clock is synchronised is asked by a system call that can set the clock too, for who has the
right. As a service, a gateway is forbidden that call altogether: this asks in its place every two seconds, without
right, network and devices. A gateway that can't ask reads the file (run --clock), believes it for six seconds, and
no longer if the clock is set meanwhile.

Example:
  busbar-gateway clock --file /run/busbar-clock/discipline.json`
}

func (c clockCommand) Run(ctx context.Context, logging *program.Logging) error {
	kernel, supervised := clock.System(), newSupervised(ctx, logging.Logger())
	ticker := time.NewTicker(clock.TellEvery)
	defer ticker.Stop()
	for {
		if err := configfile.Replace(c.File, clock.Tell(kernel), 0o644); err != nil {
			return err
		}
		supervised.alive()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
