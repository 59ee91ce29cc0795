package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/gatewayconfig"
)

type configCommand struct {
	Validate validateCommand `cmd:"" help:"Check a gateway's configuration. Every error is printed with its file, line and column, and the exit code is 2."`
	Plan     planCommand     `cmd:"" help:"Show what a configuration asks of buses, disk and link, and what it changes."`
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
	if c.From != "" {
		from, err := gatewayconfig.Load(c.From)
		if err != nil {
			return err
		}
		printChanges(os.Stdout, config.Changes(from))
	}
	return printDemand(os.Stdout, config)
}

func printChanges(w io.Writer, changes []gatewayconfig.Change) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing changes")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, change := range changes {
		fmt.Fprintf(table, "%s\t%s\n", change.What, change.How)
	}
	_ = table.Flush()
	fmt.Fprintln(w)
}

func printDemand(w io.Writer, config gatewayconfig.Config) error {
	demand := config.Demand()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, b := range demand.Buses {
		busy := "–"
		if b.Busy > 0 {
			busy = fmt.Sprintf("%.0f %% busy", 100*b.Busy)
		}
		fmt.Fprintf(table, "%s\t%d devices\t%.4g requests/s\t%.4g registers/s\t%s\n", b.Endpoint, b.Devices, b.Requests, b.Registers, busy)
		if b.Busy > fullBus {
			fmt.Fprintf(table, "\tthis line is too slow for that: expected at most %.0f %%, since devices take their time to answer\n", 100*fullBus)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%.4g values/s, if each is stored: about %.0f MB a day to the log; a buffer of %s holds %s of it\n",
		demand.Values, float64(demand.SentPerDay())/1e6, config.Buffer.MaxSize, roughly(demand.Holds(config.Buffer)))
	return nil
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

type schemaCommand struct{}

func (schemaCommand) Run() error {
	_, err := os.Stdout.Write(firmware.Schema)
	return err
}
