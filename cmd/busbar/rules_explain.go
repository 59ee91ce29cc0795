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
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

type rulesExplainCommand struct {
	Config string `help:"The configuration of the gateway, which runs on this machine." placeholder:"FILE" type:"path"`
	Rule   string `help:"Only this rule." placeholder:"NAME"`
	Asset  string `help:"Only alarms of this asset and of its devices." placeholder:"ID"`
	Device string `help:"Only alarms that are about this device, or whose rule reads a signal of it." placeholder:"ID"`
	JSON   bool   `help:"One JSON document instead of text." name:"json"`
}

func (rulesExplainCommand) Help() string {
	return `Says of each alarm whether it is active, waits or is suppressed, since when, what each part of its condition is, and the
last value of each signal, with why it doesn't count if it doesn't. The exit code is 1 if no rule fits.

Examples:
  busbar rules explain --config gateway.yaml
  busbar rules explain --config gateway.yaml --rule voltage-interruption --asset feeder-1
  busbar rules explain --config gateway.yaml --device feeder-1-meter
  busbar --gateway 10.0.0.20 rules explain`
}

// explain asks the gateway of the configuration, or the one on another machine.
func (c rulesExplainCommand) explain(ctx context.Context, from *away) ([]rules.Explanation, error) {
	q := rules.Question{Rule: c.Rule, Asset: c.Asset, Device: c.Device}
	if (c.Config != "") == from.is() {
		return nil, program.Usage{Err: errors.New("which gateway? expected --config of one on this machine, or --gateway")}
	}
	if from.is() {
		door, err := from.door(ctx)
		if err != nil {
			return nil, err
		}
		return door.Explain(ctx, q)
	}
	config, err := gatewayconfig.Load(c.Config)
	if err != nil {
		return nil, err
	}
	return gateway.ExplainRules(ctx, config, filepath.Dir(c.Config), q)
}

func (c rulesExplainCommand) Run(ctx context.Context, from *away) error {
	list, err := c.explain(ctx, from)
	if err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		err = out.Encode(list)
	} else {
		for n, x := range list {
			if n > 0 {
				fmt.Println()
			}
			if err = printExplanation(os.Stdout, x); err != nil {
				break
			}
		}
	}
	if err == nil && len(list) == 0 {
		fmt.Fprintln(os.Stderr, "busbar: the gateway that is running has no such rule")
		return program.Silent(program.ExitFailure)
	}
	return err
}

func printExplanation(w io.Writer, x rules.Explanation) error {
	fmt.Fprintf(w, "%s: %s\n", alarmAt(x.Rule, x.Asset, x.Device), stateOf(x))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, condition := range []struct {
		key string
		is  *rules.Part
	}{{"when", x.When}, {"clear_when", x.ClearWhen}, {"suppressed_when", x.SuppressedWhen}} {
		if condition.is != nil {
			printPart(table, condition.key+": ", condition.is, 1)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, s := range x.Signals {
		age := ""
		if s.Time != 0 {
			age = x.At.Sub(s.Time).Round(time.Millisecond).String() + " old"
		}
		ignored := ""
		if s.Ignored != "" {
			ignored = "doesn't count: " + s.Ignored
		}
		fmt.Fprintf(table, "  %s of %s\t%s\t%s\t%s\t%s\n", s.Name, s.Device, s.Value, s.Quality, age, ignored)
	}
	return table.Flush()
}

func printPart(w io.Writer, key string, p *rules.Part, depth int) {
	fmt.Fprintf(w, "%s%s%s\t%s\n", strings.Repeat("  ", depth), key, p.Text, p.Value)
	for _, part := range p.Parts {
		printPart(w, "", part, depth+1)
	}
}

// alarmAt names an alarm by its rule and by what it is about.
func alarmAt(rule, asset, device string) string {
	if device != "" {
		return rule + " at device " + device
	}
	return rule + " at asset " + asset
}

// stateOf says what becomes of an alarm.
func stateOf(x rules.Explanation) string {
	text := string(x.State)
	if x.Since != 0 {
		text += " since " + precise(x.Since)
	}
	if x.ID != "" {
		text += ", alarm " + x.ID
	}
	if x.AcknowledgedBy != "" {
		text += ", acknowledged by " + x.AcknowledgedBy
	}
	if x.Clearing {
		text += ", its condition to clear holds"
	}
	if x.State == rules.Waiting || x.Clearing {
		text += fmt.Sprintf(", %s of %s", lasting(x.Counted), lasting(x.Needed))
	}
	if x.Interrupted {
		text += ", which stands still while the condition is unknown"
	}
	if x.Latched {
		text += ", latched until somebody resets it"
	}
	if len(x.SuppressedBy) > 0 {
		text += ", suppressed by " + strings.Join(x.SuppressedBy, " and ")
	}
	return text
}

// precise is an instant with its milliseconds.
func precise(m telemetry.Micros) string { return m.Time().Format("2006-01-02T15:04:05.000Z") }

func lasting(m telemetry.Micros) configfile.Duration { return configfile.Duration(m.Sub(0)) }
