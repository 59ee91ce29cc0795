// The simulator: meters that speak Modbus, what they do wrong, and the faults of
// their feeders, meters that publish by MQTT and Sparkplug B, monitors of transformers
// that speak OPC UA, a remote terminal unit that speaks IEC 60870-5-104, and a household's meter
// with a P1 port; and what happens to a whole grid in simulated time.
package main

import (
	"context"

	"github.com/alecthomas/kong"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/sim"
)

var version = "unknown"

type commands struct {
	program.Logging
	Version   kong.VersionFlag `help:"Print the version and exit."`
	Modbus    modbusCommand    `cmd:"" help:"Play meters of any profile on a TCP port, a serial port or a pseudo terminal, with anything that meters do wrong."`
	MQTT      mqttCommand      `cmd:"" name:"mqtt" help:"Play meters that publish to an MQTT broker."`
	Sparkplug sparkplugCommand `cmd:"" help:"Play Sparkplug B edge nodes whose devices are meters, at an MQTT broker, with anything that edge nodes do wrong."`
	OPCUA     opcuaCommand     `cmd:"" name:"opcua" help:"Play the monitors of transformers as an OPC UA server."`
	IEC104    iec104Command    `cmd:"" name:"iec104" help:"Play a remote terminal unit that speaks IEC 60870-5-104."`
	P1        p1Command        `cmd:"" name:"p1" help:"Play a household's meter with a P1 port."`
	Grid      gridCommand      `cmd:"" help:"Make a network to practise on."`
	Scenario  scenarioCommand  `cmd:"" help:"What happens to a grid: faults, what protection and people do, and what the edge tells of it."`
	Live      liveCommand      `cmd:"" help:"Play a scenario against the clock, with a page on which faults can be caused by hand."`
	Status    statusCommand    `cmd:"" help:"Say how the grid is that live plays: who is out, what is open, which faults there are."`
	Fault     faultCommand     `cmd:"" help:"Cause a fault in the grid that live plays."`
	Repair    repairCommand    `cmd:"" help:"Repair a fault in it."`
	Switch    switchCommand    `cmd:"" help:"Open or close a switch in it."`
	CutOff    cutOffCommand    `cmd:"" help:"Let the connection of one of its gateways fail."`
	Speed     speedCommand     `cmd:"" help:"Let its time pass faster or slower, or pause."`
	Fleet     fleetCommand     `cmd:"" help:"Write what a hundred thousand meters and more would, straight to Kafka."`
	Score     scoreCommand     `cmd:"" help:"Compare what was concluded from a scenario with the truth."`
	Run       run              `cmd:"" help:"Simulate until stopped by SIGINT, SIGTERM or SIGHUP."`
}

type run struct {
	Config string `arg:"" help:"The configuration file, such as sim.yaml." placeholder:"FILE" type:"path"`
}

func (run) Help() string {
	return `An example of sim.yaml:

  sim: {seed: 1, speed: 60, truth_log: truth.jsonl}
  devices:
    - {id: head, feeder: feeder-1, listen: "127.0.0.1:15021", unit: 1,
       powered_by: auxiliary, profile: H0-A, rated_power: 60 kW}
    - {id: end, feeder: feeder-1, listen: "127.0.0.1:15022", unit: 1,
       powered_by: measured, profile: H0-B, rated_power: 12 kW}
  faults:
    - {at: 20s, feeder: feeder-1, kind: outage, for: 20s}
    - {at: 60s, device: end, kind: misbehave, how: late=800ms, for: 10s}`
}

func (r run) Run(ctx context.Context, logging *program.Logging) error {
	config, err := sim.LoadConfig(r.Config)
	if err != nil {
		return err
	}
	simulator, err := sim.New(config, logging.Logger())
	if err != nil {
		return err
	}
	return program.UntilStopped(ctx, simulator.Run(ctx))
}

func main() {
	var c commands
	program.Main(program.Info{
		Name: "busbar-sim", Version: version,
		Description: `Busbar's simulator: meters that speak Modbus, what they do wrong, and the faults of their feeders, meters that publish by MQTT and Sparkplug B, monitors of transformers that speak OPC UA, a remote terminal unit that speaks IEC 60870-5-104, and a household's meter with a P1 port. And scenarios of what happens to a whole grid, in simulated time, or against the clock with faults by hand.

Examples:
  busbar-sim run sim.yaml
  busbar-sim modbus eastron/sdm630 --listen 127.0.0.1:5020
  busbar-sim sparkplug tcp://127.0.0.1:1883
  busbar-sim opcua --listen 127.0.0.1:4840
  busbar-sim iec104 --listen 127.0.0.1:2404
  busbar-sim p1 --sag-every 1m
  busbar-sim grid --points 10000 --out grid.yaml
  busbar-sim scenario run storm --truth truth.jsonl --evidence evidence.jsonl
  busbar-sim live service --lasts 24h --speed 60
  busbar-sim live service --devices 127.0.0.1:15020 --gateway-config gateway.yaml
  busbar-sim fault north`,
	}, &c, &c.Logging)
}
