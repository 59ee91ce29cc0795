package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gateway/discovery"
	"github.com/busbar/busbar/gatewayconfig"
)

type scanCommand struct {
	Endpoint string              `arg:"" help:"Where to look: tcp://10.0.0.11, rtu:///dev/ttyUSB0?baud=9600&parity=N, rtu+tcp://10.0.0.12:4001, or a network such as tcp://10.0.0.0/24." placeholder:"URL"`
	Units    string              `help:"The unit identifiers to ask, such as 1-20,33. By default all of a line, 1-247; over TCP, 1, 0 and 255 are asked first, and by default nothing else." placeholder:"LIST"`
	Timeout  configfile.Duration `help:"How long a connection or an answer may take." default:"500ms"`
	Pause    configfile.Duration `help:"How long nothing is asked after an answer." default:"10ms"`
	Lines    bool                `help:"Of a serial port, try the usual speeds and parities until something answers."`
	Config   string              `help:"A configuration: what is in it isn't proposed again, and the gateway that it is for does the asking if it is running and reads from the same endpoint." placeholder:"FILE" type:"path"`
	AtOnce   int                 `help:"Of a network, how many addresses are asked at once." default:"32"`
	Large    bool                `help:"Scan a network of more than 4,096 addresses all the same."`
	JSON     bool                `name:"json" help:"Print what was found as JSON."`
	Output   string              `help:"Write the proposed configuration to this file, which must not exist yet." placeholder:"FILE" type:"path"`
}

func (scanCommand) Help() string {
	return `It only reads. Every unit is asked for one register; of those that answer, be it
with an exception, it finds out what they are: by what they say of themselves
(functions 43 and 17), by SunSpec's models, and by whether their registers hold what
a profile expects. What it then prints belongs under devices: in gateway.yaml. A
guess is marked as one.

Examples:
  busbar device scan tcp://10.0.0.11
  busbar device scan "rtu:///dev/ttyUSB0?baud=9600&parity=N" --units 1-20
  busbar device scan rtu:///dev/ttyUSB0 --lines
  busbar device scan tcp://10.0.0.0/24 --output found.yaml
  busbar device scan tcp://10.0.0.11 --config /etc/busbar/gateway.yaml
  busbar --gateway 10.0.0.20 device scan "rtu:///dev/ttyUSB0?baud=9600" --units 1-20

A running gateway that reads from the endpoint does the asking, between its polls. It
is found by status.listen of --config, or where that is by default. A gateway on
another machine is asked with --gateway, for an endpoint that it reads from. It isn't found that an endpoint is the same under another name: a
meter that takes one client may then break off the other one. Stopped by Ctrl-C, it
prints what it has found so far. The exit code is 1 if nothing answered.`
}

// largeNetwork is how many addresses are asked only if somebody insists, a /20.
const largeNetwork = 4096

func (c scanCommand) Run(ctx context.Context, from *away) error {
	if from.is() && c.Config != "" {
		return program.Usage{Err: errors.New("--config is for a gateway on this machine, expected either that or --gateway")}
	}
	var config gatewayconfig.Config
	if c.Config != "" {
		var err error
		if config, err = gatewayconfig.Load(c.Config); err != nil {
			return err
		}
	}
	output, err := c.create()
	if err != nil {
		return err
	}
	found, failed := c.scan(ctx, config, from)
	units := 0
	for _, e := range found {
		units += len(e.Units)
	}
	if failed != nil && units == 0 {
		return errors.Join(failed, output.discard())
	}
	var taken []string
	for _, d := range config.Devices {
		taken = append(taken, d.ID)
	}
	proposal := discovery.Proposal(found, taken, time.Now())
	if err := c.show(output, found, proposal); err != nil {
		return errors.Join(failed, err)
	}
	if failed != nil {
		return failed
	}
	if units == 0 {
		fmt.Fprintln(os.Stderr, "busbar: nothing answered"+c.advice())
		return program.Silent(program.ExitFailure)
	}
	return nil
}

// advice is what else to try where nothing answered.
func (c scanCommand) advice() string {
	switch {
	case strings.HasPrefix(c.Endpoint, string(modbus.RTU)+":") && !c.Lines:
		return "; --lines tries other speeds and parities"
	case strings.HasPrefix(c.Endpoint, string(modbus.TCP)+":") && c.Units == "":
		return "; behind a gateway to a line, --units 1-247 asks all of its units"
	}
	return ""
}

func (c scanCommand) scan(ctx context.Context, config gatewayconfig.Config, from *away) ([]discovery.Endpoint, error) {
	show := newScanProgress()
	defer show.end()
	request := discovery.Request{Endpoint: c.Endpoint, Units: c.Units, Timeout: c.Timeout, Pause: c.Pause}
	network, is, err := discovery.ParseNetwork(c.Endpoint)
	switch {
	case err != nil:
		return nil, program.Usage{Err: err}
	case is && c.Lines, c.Lines && !strings.HasPrefix(c.Endpoint, string(modbus.RTU)+":"), c.Lines && strings.Contains(c.Endpoint, "?"):
		return nil, program.Usage{Err: errors.New("--lines tries the settings of a serial port, expected one without any, such as rtu:///dev/ttyUSB0")}
	case is && from.is():
		return nil, program.Usage{Err: errors.New("a gateway scans what it reads from, expected an endpoint of one of its devices")}
	case is:
		return c.scanNetwork(ctx, config, network, request, show)
	}
	endpoints := []string{c.Endpoint}
	if c.Lines {
		endpoints = discovery.Lines(c.Endpoint)
	}
	var found []discovery.Endpoint
	for _, endpoint := range endpoints {
		request.Endpoint = endpoint
		if _, _, err := request.Parse(); err != nil {
			return nil, program.Usage{Err: err}
		}
		e, err := c.scanOne(ctx, config, from, request, func(p discovery.Progress) { show.unit(endpoint, p) })
		if len(endpoints) == 1 || len(e.Units) > 0 || len(e.Unclear) > 0 {
			found = append(found, e)
		}
		if err != nil || len(e.Units) > 0 {
			return found, err
		}
	}
	return found, nil
}

func (c scanCommand) scanOne(ctx context.Context, config gatewayconfig.Config, from *away, r discovery.Request, show func(discovery.Progress)) (discovery.Endpoint, error) {
	if !from.is() {
		return gateway.Scan(ctx, config, filepath.Dir(c.Config), r, show)
	}
	door, err := from.door(ctx)
	if err != nil {
		return discovery.Endpoint{}, err
	}
	return door.Scan(ctx, r, show)
}

func (c scanCommand) scanNetwork(ctx context.Context, config gatewayconfig.Config, n discovery.Network, r discovery.Request, show *scanProgress) ([]discovery.Endpoint, error) {
	r.Endpoint = "tcp://" + n.Prefix.Addr().String()
	if n.Prefix.Addr().Is6() {
		r.Endpoint = "tcp://[" + n.Prefix.Addr().String() + "]"
	}
	if _, _, err := r.Parse(); err != nil {
		return nil, program.Usage{Err: err}
	}
	switch {
	case n.Hosts() > largeNetwork && !c.Large:
		return nil, program.Usage{Err: fmt.Errorf("%s has %d addresses, more than %d; --large scans them all the same", n.Prefix, n.Hosts(), largeNetwork)}
	case c.AtOnce < 1 || c.AtOnce > 256:
		return nil, program.Usage{Err: fmt.Errorf("--at-once %d, expected 1 to 256", c.AtOnce)}
	}
	return gateway.ScanNetwork(ctx, config, filepath.Dir(c.Config), n, r, c.AtOnce, show.address)
}

// output is the file for the proposal, nil if there is to be none.
type output struct{ *os.File }

// create makes the file before anything is asked, so that a scan isn't in vain.
func (c scanCommand) create() (*output, error) {
	if c.Output == "" {
		return nil, nil
	}
	f, err := os.OpenFile(c.Output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, program.Usage{Err: fmt.Errorf("%s exists already, expected a new file", c.Output)}
	}
	if err != nil {
		return nil, err
	}
	return &output{f}, nil
}

func (o *output) discard() error {
	if o == nil {
		return nil
	}
	return errors.Join(o.Close(), os.Remove(o.Name()))
}

// show prints what was found, and writes the proposal.
func (c scanCommand) show(o *output, found []discovery.Endpoint, proposal string) error {
	if o != nil {
		_, err := io.WriteString(o, proposal)
		if err := errors.Join(err, o.Close()); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "The proposed devices are in %s.\n", c.Output)
	}
	switch {
	case c.JSON:
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(found)
	case o == nil:
		_, err := io.WriteString(os.Stdout, proposal)
		return err
	}
	return nil
}

// scanProgress tells on standard error how far a scan is: on a terminal in a line of
// its own that changes, and everywhere what was found.
type scanProgress struct {
	terminal bool
	began    time.Time
	found    int
}

func newScanProgress() *scanProgress {
	return &scanProgress{terminal: isatty.IsTerminal(os.Stderr.Fd()), began: time.Now()}
}

const clearLine = "\r\x1b[K"

func (s *scanProgress) line(asked, of uint64, text string) {
	if !s.terminal {
		return
	}
	left := ""
	if asked > 0 && asked < of {
		rest := time.Duration(float64(time.Since(s.began)) / float64(asked) * float64(of-asked))
		left = fmt.Sprintf(", about %v left", rest.Round(time.Second))
	}
	fmt.Fprintf(os.Stderr, "%s%s: %d of %d, %d found%s", clearLine, text, asked, of, s.found, left)
}

func (s *scanProgress) tell(format string, args ...any) {
	if s.terminal {
		fmt.Fprint(os.Stderr, clearLine)
	}
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (s *scanProgress) unit(endpoint string, p discovery.Progress) {
	if p.Asked == 0 {
		return
	}
	if p.Asked == 1 {
		s.began = time.Now()
	}
	if p.Found != nil {
		s.found++
		s.tell("%s", p.Found)
	}
	s.line(uint64(p.Asked), uint64(p.Of), fmt.Sprintf("%s, unit %d", endpoint, p.Unit))
}

func (s *scanProgress) address(p gateway.NetworkProgress) {
	if p.Found != nil && len(p.Found.Units) > 0 {
		s.found++
		s.tell("%s: %s", p.Found.Endpoint, p.Found.Units[0])
	}
	s.line(p.Asked, p.Of, "addresses")
}

func (s *scanProgress) end() {
	if s.terminal {
		fmt.Fprint(os.Stderr, clearLine)
	}
}
