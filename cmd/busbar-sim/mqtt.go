package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/sim/publisher"
	"github.com/busbar/busbar/sim/simbench"
)

type mqttCommand struct {
	Broker string `arg:"" help:"The broker, as tcp://host:port, on this machine." default:"tcp://127.0.0.1:1883"`
	meterFlags
}

func (mqttCommand) Help() string {
	return `Each meter publishes power, energy and voltage with their time, as JSON, retained, below meters/. The configuration by which a gateway reads them is printed.

Examples:
  busbar-sim mqtt
  busbar-sim mqtt tcp://127.0.0.1:1883 --meters 100 --every 100ms`
}

func (c mqttCommand) Run(ctx context.Context, logging *program.Logging) error {
	config, err := c.config()
	if err != nil {
		return program.Usage{Err: err}
	}
	fmt.Printf("%d meters publish to %s\n\nFor gateway.yaml:\n\n%s\n", c.Meters, c.Broker, config.Snippet())
	return program.UntilStopped(ctx, config.Run(ctx, logging.Logger()))
}

// config is the command line's meters; the error says which flag is wrong.
func (c mqttCommand) config() (out publisher.Config, err error) {
	if out.Connection, err = connectionTo(c.Broker); err != nil {
		return out, err
	}
	out.Meters, err = c.read()
	return out, err
}

// connectionTo is that to a broker.
func connectionTo(broker string) (mqttconn.Config, error) {
	if u, err := url.Parse(broker); err != nil || u.Scheme != "tcp" || u.Hostname() == "" {
		return mqttconn.Config{}, fmt.Errorf("%q is no broker, expected tcp://host:port", broker)
	}
	return mqttconn.Config{Broker: broker, ClientID: "busbar-sim"}, nil
}

// meterFlags say which meters publish.
type meterFlags struct {
	Meters     int                 `help:"How many meters there are; of each edge node, if there are any." default:"3"`
	Every      configfile.Duration `help:"How often each publishes." default:"1s"`
	Load       string              `help:"The SimBench load profile that they measure." default:"H0-A"`
	RatedPower configfile.Quantity `help:"The power at which the load profile is 1." default:"20 kW"`
	Speed      float64             `help:"How many seconds of load profile pass in a second." default:"1"`
	Seed       uint64              `help:"Makes the noise: the same for the same seed." default:"1"`
}

// read is the meters; the error says which flag is wrong.
func (c meterFlags) read() (out publisher.Meters, err error) {
	if c.Meters < 1 || c.Meters > 10_000 {
		return out, fmt.Errorf("--meters is %d, expected 1 to 10000", c.Meters)
	}
	if d := time.Duration(c.Every); d < time.Millisecond || d > time.Hour {
		return out, fmt.Errorf("--every is %s, expected 1ms to 1h", c.Every)
	}
	out = publisher.Meters{Count: c.Meters, Every: time.Duration(c.Every), Speed: c.Speed, Seed: c.Seed}
	if out.Load, err = simbench.Load(c.Load); err != nil {
		return out, fmt.Errorf("--load: %w", err)
	}
	watt, ok := watts[c.RatedPower.Unit]
	if out.RatedPower = c.RatedPower.Value * watt; !ok || out.RatedPower <= 0 {
		return out, fmt.Errorf("--rated-power: %q is no power above 0 in W, kW or MW, like \"20 kW\"", c.RatedPower)
	}
	if !(c.Speed > 0 && c.Speed <= 31*24*60) {
		return out, fmt.Errorf("--speed: %v is not above 0 and up to %d", c.Speed, 31*24*60)
	}
	return out, nil
}
