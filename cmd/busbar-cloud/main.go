// The cloud's program: takes gateways' records from the log into the store and
// serves the operators' console.
package main

import (
	"context"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cmd/internal/program"
)

var version = "unknown"

type commands struct {
	program.Logging
	Version kong.VersionFlag `help:"Print the version and exit."`
	Run     run              `cmd:"" help:"Take in what gateways send and serve the console, until stopped by SIGINT, SIGTERM or SIGHUP."`
	Gateway gatewayCommand   `cmd:"" help:"Say which keys may write in which gateway's name, and ask gateways to do something."`
	Command commandCommand   `cmd:"" help:"Commands to gateways: the key that signs them, and what became of them."`
	Control controlCommand   `cmd:"" help:"What was written to devices, as their gateways tell it."`
	User    userCommand      `cmd:"" help:"Who signs in to the console."`
	Token   tokenCommand     `cmd:"" help:"Tokens that programs show to the API."`
	Audit   auditCommand     `cmd:"" help:"Who did what."`
}

type run struct {
	Config string `help:"The configuration file." default:"/etc/busbar/cloud.yaml" placeholder:"FILE" type:"path"`
}

func (r run) Run(ctx context.Context, info program.Info, logging *program.Logging) error {
	config, err := cloud.LoadConfig(r.Config)
	if err != nil {
		return err
	}
	c, err := cloud.New(ctx, config, cloud.Options{
		Version: info.Version, Dir: filepath.Dir(r.Config), Log: logging.Logger(),
	})
	if err != nil {
		return program.UntilStopped(ctx, err)
	}
	return program.UntilStopped(ctx, c.Run(ctx))
}

func main() {
	var c commands
	program.Main(program.Info{
		Name: "busbar-cloud", Version: version,
		Description: `Busbar's cloud: stores what gateways send, once, and shows operators their alarms.

Example:
  busbar-cloud run --config cloud.yaml
  busbar-cloud gateway enrol --config cloud.yaml north-gw1 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
  busbar-cloud gateway ping --config cloud.yaml north-gw1`,
	}, &c, &c.Logging)
}
