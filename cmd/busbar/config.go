package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/gatewayconfig"
)

type configCommand struct {
	Validate validateCommand `cmd:"" help:"Check a gateway's configuration. Every error is printed with its file, line and column, and the exit code is 2."`
	Plan     planCommand     `cmd:"" help:"Show what a configuration asks of buses, disk and link, and what it changes."`
	Apply    applyCommand    `cmd:"" help:"Have the running gateway change to another configuration, which it takes back by itself if data stops."`
	Show     showCommand     `cmd:"" help:"Print the configuration that a gateway on another machine runs with."`
	Schema   schemaCommand   `cmd:"" help:"Print the JSON Schema of gateway.yaml, for editors that complete and check while you type."`
}

type validateCommand struct {
	File string `arg:"" help:"The configuration, gateway.yaml."`
}

func (c validateCommand) Run() error {
	config, err := gatewayconfig.Load(c.File)
	if err != nil {
		return err
	}
	signals := 0
	for _, d := range config.Devices {
		signals += len(d.Signals)
	}
	fmt.Printf("%s is valid: gateway %s, %d devices, %d signals, %d rules\n",
		c.File, config.Gateway.ID, len(config.Devices), signals, len(config.Rules))
	return nil
}

type planCommand struct {
	File string `arg:"" help:"The configuration, gateway.yaml."`
	From string `help:"The one that it replaces." placeholder:"FILE" type:"existingfile"`
}

func (planCommand) Help() string {
	return `Example:
  busbar config plan --from /etc/busbar/gateway.yaml gateway.yaml`
}

func (c planCommand) Run() error {
	config, err := gatewayconfig.Load(c.File)
	if err != nil {
		return err
	}
	if c.From == "" {
		return printDemand(os.Stdout, config, nil)
	}
	from, err := gatewayconfig.Load(c.From)
	if err != nil {
		return err
	}
	return printPlan(os.Stdout, config.Changes(from), config, &from)
}

// printPlan says what changes, how, and what it asks for then.
func printPlan(w io.Writer, changes []gatewayconfig.Change, config gatewayconfig.Config, from *gatewayconfig.Config) error {
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing changes")
	}
	restarts := len(gatewayconfig.Restarts(changes))
	print := func(heading string, changes []gatewayconfig.Change) {
		if len(changes) == 0 {
			return
		}
		fmt.Fprintln(w, heading)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, change := range changes {
			fmt.Fprintf(table, "  %s\t%s\n", change.What, change.How())
		}
		_ = table.Flush()
	}
	print("with a restart of the gateway only:", changes[:restarts])
	print("while the gateway runs:", changes[restarts:])
	fmt.Fprintln(w)
	return printDemand(w, config, from)
}

// printDemand says what a configuration asks for, and the one before, if there is
// one.
func printDemand(w io.Writer, config gatewayconfig.Config, from *gatewayconfig.Config) error {
	demand := config.Demand()
	var before gatewayconfig.Demand
	if from != nil {
		before = from.Demand()
	}
	was := func(now, then, unit string) string {
		if from == nil || now == then {
			return now + unit
		}
		return now + unit + " (was " + then + ")"
	}
	number := func(x float64) string { return fmt.Sprintf("%.4g", x) }
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, b := range demand.Buses {
		old := busOf(before, b.Endpoint)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", b.Endpoint, was(strconv.Itoa(b.Devices), strconv.Itoa(old.Devices), " devices"),
			was(number(b.Requests), number(old.Requests), " requests/s"), was(number(b.Registers), number(old.Registers), " registers/s"), was(busy(b), busy(old), ""))
		if b.Busy > fullBus {
			fmt.Fprintf(table, "\tthis line is too slow for that: expected at most %.0f %%, since devices take their time to answer\n", 100*fullBus)
		}
	}
	for _, old := range before.Buses {
		if busOf(demand, old.Endpoint).Devices == 0 {
			fmt.Fprintf(table, "%s\tno devices (was %d)\n", old.Endpoint, old.Devices)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	megabytes := func(d gatewayconfig.Demand) string { return fmt.Sprintf("%.0f", float64(d.SentPerDay())/1e6) }
	then := ""
	if from != nil {
		then = roughly(before.Holds(from.Buffer))
	}
	fmt.Fprintf(w, "\n%s, if each is stored: about %s to the log; a buffer of %s holds %s of it\n",
		was(number(demand.Values), number(before.Values), " values/s"), was(megabytes(demand), megabytes(before), " MB a day"),
		config.Buffer.MaxSize, was(roughly(demand.Holds(config.Buffer)), then, ""))
	if demand.Telling > 0 {
		fmt.Fprintf(w, "beside that comes what %s by themselves, as often as they do\n",
			was(strconv.Itoa(demand.Telling), strconv.Itoa(before.Telling), " devices tell"))
	}
	return nil
}

// busOf is what is asked of one endpoint.
func busOf(d gatewayconfig.Demand, endpoint string) gatewayconfig.BusDemand {
	for _, b := range d.Buses {
		if b.Endpoint == endpoint {
			return b
		}
	}
	return gatewayconfig.BusDemand{}
}

// busy is how full a line is.
func busy(b gatewayconfig.BusDemand) string {
	if b.Busy == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f %% busy", 100*b.Busy)
}

// fullBus is the part of a line's time that frames may take, beside the answering
// times of devices and what is asked again.
const fullBus = 0.8

// roughly is a duration in the unit that one thinks of it in.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	}
	return fmt.Sprintf("%.0f minutes", d.Minutes())
}

type showCommand struct{}

func (showCommand) Help() string {
	return `Example:
  busbar --gateway 10.0.0.20 config show > gateway.yaml`
}

func (showCommand) Run(ctx context.Context, from *away) error {
	door, err := from.door(ctx)
	if err != nil {
		return err
	}
	text, err := door.Configuration(ctx)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

type schemaCommand struct{}

func (schemaCommand) Run() error {
	_, err := os.Stdout.Write(firmware.Schema)
	return err
}
