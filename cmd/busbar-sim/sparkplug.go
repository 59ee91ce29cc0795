package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/sim/publisher"
)

type sparkplugCommand struct {
	Broker string `arg:"" help:"The broker, as tcp://host:port, on this machine." default:"tcp://127.0.0.1:1883"`

	Group       string `help:"The group of the edge nodes." default:"sim"`
	Nodes       int    `help:"How many edge nodes there are: edge-1, edge-2, …" default:"1"`
	PrimaryHost string `help:"Be born only while the host application with this id is there, and die when it goes. Default: none is awaited." placeholder:"ID"`
	meterFlags

	Misbehave []string `help:"What the edge nodes do wrong, see below. May be given again." placeholder:"HOW" sep:"none"`
	Truth     string   `help:"Write down each value that is published, and what is done wrong, as lines of JSON behind what is in this file." placeholder:"FILE" type:"path"`
}

func (sparkplugCommand) Help() string {
	var list strings.Builder
	table := tabwriter.NewWriter(&list, 0, 0, 2, ' ', 0)
	for _, k := range publisher.Kinds() {
		what, about := string(k.Kind), k.About
		if k.Time != "" {
			what += "=D"
			about += " (" + k.Time + ")"
		}
		if k.Every > 0 {
			about += fmt.Sprintf("; every=%d", k.Every)
		}
		fmt.Fprintf(table, "  %s\t%s\n", what, about)
	}
	table.Flush()
	return `Each edge node has meters as its devices: TotW, DmdWh and PhV of each, and Supply of its own. Nodes are born with aliases, answer requests for births, and leave a death by bdSeq as their will. What is measured while there is no broker or no primary host follows as historical values, the last 100,000 of each node. The configuration by which a gateway reads them is printed.

Examples:
  busbar-sim sparkplug
  busbar-sim sparkplug tcp://127.0.0.1:1883 --nodes 10 --meters 100 --primary-host busbar
  busbar-sim sparkplug --misbehave "gap,every=100; swap" --misbehave "cut=30s" --truth truth.jsonl

HOW is what is done wrong, several with semicolons between them. D is a time such as 2s; every=N does it at each n-th reading of the meters, if a node is heard then.

` + list.String()
}

const (
	// mostEdgeNodes is how many connections a broker has to take.
	mostEdgeNodes = 500
	// mostMeters is how many meters all nodes have together.
	mostMeters = 100_000
)

func (c sparkplugCommand) Run(ctx context.Context, logging *program.Logging) error {
	config, err := c.config()
	if err != nil {
		return program.Usage{Err: err}
	}
	if c.Truth != "" {
		file, err := os.OpenFile(c.Truth, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("truth log: %w", err)
		}
		defer file.Close()
		config.Truth = file
	}
	fmt.Printf("%d edge nodes with %d meters each publish to %s\n\nFor gateway.yaml:\n\n%s\n", c.Nodes, c.Meters, c.Broker, config.Snippet())
	return program.UntilStopped(ctx, config.Run(ctx, logging.Logger()))
}

// config is the command line's edge nodes; the error says which flag is wrong.
func (c sparkplugCommand) config() (out publisher.EdgeNodes, err error) {
	out = publisher.EdgeNodes{Group: c.Group, Nodes: c.Nodes, PrimaryHost: c.PrimaryHost}
	if out.Connection, err = connectionTo(c.Broker); err != nil {
		return out, err
	}
	out.Connection.ClientID += "-" + c.Group
	if err := topic.CheckID(c.Group); err != nil {
		return out, fmt.Errorf("--group: %w", err)
	}
	if c.PrimaryHost != "" {
		if err := topic.CheckID(c.PrimaryHost); err != nil {
			return out, fmt.Errorf("--primary-host: %w", err)
		}
	}
	if c.Nodes < 1 || c.Nodes > mostEdgeNodes {
		return out, fmt.Errorf("--nodes is %d, expected 1 to %d", c.Nodes, mostEdgeNodes)
	}
	if out.Meters, err = c.read(); err != nil {
		return out, err
	}
	if n := c.Nodes * c.Meters; n > mostMeters {
		return out, fmt.Errorf("--nodes times --meters is %d, expected at most %d", n, mostMeters)
	}
	if out.Misbehave, err = publisher.ParseMisbehaviours(strings.Join(c.Misbehave, ";")); err != nil {
		return out, fmt.Errorf("--misbehave: %w", err)
	}
	return out, nil
}
