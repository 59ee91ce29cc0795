package main

import (
	"context"
	"fmt"
	"time"
	_ "time/tzdata" // the meter's zone is known on machines that have none

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/sim/simbench"
	"github.com/busbar/busbar/sim/smartmeter"
)

type p1Command struct {
	Listen string        `help:"The address of the port." default:"127.0.0.1:2001" placeholder:"HOST:PORT"`
	Every  time.Duration `help:"How often it sends: every second by DSMR 5, every ten by DSMR 4." default:"1s"`
	Seed   uint64        `help:"Makes the meter: the same for the same seed." default:"1"`

	Load       string              `help:"The SimBench load profile that it measures." default:"H0-A"`
	RatedPower configfile.Quantity `help:"The power at which the load profile is 1." default:"6 kW"`

	Logged            int           `help:"How many interruptions are in its log at the start, 10 at most." default:"2"`
	InterruptionEvery time.Duration `help:"How often its supply is interrupted, and it says nothing." placeholder:"D"`
	InterruptionLasts time.Duration `help:"How long that lasts. It is in the log afterwards if it is three minutes or more." default:"3m" placeholder:"D"`
	SagEvery          time.Duration `help:"How often it counts a sag of the voltage, on any phase." placeholder:"D"`
	SwellEvery        time.Duration `help:"How often it counts a swell of the voltage, on any phase." placeholder:"D"`
}

func (p1Command) Help() string {
	return `A household's meter of three phases, whose clock is that of Amsterdam: it sends a telegram of DSMR 5 with a checksum again and again to all who are connected, as a serial device server does. It prints the configuration by which a gateway reads it.

Examples:
  busbar-sim p1
  busbar-sim p1 --every 10s --seed 7 --logged 10
  busbar-sim p1 --sag-every 1m --swell-every 5m
  busbar-sim p1 --interruption-every 15m --interruption-lasts 4m`
}

func (c p1Command) Run(ctx context.Context, logging *program.Logging) error {
	wrong := func(format string, args ...any) error { return program.Usage{Err: fmt.Errorf(format, args...)} }
	config := smartmeter.Config{
		Seed: c.Seed, Logged: c.Logged, SagEvery: c.SagEvery, SwellEvery: c.SwellEvery,
		InterruptionEvery: c.InterruptionEvery, InterruptionLasts: c.InterruptionLasts,
	}
	var err error
	if config.Profile, err = simbench.Load(c.Load); err != nil {
		return wrong("--load: %w", err)
	}
	watt, known := watts[c.RatedPower.Unit]
	if config.RatedPower = c.RatedPower.Value * watt; !known || !(config.RatedPower > 0 && config.RatedPower <= smartmeter.MostPower) {
		return wrong("--rated-power: %q, expected more than 0 W and at most 90 kW", c.RatedPower)
	}
	switch {
	case c.Every < 10*time.Millisecond:
		return wrong("--every: %v, expected at least 10ms", c.Every)
	case c.SagEvery < 0 || c.SwellEvery < 0:
		return wrong("--sag-every and --swell-every: %v and %v, expected no negative time", c.SagEvery, c.SwellEvery)
	case c.Logged < 0 || c.Logged > smartmeter.MostLogged:
		return wrong("--logged: %d, expected 0 to %d", c.Logged, smartmeter.MostLogged)
	case c.InterruptionEvery != 0 && (c.InterruptionLasts < time.Second || c.InterruptionEvery <= c.InterruptionLasts):
		return wrong("--interruption-every and --interruption-lasts: %v and %v, expected at least 1s, and more time between than they last", c.InterruptionEvery, c.InterruptionLasts)
	}
	if config.Zone, err = time.LoadLocation("Europe/Amsterdam"); err != nil {
		return fmt.Errorf("the meter's clock: %w", err)
	}
	port, err := smartmeter.Listen(c.Listen, smartmeter.New(config, time.Now()), c.Every, logging.Logger())
	if err != nil {
		return wrong("--listen: %w", err)
	}
	fmt.Printf("a meter's P1 port on %s\n\nFor gateway.yaml:\n\n%s\n", port.Endpoint(), port.Snippet())
	return program.UntilStopped(ctx, port.Run(ctx))
}
