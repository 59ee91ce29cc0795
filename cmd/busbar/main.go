// The operator's and engineer's tool: demonstrates Busbar, checks
// configurations and networks, tries devices, tests rules and looks into buffers.
package main

import (
	"github.com/alecthomas/kong"

	"github.com/busbar/busbar/cmd/internal/program"
)

var version = "unknown"

type commands struct {
	Version kong.VersionFlag `help:"Print the version and exit."`
	away
	Demo    demoCommand    `cmd:"" help:"Run simulated meters, a gateway, a log, the cloud and its console on this machine, and let a feeder fail."`
	Config  configCommand  `cmd:"" help:"Check configurations, and describe their format."`
	Device  deviceCommand  `cmd:"" help:"Try a device."`
	Rules   rulesCommand   `cmd:"" help:"Test rules, try them on what was recorded, and say why alarms are active or aren't."`
	Profile profileCommand `cmd:"" help:"Find and check descriptions of what devices have in their registers."`
	Gateway gatewayCommand `cmd:"" help:"Make a gateway known to the cloud."`
	Grid    gridCommand    `cmd:"" help:"Import and check the network: substations, feeders, switches, transformers and service points."`
	Logs    logsCommand    `cmd:"" help:"Print the last lines of the log of a gateway on another machine."`
	Buffer  bufferCommand  `cmd:"" help:"Look into a gateway's buffer, also a damaged one."`
	Image   imageCommand   `cmd:"" help:"Make images to flash gateways with."`
	Update  updateCommand  `cmd:"" help:"See which version a flashed machine runs, and bring it another one."`
	Bundle  bundleCommand  `cmd:"" help:"Make and check the signed files in which new versions come to gateways."`
}

func main() {
	var c commands
	program.Main(program.Info{
		Name: "busbar", Version: version,
		Description: `Busbar's tool for operators and engineers.

Examples:
  busbar demo
  busbar demo --for 60s --headless
  busbar config validate gateway.yaml
  busbar device scan tcp://10.0.0.0/24
  busbar config apply --to /etc/busbar/gateway.yaml new.yaml
  busbar device read --config gateway.yaml --device feeder-1-meter
  busbar rules test rules.test.yaml
  busbar profile show eastron/sdm630
  busbar grid check grid.yaml
  busbar buffer inspect /var/lib/busbar/buffer
  busbar --gateway 10.0.0.20 logs --follow`,
	}, &c, &c.away)
}
