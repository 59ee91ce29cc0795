package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/adapters/opcua"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
)

type browseCommand struct {
	program.Logging `set:"log_level=warn"`
	Config          string   `help:"The configuration that describes the server." placeholder:"FILE" type:"path" xor:"from"`
	Device          string   `help:"The server's id in it." placeholder:"ID"`
	Endpoint        string   `help:"Without a configuration: where the server is, such as opc.tcp://10.0.0.30:4840." placeholder:"URL" xor:"from"`
	Policy          string   `help:"How what is sent to that is protected: Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss or None." default:"Basic256Sha256"`
	Trust           []string `help:"Its certificate, or whom that comes from." placeholder:"FILE" type:"path"`
	Keys            string   `help:"The directory of this machine's own certificate, and of those trusted and refused; by default busbar/opcua where programs of this user keep their settings." placeholder:"DIR" type:"path"`
	Username        string   `help:"Whom to log in as." placeholder:"NAME"`
	PasswordFile    string   `help:"The file with that user's password." placeholder:"FILE" type:"path"`
	Insecure        bool     `help:"Accept the policy None with a server on another machine."`
	From            string   `help:"The node whose inside is shown." default:"i=85" placeholder:"NODE"`
	Match           string   `help:"Show only what matches, and what leads there: names with dots between, in which * stands for any part of a name and ** for any number of names." placeholder:"PATTERN"`
	Propose         bool     `help:"Print the signals for a configuration instead."`
}

func (browseCommand) Help() string {
	return `It shows the server's objects and variables as a tree, each with its node id, type,
value and unit, and whether its history can be read and it can be written. It only
reads. A server that isn't trusted yet is refused, and its certificate kept where the
message says: when it is the right one, move it to the directory trusted beside that.

Examples:
  busbar device browse --endpoint opc.tcp://10.0.0.30:4840
  busbar device browse --config gateway.yaml --device transformer-monitor
  busbar device browse --config gateway.yaml --device transformer-monitor --from "nsu=urn:example;s=Plant"
  busbar device browse --config gateway.yaml --device transformer-monitor --match "**.Temp*" --propose

What --propose prints belongs under signals: of the device. To read all of that, and
what the server comes to have, without writing it down, use follow: instead.`
}

// server is what is browsed.
func (c browseCommand) server() (opcua.Device, error) {
	usage := func(text string) (opcua.Device, error) { return opcua.Device{}, program.Usage{Err: errors.New(text)} }
	switch {
	case c.Config == "" && c.Endpoint == "":
		return usage("which server? expected --config and --device, or --endpoint")
	case c.Endpoint != "" && c.Device != "":
		return usage("--device is one of a configuration, expected --config beside it, or neither")
	case c.Endpoint != "":
		if c.Keys == "" {
			dir, err := os.UserConfigDir()
			if err != nil {
				return opcua.Device{}, fmt.Errorf("where is this machine's certificate? expected --keys: %w", err)
			}
			c.Keys = filepath.Join(dir, "busbar", "opcua")
		}
		d := opcua.Device{ID: "server", Keep: c.Keys, Timeout: 10 * time.Second, Server: opcuaconn.Config{
			Endpoint: c.Endpoint, Security: opcuaconn.Security{Policy: opcuaconn.Policy(c.Policy)}, Username: c.Username,
			PasswordFile: configfile.Path(c.PasswordFile), Insecure: c.Insecure,
		}}
		for _, file := range c.Trust {
			d.Server.Trust = append(d.Server.Trust, configfile.Path(file))
		}
		return d, nil
	}
	config, err := gatewayconfig.Load(c.Config)
	if err != nil {
		return opcua.Device{}, err
	}
	var known []string
	for _, d := range config.Devices {
		if d.OPCUA == nil {
			continue
		}
		if d.ID == c.Device {
			dir := filepath.Dir(c.Config)
			return d.OPCUADevice(dir, config.OPCUAKeys(dir)), nil
		}
		known = append(known, d.ID)
	}
	return usage(fmt.Sprintf("there is no OPC UA server %q in the configuration, only %q", c.Device, known))
}

func (c browseCommand) Run(ctx context.Context) error {
	d, err := c.server()
	if err != nil {
		return err
	}
	from, err := opcua.ParseNode(c.From)
	if err != nil {
		return program.Usage{Err: fmt.Errorf("--from: %w", err)}
	}
	if c.Match != "" {
		if err := opcua.CheckPattern(c.Match); err != nil {
			return program.Usage{Err: fmt.Errorf("--match: %w", err)}
		}
	}
	list, whole, err := opcua.List(ctx, d, from, opcua.Pattern(c.Match))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Fprintln(os.Stderr, "busbar: the server has nothing there that matches")
		return program.Silent(program.ExitFailure)
	}
	if !whole {
		fmt.Fprintln(os.Stderr, "busbar: the server has more than is shown; --from shows a part of it")
	}
	if c.Propose {
		return proposeSignals(os.Stdout, list)
	}
	return printTree(os.Stdout, list)
}

func printTree(w io.Writer, list []opcua.Listed) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, n := range list {
		name := strings.Repeat("  ", n.Depth-1) + shown(n.Name)
		if n.Class != "variable" {
			fmt.Fprintf(table, "%s\t%s\t%s\n", name, shown(n.Node.String()), n.Class)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", name, shown(n.Node.String()), shown(n.Type), valueOf(n), n.Unit, strings.Join(abilities(n), ", "))
	}
	return table.Flush()
}

// shown is a text of a server as one line that a terminal takes.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// mostShown is how many members of a value are shown.
const mostShown = 8

func valueOf(n opcua.Listed) string {
	if n.Quality.Validity() == telemetry.Bad {
		return n.Quality.String()
	}
	var parts []string
	for i, p := range n.Parts {
		if i == mostShown {
			parts = append(parts, fmt.Sprintf("… (%d)", len(n.Parts)))
			break
		}
		text := shown((telemetry.Signal{States: p.States}).Show(p.Value))
		if p.Element != "" && !strings.HasPrefix(string(p.Element), "[") {
			text = shown(string(p.Element)) + "=" + text
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, " ")
	if n.Quality.Validity() != telemetry.Good {
		text += " " + n.Quality.String()
	}
	return text
}

func abilities(n opcua.Listed) (list []string) {
	if !n.Readable {
		list = append(list, "can't be read")
	}
	if n.Writable {
		list = append(list, "writable")
	}
	if n.Historizing {
		list = append(list, "history")
	}
	return list
}

// proposeSignals prints the signals of a configuration.
func proposeSignals(w io.Writer, list []opcua.Listed) error {
	var out strings.Builder
	out.WriteString("signals:\n")
	used := map[string]bool{}
	for _, n := range list {
		if n.Class != "variable" || !n.Readable {
			continue
		}
		for _, p := range n.Parts {
			name := p.Signal
			for i := 2; used[name]; i++ {
				name = fmt.Sprintf("%s_%d", p.Signal, i)
			}
			used[name] = true
			fmt.Fprintf(&out, "  - {name: %s, node: %s", name, quoted(n.Node.String()))
			if p.Element != "" {
				fmt.Fprintf(&out, ", element: %s", quoted(string(p.Element)))
			}
			switch p.Value.Kind() {
			case telemetry.Bool:
				out.WriteString(", type: bool")
			case telemetry.Text:
				out.WriteString(", type: string")
			}
			switch {
			case len(p.States) > 0:
				var states []string
				for _, value := range slices.Sorted(maps.Keys(p.States)) {
					states = append(states, fmt.Sprintf("%d: %s", value, quoted(p.States[value])))
				}
				fmt.Fprintf(&out, ", states: {%s}", strings.Join(states, ", "))
			case p.Kind == telemetry.Gauge:
				unit := n.Unit
				if unit == "" {
					unit = "1"
				}
				fmt.Fprintf(&out, ", unit: %s", quoted(unit))
			case p.Value.Kind() != telemetry.Bool && p.Value.Kind() != telemetry.Text:
				fmt.Fprintf(&out, ", kind: %s", p.Kind)
			}
			out.WriteString("}\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// quoted is a text as YAML has it between quotation marks.
func quoted(text string) string { return strconv.Quote(text) }
