package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/sim/endpoint"
	"github.com/busbar/busbar/sim/simbench"
)

type modbusCommand struct {
	Product []string `arg:"" help:"What the meters are: a profile as busbar profile list prints it, or a file that ends in .yaml. Of SunSpec models, several."`

	Listen    string `help:"Speak Modbus TCP on this address; 127.0.0.1:5020 if nothing else is said." placeholder:"HOST:PORT" xor:"where"`
	ListenRTU string `name:"listen-rtu" help:"Speak RTU over TCP, as a serial device server does." placeholder:"HOST:PORT" xor:"where"`
	PTY       bool   `name:"pty" help:"Speak RTU on a pseudo terminal, whose path is printed." xor:"where"`
	Serial    string `help:"Speak RTU on this serial port." placeholder:"PATH" xor:"where"`
	Link      string `help:"A symbolic link to the pseudo terminal, which is the same each time." placeholder:"PATH"`

	Baud     int    `help:"Of a line." default:"9600"`
	Parity   string `help:"Of a line: N, E or O." enum:"N,E,O" default:"N"`
	StopBits int    `help:"Of a line: 1 or 2." default:"1"`
	Pace     bool   `help:"Let each character take its time where there is no real line." default:"true" negatable:""`

	Units     string   `help:"The meters' unit identifiers, such as 1-30,33." default:"1" aliases:"unit"`
	Dead      string   `help:"Those of them that never answer." placeholder:"UNITS"`
	Misbehave []string `help:"What they do wrong, see below. May be given again." placeholder:"[UNITS:]HOW" sep:"none"`
	Control   string   `help:"Change that while running, by HTTP on this address of this machine." placeholder:"HOST:PORT"`

	Load       string              `help:"The SimBench load profile that they measure." default:"H0-A"`
	RatedPower configfile.Quantity `help:"The power at which the load profile is 1." default:"20 kW"`
	Speed      float64             `help:"How many seconds of load profile pass in a second." default:"1"`
	Energy     configfile.Quantity `help:"What the energy registers show at the start; near their end, they roll over." default:"0 kW.h"`
	ReadOnly   []string            `help:"Coils and holding registers that can't be written, or all." placeholder:"A-B"`
	Seed       uint64              `help:"Makes the noise, and what comes by chance: the same for the same seed." default:"1"`
}

func (modbusCommand) Help() string {
	var kinds strings.Builder
	table := tabwriter.NewWriter(&kinds, 0, 0, 2, ' ', 0)
	for _, k := range devices.Kinds() {
		what := string(k.Kind)
		if k.Argument != "" {
			what += "=" + k.Argument
		}
		about := k.About
		if k.Default != "" {
			about += " (" + k.Default + ")"
		}
		if k.Where != devices.Anywhere {
			about += "; " + string(k.Where) + " only"
		}
		fmt.Fprintf(table, "  %s\t%s\n", what, about)
	}
	table.Flush()
	return `It answers as the product does: functions 1 to 6, 15, 16, 22 and 43/14, and prints the configuration by which a gateway reads it.

Examples:
  busbar-sim modbus eastron/sdm630 --listen 127.0.0.1:5020
  busbar-sim modbus janitza/b23 --pty --baud 9600 --units 1-32 --dead 7,19
  busbar-sim modbus sunspec/103 --misbehave "late=2s,every=5"
  busbar-sim modbus abb/b23 --units 1-4 --misbehave "2-3:duplicate; garbage,chance=0.1,after=10s,for=1m"

HOW is what is done wrong, with options after it, and several with semicolons between them. Options: every=N, only each n-th request of the unit; chance=P, only some, with this probability; after=D, from then on; for=D, so long. D is a time such as 2s.

` + kinds.String() + `
With --control 127.0.0.1:5021:
  curl 127.0.0.1:5021                                             what was asked, and shown
  curl -X PUT -d "late=2s,every=5" 127.0.0.1:5021/misbehave/3     unit 3; without /3, all of them
  curl -X DELETE 127.0.0.1:5021/misbehave`
}

func (c modbusCommand) Run(ctx context.Context, logging *program.Logging) error {
	config, err := c.config()
	if err != nil {
		return program.Usage{Err: err}
	}
	var control net.Listener
	if c.Control != "" {
		if control, err = endpoint.ListenControl(c.Control); err != nil {
			return program.Usage{Err: fmt.Errorf("--control: %w", err)}
		}
		defer control.Close()
	}
	e, err := endpoint.New(config, logging.Logger())
	if err != nil {
		return err
	}
	if control != nil {
		server := &http.Server{Handler: e.Control(), ReadTimeout: 10 * time.Second}
		go func() { _ = server.Serve(control) }()
	}
	fmt.Printf("%s, unit %s, on %s\n", product(config), c.Units, e.URL())
	if c.Dead != "" {
		fmt.Printf("never answers: unit %s\n", c.Dead)
	}
	fmt.Printf("\nFor gateway.yaml:\n\n%s\n", e.Snippet())
	return program.UntilStopped(ctx, e.Run(ctx))
}

func product(c endpoint.Config) string {
	var names []string
	for _, part := range c.Product.Parts() {
		names = append(names, part.Profile.Product)
	}
	return strings.Join(names, "; ")
}

var (
	watts  = map[string]float64{"W": 1, "kW": 1e3, "MW": 1e6}
	joules = map[string]float64{"W.h": 3.6e3, "kW.h": 3.6e6, "MW.h": 3.6e9}
)

// config is the command line's endpoint; the error says which flag is wrong.
func (c modbusCommand) config() (endpoint.Config, error) {
	out := endpoint.Config{Transport: modbus.TCP, Address: c.Listen, Link: c.Link, Seed: c.Seed}
	switch {
	case c.ListenRTU != "":
		out.Transport, out.Address = modbus.RTUOverTCP, c.ListenRTU
	case c.PTY || c.Serial != "":
		out.Transport, out.Address = modbus.RTU, c.Serial
	case c.Listen == "":
		out.Address = "127.0.0.1:5020"
	}
	if c.Link != "" && !c.PTY {
		return out, errors.New("--link: expected --pty beside it")
	}
	if c.Baud < 300 || c.Baud > 4_000_000 || c.StopBits < 1 || c.StopBits > 2 {
		return out, fmt.Errorf("--baud is %d and --stop-bits %d, expected 300 to 4000000, and 1 or 2", c.Baud, c.StopBits)
	}
	out.Line = devices.LineConfig{Paced: c.Pace && c.Serial == "", Line: modbus.Line{Baud: c.Baud, Parity: modbus.Parity(c.Parity), StopBits: c.StopBits}}
	var err error
	if out.Product, err = devices.LoadProduct(c.Product...); err != nil {
		return out, err
	}
	if out.Units, err = modbus.ParseUnits(c.Units, modbus.FirstOnLine, modbus.LastOnLine); err != nil {
		return out, fmt.Errorf("--units: %w", err)
	}
	if err := c.meter(&out.Meter); err != nil {
		return out, err
	}
	return out, c.misbehaviour(&out)
}

func (c modbusCommand) meter(m *devices.MeterConfig) (err error) {
	if m.Profile, err = simbench.Load(c.Load); err != nil {
		return fmt.Errorf("--load: %w", err)
	}
	watt, ok := watts[c.RatedPower.Unit]
	if m.RatedPower = c.RatedPower.Value * watt; !ok || m.RatedPower <= 0 {
		return fmt.Errorf("--rated-power: %q is no power above 0 in W, kW or MW, like \"20 kW\"", c.RatedPower)
	}
	joule, ok := joules[c.Energy.Unit]
	if m.Energy = c.Energy.Value * joule; !ok || m.Energy < 0 {
		return fmt.Errorf("--energy: %q is no energy in W.h, kW.h or MW.h, like \"4294967 kW.h\"", c.Energy)
	}
	if m.Speed = c.Speed; !(m.Speed > 0 && m.Speed <= 31*24*60) {
		return fmt.Errorf("--speed: %v is not above 0 and up to %d", m.Speed, 31*24*60)
	}
	for _, text := range c.ReadOnly {
		s := devices.Span{Last: 1<<16 - 1}
		if text != "all" {
			if s, err = devices.ParseSpan(text); err != nil {
				return fmt.Errorf("--read-only: %w", err)
			}
		}
		m.ReadOnly = append(m.ReadOnly, s)
	}
	return nil
}

func (c modbusCommand) misbehaviour(out *endpoint.Config) error {
	out.Misbehave = map[byte][]devices.Misbehaviour{}
	add := func(units string, list []devices.Misbehaviour) error {
		which, err := modbus.ParseUnits(units, modbus.FirstOnLine, modbus.LastOnLine)
		if err != nil {
			return err
		}
		for _, unit := range which {
			if !slices.Contains(out.Units, unit) {
				return fmt.Errorf("there is no unit %d, expected one of %s", unit, c.Units)
			}
			out.Misbehave[unit] = append(out.Misbehave[unit], list...)
		}
		return nil
	}
	for _, text := range c.Misbehave {
		units, how, some := strings.Cut(text, ":")
		if !some {
			units, how = c.Units, text
		}
		list, err := endpoint.ParseMisbehaviours(how, out.Transport)
		if err == nil {
			err = add(units, list)
		}
		if err != nil {
			return fmt.Errorf("--misbehave: %w", err)
		}
	}
	if c.Dead == "" {
		return nil
	}
	if err := add(c.Dead, []devices.Misbehaviour{{Kind: devices.Silent}}); err != nil {
		return fmt.Errorf("--dead: %w", err)
	}
	return nil
}
