// The cloud's program: takes gateways' records from the log into the store and
// serves the operators' console.
package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cmd/internal/program"
)

var version = "unknown"

type commands struct {
	program.Logging
	Version kong.VersionFlag `help:"Print the version and exit."`
	Run     run              `cmd:"" help:"Take in what gateways send and serve the console, until stopped by SIGINT, SIGTERM or SIGHUP."`
	Health  healthCommand    `cmd:"" help:"Ask the cloud that runs with a configuration on this machine whether it is ready."`
	Gateway gatewayCommand   `cmd:"" help:"Say which keys may write in which gateway's name, and ask gateways to do something."`
	Command commandCommand   `cmd:"" help:"Commands to gateways: the key that signs them, and what became of them."`
	Rollout rolloutCommand   `cmd:"" help:"How versions have come to gateways, and which is paused."`
	Control controlCommand   `cmd:"" help:"What was written to devices, as their gateways tell it."`
	Backup  backupCommand    `cmd:"" help:"Write all that is stored into one file, while the cloud runs, or verify such a file."`
	Restore restoreCommand   `cmd:"" help:"Make the database of a backup, with whichever engine the configuration names."`
	Replay  replayCommand    `cmd:"" help:"Run the analytics again on what the log has, and say in what the store differs."`
	User    userCommand      `cmd:"" help:"Who signs in to the console."`
	Token   tokenCommand     `cmd:"" help:"Tokens that programs show to the API."`
	Audit   auditCommand     `cmd:"" help:"Who did what."`
	Import  importCommand    `cmd:"" help:"Take in what head-ends and systems of meter data have: reads, events, meters, customers, tariffs, weather."`
	Grid    gridCommand      `cmd:"" help:"The network's model: import one, see what is in use, return to an earlier one."`
	Outage  outageCommand    `cmd:"" help:"Which outages there were, by evidence in a file."`
	Report  reportCommand    `cmd:"" help:"How reliably customers were supplied: indices, and tables for regulators."`
}

type run struct {
	Config string         `help:"The configuration file." default:"/etc/busbar/cloud.yaml" placeholder:"FILE" type:"path"`
	Target []cloud.Target `help:"What this process does: ${enum}. Several are separated by commas." enum:"all,ingest,alarm,analytics,publish,api,uplink" default:"all" placeholder:"TARGET"`
	Drain  time.Duration  `help:"How long to go on answering after the signal to stop, while /readyz says that it isn't ready; at most 10m." default:"0s" placeholder:"DURATION"`
}

func (run) Help() string {
	return `Targets: ingest stores telemetry, alarm takes events and judges which gateways are silent, analytics sums up and deletes what is
stored, publish passes on to others what there is, api is the console with the API, uplink takes what gateways send by HTTPS. With
store.postgres and log.kafka there may be several processes of each, on as many machines: those that ingest divide the log's partitions
among them, and of alarm, analytics and publish one works at a time and the others stand by. Each also answers /metrics, /healthz, /readyz and /livez where the console listens.

Example:
  busbar-cloud run --config cloud.yaml
  busbar-cloud run --config cloud.yaml --target ingest,alarm,analytics,publish
  busbar-cloud run --config cloud.yaml --target api --drain 5s`
}

func (r run) Run(ctx context.Context, info program.Info, logging *program.Logging) error {
	if r.Drain < 0 || r.Drain > 10*time.Minute {
		return program.Usage{Err: fmt.Errorf("--drain %s is out of range, expected 0s to 10m", r.Drain)}
	}
	config, err := cloud.LoadConfig(r.Config)
	if err != nil {
		return err
	}
	c, err := cloud.New(ctx, config, cloud.Options{
		Version: info.Version, Dir: filepath.Dir(r.Config), Log: logging.Logger(),
		Targets: r.Target, Drain: r.Drain,
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
  busbar-cloud gateway ping --config cloud.yaml north-gw1
  busbar-cloud backup --config cloud.yaml /backup/today.busbar`,
	}, &c, &c.Logging)
}
