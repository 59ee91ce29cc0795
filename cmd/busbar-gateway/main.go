// The edge program: reads devices, evaluates rules, and forwards to the log.
package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
)

var version = "unknown"

type commands struct {
	program.Logging
	Version kong.VersionFlag `help:"Print the version and exit."`
	Run     run              `cmd:"" help:"Read devices and forward what they say, until stopped by SIGINT, SIGTERM or SIGHUP."`
	Key     key              `cmd:"" help:"Print the public key that the cloud has to know, making the key if it is missing."`
	Rotate  rotateKey        `cmd:"" name:"rotate-key" help:"Put a new key in the place of the gateway's key, which introduces it to the cloud."`
}

type run struct {
	Config string `help:"The configuration file." default:"/etc/busbar/gateway.yaml" placeholder:"FILE" type:"path"`
}

func (r run) Run(ctx context.Context, info program.Info, logging *program.Logging) error {
	config, err := gatewayconfig.Load(r.Config)
	if err != nil {
		return err
	}
	g, err := gateway.New(config, gateway.Options{
		Version: info.Version, Dir: filepath.Dir(r.Config), Log: logging.Logger(),
	})
	if err != nil {
		return err
	}
	go followMemory(ctx)
	return program.UntilStopped(ctx, g.Run(ctx))
}

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	var c commands
	program.Main(program.Info{
		Name: "busbar-gateway", Version: version,
		Description: `Busbar's gateway: reads meters, evaluates rules where they stand, and loses nothing on the way to the log.

Example:
  busbar-gateway run --config gateway.yaml
  busbar-gateway key --config gateway.yaml`,
	}, &c, &c.Logging)
}
