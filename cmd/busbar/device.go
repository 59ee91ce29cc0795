package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
)

type deviceCommand struct {
	Browse  browseCommand  `cmd:"" help:"Show what an OPC UA server has, as a tree with values, and propose how to configure it."`
	Capture captureCommand `cmd:"" help:"Write what goes to and from a device of iec104 or iec101 to a file that Wireshark reads."`
	Explain explainCommand `cmd:"" help:"Say what the frames of IEC 60870-5-104 and -101 in a capture mean, and what is wrong with them."`
	Read    readCommand    `cmd:"" help:"Read one device once, and print its values with their units and quality. If the configuration's gateway is running on this machine, it does the reading, ahead of its polls. The exit code is 1 if the device didn't give a single good value."`
	Scan    scanCommand    `cmd:"" help:"Find out which units answer behind an endpoint or in a network, and what they are, and propose how to configure them."`
	Signals signalsCommand `cmd:"" help:"Check a list of the signals of a station of IEC 60870-5-104 or -101, and turn it into YAML."`
	Watch   watchCommand   `cmd:"" help:"Read one device again and again until stopped, and show its values."`
	Write   writeCommand   `cmd:"" help:"Write a value to one device, through the gateway that is running: asks first, shows what was there before, and reads back what is there then."`
}

// target is a device, of a configuration or on its own.
type target struct {
	program.Logging `set:"log_level=warn"`
	Config          string `help:"The configuration that describes the device." placeholder:"FILE" type:"path" xor:"from"`
	Device          string `help:"The device's id in it." placeholder:"ID"`
	Endpoint        string `help:"Without a configuration: how the device is reached, such as tcp://10.0.0.11 or rtu:///dev/ttyUSB0?baud=9600." placeholder:"URL" xor:"from"`
	Profile         string `help:"What it is, as busbar profile list prints it, or a file that ends in .yaml." placeholder:"NAME"`
	Unit            uint8  `help:"Its unit identifier." default:"1"`
	Base            uint16 `help:"What is added to the profile's addresses." default:"0"`
}

// load is the configuration and the device's id in it.
func (t target) load() (gatewayconfig.Config, string, error) {
	switch {
	case t.Config == "" && t.Endpoint == "":
		return gatewayconfig.Config{}, "", program.Usage{Err: errors.New("which device? expected --config and --device, or --endpoint and --profile")}
	case t.Config != "" && (t.Profile != "" || t.Base != 0):
		return gatewayconfig.Config{}, "", program.Usage{Err: errors.New("--profile and --base are for a device without a configuration; this one says it itself")}
	case t.Endpoint != "" && t.Device != "":
		return gatewayconfig.Config{}, "", program.Usage{Err: errors.New("--device is one of a configuration, expected --config beside it, or neither")}
	case t.Endpoint != "" && t.Profile == "":
		return gatewayconfig.Config{}, "", program.Usage{Err: errors.New("--profile is missing; busbar profile list prints what comes with Busbar")}
	case t.Endpoint != "":
		config, err := gatewayconfig.ForDevice(t.Endpoint, t.Unit, t.Profile, t.Base)
		if err != nil {
			return config, "", program.Usage{Err: err}
		}
		return config, config.Devices[0].ID, nil
	}
	config, err := gatewayconfig.Load(t.Config)
	if err != nil {
		return config, "", err
	}
	var known []string
	for _, d := range config.Devices {
		known = append(known, d.ID)
	}
	if !slices.Contains(known, t.Device) {
		return config, "", program.Usage{Err: fmt.Errorf("there is no device %q in the configuration, only %q", t.Device, known)}
	}
	return config, t.Device, nil
}

type readCommand struct{ target }

func (readCommand) Help() string {
	return `Examples:
  busbar device read --config gateway.yaml --device feeder-1-meter
  busbar device read --endpoint tcp://10.0.0.11 --profile eastron/sdm630
  busbar --gateway 10.0.0.20 device read --device feeder-1-meter`
}

// read has the device read by this program, by the gateway on this machine, or by another.
func (c readCommand) read(ctx context.Context, from *away) ([]gateway.Reading, error) {
	if from.is() {
		if c.Config != "" || c.Endpoint != "" || c.Device == "" {
			return nil, program.Usage{Err: errors.New("which device of the gateway? expected --device, and nothing else that describes it")}
		}
		door, err := from.door(ctx)
		if err != nil {
			return nil, err
		}
		return door.Read(ctx, c.Device)
	}
	config, device, err := c.load()
	if err != nil {
		return nil, err
	}
	return gateway.ReadDevice(ctx, config, filepath.Dir(c.Config), device, c.Logger())
}

func (c readCommand) Run(ctx context.Context, from *away) error {
	readings, err := c.read(ctx, from)
	if err != nil {
		return err
	}
	if err := printReadings(os.Stdout, readings); err != nil {
		return err
	}
	if !slices.ContainsFunc(readings, func(r gateway.Reading) bool { return r.Good }) {
		return program.Silent(program.ExitFailure)
	}
	return nil
}

func printReadings(w io.Writer, readings []gateway.Reading) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range readings {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Signal, r.Value, r.Unit, r.Quality)
	}
	return table.Flush()
}

type watchCommand struct {
	target
	Every configfile.Duration `help:"How often it is read; by default as the configuration says, or every second." placeholder:"DURATION"`
}

func (watchCommand) Help() string {
	return `Examples:
  busbar device watch --config gateway.yaml --device feeder-1-meter
  busbar device watch --endpoint "rtu:///dev/ttyUSB0?baud=9600" --unit 3 --profile abb/b23 --every 5s

A meter that takes one client refuses this one while a gateway reads it.`
}

func (c watchCommand) Run(ctx context.Context) error {
	config, device, err := c.load()
	if err != nil {
		return err
	}
	if c.Every > 0 {
		for i := range config.Devices {
			if d := &config.Devices[i]; !d.ByChange() {
				d.PollEvery = c.Every
			}
		}
	}
	onTerminal := isatty.IsTerminal(os.Stdout.Fd())
	err = gateway.WatchDevice(ctx, config, filepath.Dir(c.Config), device, c.Logger(), func(readings []gateway.Reading) {
		if onTerminal {
			fmt.Print("\x1b[H\x1b[2J") // the cursor to the top, and nothing below it
		}
		fmt.Printf("%s  %s\n", device, time.Now().Format(time.TimeOnly))
		_ = printReadings(os.Stdout, readings)
	})
	return program.UntilStopped(ctx, err)
}
