package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/live/control"
	"github.com/busbar/busbar/sim/scenario"
)

type liveCommand struct {
	Scenario string        `arg:"" help:"The scenario: a file whose name ends in .yaml, or the name of one that comes with Busbar." placeholder:"FILE|NAME"`
	Seed     *uint64       `help:"Draw at random by this seed, instead of the scenario's."`
	Speed    float64       `help:"How fast time passes: 1 is real time, 0 begins with a pause, and 43200 is a month a minute." default:"1" placeholder:"N"`
	Start    string        `help:"When the scenario begins, instead of what it says: now, or a time such as 2026-03-01T06:00:00Z." placeholder:"now|TIME"`
	Lasts    time.Duration `help:"How long it lasts, instead of what it says, in its own time: 24h." placeholder:"TIME"`
	Listen   string        `help:"Where the page and the control are, on this machine alone." default:"127.0.0.1:5080" placeholder:"HOST:PORT"`
	written
	fieldFlags
}

func (liveCommand) Help() string {
	return `Plays a scenario against the clock and shows it on a page, on which faults can be caused, repaired and switched away by hand; fault, repair, switch, cut-off, speed and status do the same from another terminal. Truth and evidence are written as they come; without anything done by hand they are those of scenario run. It ends with the scenario, or by SIGINT, SIGTERM or SIGHUP. docs/simulation.md describes the page and its control.

With --devices, meters and bays stand on the grid and speak with what it has; docs/simulation-devices.md describes them.

Examples:
  busbar-sim live service --lasts 24h --speed 60
  busbar-sim live storm --speed 600 --truth truth.jsonl --evidence evidence.jsonl
  busbar-sim live service --devices 127.0.0.1:15020 --iec104 127.0.0.1:2404 --opcua 127.0.0.1:4840 --gateway-config gateway.yaml
  busbar-sim live my.yaml --start now --truth kafka: --kafka 127.0.0.1:9092`
}

func (c liveCommand) open() (*scenario.Scenario, error) {
	s, err := scenario.Open(c.Scenario, c.Seed)
	if err != nil {
		return nil, err
	}
	s.Expect = nil // of a scenario without anybody who acts
	return s, c.change(s)
}

// change is what else holds than what the scenario says.
func (c liveCommand) change(s *scenario.Scenario) error {
	if c.Lasts != 0 {
		if c.Lasts < 0 || c.Lasts > scenario.Longest {
			return program.Usage{Err: fmt.Errorf("--lasts %v, expected more than 0 and up to %v", c.Lasts, scenario.Longest)}
		}
		s.Lasts = configfile.Duration(c.Lasts)
	}
	switch c.Start {
	case "":
	case "now":
		s.Start = grid.Time(time.Now().UnixMicro())
	default:
		t, err := time.Parse(time.RFC3339, c.Start)
		if err != nil {
			return program.Usage{Err: fmt.Errorf("--start %q, expected now or a time such as 2026-03-01T06:00:00Z", c.Start)}
		}
		s.Start = grid.Time(t.UnixMicro())
	}
	return nil
}

func (c liveCommand) Run(ctx context.Context, logging *program.Logging) (err error) {
	s, err := c.open()
	if err != nil {
		return err
	}
	port, err := control.Listen(c.Listen)
	if err != nil {
		return program.Usage{Err: fmt.Errorf("--listen: %w", err)}
	}
	defer port.Close()
	c.direct = true
	var files outputs
	defer func() { err = errors.Join(err, files.close()) }()
	sinks, err := c.written.open(ctx, s, &files)
	if err != nil {
		return err
	}
	grid, err := live.New(s, sinks)
	if err != nil {
		return err
	}
	say := os.Stdout
	if c.toStdout() {
		say = os.Stderr
	}
	fmt.Fprintf(say, "%s, %d service points, from %s for %v\nhttp://%s/\n", s.Name(), grid.Snapshot().Points(), control.Time(grid.Start()), s.Lasts, port.Addr())
	devices, err := c.fieldFlags.open(s, grid, say, logging.Logger())
	if err != nil {
		return errors.Join(err, grid.Stop())
	}
	serving, stop := context.WithCancel(ctx)
	var served sync.WaitGroup
	var trouble, silence error
	served.Go(func() { trouble = control.Serve(serving, port, grid) })
	served.Go(func() {
		if silence = devices.Run(serving); silence != nil {
			stop() // a grid whose devices are silent would mislead
		}
	})
	err = grid.Run(serving, c.Speed)
	stop()
	served.Wait()
	if stopped := grid.Stop(); err == nil { // or it is the same trouble
		err = stopped
	}
	err = errors.Join(err, trouble, silence, c.fieldFlags.writeAnswers(devices))
	result := grid.Result()
	fmt.Fprintf(say, "%s: %d faults, %d outages of 3 minutes or more, %d momentary ones, %.1f customer-minutes, %d pieces of evidence\n",
		control.Time(grid.Now()), result.Faults, result.Sustained, result.Momentary, result.CustomerMinutes, result.Evidence)
	return err
}

// playing is the grid that busbar-sim live plays.
type playing struct {
	At string `help:"Where it is: its --listen." default:"127.0.0.1:5080" placeholder:"HOST:PORT"`
}

func (p playing) client() control.Client { return control.Client{Address: p.At} }

// refusal is a usage error if what was asked for can't be.
func refusal(err error) error {
	var no control.Refused
	if errors.As(err, &no) {
		return program.Usage{Err: err}
	}
	return err
}

type faultCommand struct {
	Asset  string        `arg:"" help:"A line, a transformer, a node or a service point; or a feeder or a switch, which means the first line behind it." placeholder:"ASSET"`
	ID     string        `help:"What the fault is called. hand-1 and so on by default." placeholder:"NAME"`
	Kind   string        `help:"permanent, temporary or broken, which is an open conductor without a short circuit." enum:"permanent,temporary,broken" default:"permanent" placeholder:"KIND"`
	Phases string        `help:"The phases, such as A or BC. All by default." placeholder:"PHASES"`
	Clears time.Duration `help:"How long a temporary one must be without voltage to be gone. 1s by default." placeholder:"TIME"`
	playing
}

func (faultCommand) Help() string {
	return `Examples:
  busbar-sim fault F3
  busbar-sim fault lateral --kind temporary --phases A
  busbar-sim fault mill-cable --kind broken --id cable`
}

func (c faultCommand) Run(ctx context.Context) error {
	f, err := c.client().Fault(ctx, control.FaultRequest{Asset: c.Asset, ID: c.ID, Kind: c.Kind, Phases: c.Phases, Clears: c.Clears.Seconds()})
	if err != nil {
		return refusal(err)
	}
	fmt.Println(describe(f))
	return nil
}

func describe(f control.Fault) string {
	state := f.Kind
	if !f.Active {
		state = "gone"
	}
	text := fmt.Sprintf("%s: %s, %s", f.ID, f.Asset, state)
	if f.Phases != "" && f.Phases != "ABC" {
		text += ", " + f.Phases
	}
	if len(f.Opened) > 0 {
		text += "; open for it: " + strings.Join(f.Opened, ", ")
	}
	return text
}

type repairCommand struct {
	Fault string `arg:"" help:"A fault, or what it is at." placeholder:"FAULT|ASSET"`
	Close bool   `help:"Close again what protection has opened for it, and replace fuses."`
	playing
}

func (repairCommand) Help() string {
	return `Examples:
  busbar-sim repair hand-1
  busbar-sim repair F3 --close`
}

func (c repairCommand) Run(ctx context.Context) error {
	done, err := c.client().Repair(ctx, control.RepairRequest{Fault: c.Fault, Close: c.Close})
	for _, f := range done {
		fmt.Println(describe(f))
	}
	return refusal(err)
}

type switchCommand struct {
	To     string `arg:"" enum:"open,close" help:"open or close." placeholder:"open|close"`
	ID     string `arg:"" help:"A switch or line, or a service point, which is disconnected or connected." placeholder:"ID"`
	Phases string `help:"The phases. All by default." placeholder:"PHASES"`
	playing
}

func (switchCommand) Help() string {
	return `Examples:
  busbar-sim switch open north-switch
  busbar-sim switch close tie`
}

func (c switchCommand) Run(ctx context.Context) error {
	to := map[string]string{"open": "open", "close": "closed"}[c.To]
	s, err := c.client().Switch(ctx, control.SwitchRequest{ID: c.ID, To: to, Phases: c.Phases})
	if err != nil {
		return refusal(err)
	}
	fmt.Printf("%s %s; %d of %d service points are out\n", c.ID, to, s.Out, s.Points)
	return nil
}

type cutOffCommand struct {
	Gateway string        `arg:"" help:"A gateway, which is called gw- and its transformer, or a feeder with all of its gateways." placeholder:"GATEWAY|FEEDER"`
	For     time.Duration `help:"How long, in the grid's time." default:"10m" placeholder:"TIME"`
	playing
}

func (cutOffCommand) Help() string {
	return `Examples:
  busbar-sim cut-off gw-mill --for 30m`
}

func (c cutOffCommand) Run(ctx context.Context) error {
	gateways, err := c.client().CutOff(ctx, control.CutOffRequest{Gateway: c.Gateway, For: c.For.Seconds()})
	if err != nil {
		return refusal(err)
	}
	fmt.Printf("without connection for %v: %s\n", c.For, strings.Join(gateways, ", "))
	return nil
}

type speedCommand struct {
	Speed float64 `arg:"" help:"1 is real time, 0 a pause, 43200 a month a minute." placeholder:"N"`
	playing
}

func (c speedCommand) Run(ctx context.Context) error {
	s, err := c.client().Speed(ctx, c.Speed)
	if err != nil {
		return refusal(err)
	}
	fmt.Printf("%s, speed %v\n", control.Time(s.Now), s.Speed)
	return nil
}

type statusCommand struct {
	Watch bool `help:"Show it again each second, until interrupted."`
	playing
}

func (c statusCommand) Run(ctx context.Context) error {
	for {
		s, err := c.client().Status(ctx)
		if err != nil {
			return program.UntilStopped(ctx, err)
		}
		text := statusText(s)
		if c.Watch {
			text = "\x1b[H\x1b[2J" + text
		}
		fmt.Print(text)
		if !c.Watch {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func statusText(s control.Status) string {
	var b strings.Builder
	pace := fmt.Sprintf("speed %v", s.Speed)
	if s.Over {
		pace = "over"
	} else if s.Behind > 0 {
		pace += ", slower than asked for"
	}
	fmt.Fprintf(&b, "%s  %s UTC  %s\n%d of %d service points are out, with %d customers\n", s.Scenario, control.Time(s.Now), pace, s.Out, s.Points, s.Customers)
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "fault   %s\n", describe(f))
	}
	for i, o := range s.Open {
		if i == 20 {
			fmt.Fprintf(&b, "and %d more\n", len(s.Open)-i)
			break
		}
		why := ""
		if o.LockedOut {
			why = ", locked out"
		} else if o.Tripped {
			why = ", tripped"
		}
		fmt.Fprintf(&b, "%-7s %s (%s)%s\n", o.Position, o.ID, o.Kind, why)
	}
	return b.String()
}
