// The edge program: reads devices, evaluates rules, and forwards to the log.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gateway/journal"
)

var version = "unknown"

type commands struct {
	program.Logging
	Version kong.VersionFlag `help:"Print the version and exit."`
	Run     run              `cmd:"" help:"Read devices and forward what they say, until stopped by SIGINT or SIGTERM. SIGHUP has it try what the configuration's file holds by then, and go back by itself if data stops."`
	Init    initCommand      `cmd:"" help:"Be the only program of a machine, as in an image."`
	Key     key              `cmd:"" help:"Print the public key that the cloud has to know, making the key if it is missing."`
	Rotate  rotateKey        `cmd:"" name:"rotate-key" help:"Put a new key in the place of the gateway's key, which introduces it to the cloud."`
	Clock   clockCommand     `cmd:"" help:"Tell a gateway that may not ask the kernel whether the clock is synchronised."`
}

type run struct {
	Config     string        `help:"The configuration file." default:"/etc/busbar/gateway.yaml" placeholder:"FILE" type:"path"`
	Clock      string        `help:"Where the kernel can't be asked whether the clock is synchronised, the file in which busbar-gateway clock tells." default:"/run/busbar-clock/discipline.json" placeholder:"FILE" type:"path"`
	ReloadWait time.Duration `help:"After SIGHUP, how long devices that delivered data have to do so again, before the gateway goes back." default:"2m"`
}

func (r run) Run(ctx context.Context, info program.Info, logging *program.Logging) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	kept, log := journal.New(logging.Logger())
	o := gateway.Options{Version: info.Version, Log: log, Journal: kept}
	config, err := gateway.Load(r.Config, &o)
	if err != nil {
		return err
	}
	o.Kernel = clock.Glance(clock.Told(clock.System(), r.Clock, log.With("gateway", config.Gateway.ID)))
	supervised := newSupervised(ctx, o.Log)
	o.Alive, o.Opening = supervised.alive, supervised.opening
	g, err := gateway.New(config, o)
	if err != nil {
		return err
	}
	go followMemory(ctx)
	go func() {
		for range reload {
			if err := g.Reload("SIGHUP", r.ReloadWait); err != nil {
				o.Log.Error("the gateway runs with the configuration that it had", "file", r.Config, "error", err)
			}
		}
	}()
	return program.UntilStopped(ctx, g.Run(ctx))
}

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	var c commands
	program.Main(program.Info{
		Name: "busbar-gateway", Version: version, Reloads: true,
		Description: `Busbar's gateway: reads meters, evaluates rules where they stand, and loses nothing on the way to the log.

Example:
  busbar-gateway run --config gateway.yaml
  busbar-gateway key --config gateway.yaml`,
	}, &c, &c.Logging)
}
