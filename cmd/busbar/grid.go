package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/busbar/busbar/cmd/internal/gridreport"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/grid/pandapower"
	"github.com/busbar/busbar/grid/simbench"
)

type gridCommand struct {
	Check  gridCheckCommand  `cmd:"" help:"Check a network: what is in it, what feeds what, and what is wrong. The exit code is 1 if something is."`
	Import gridImportCommand `cmd:"" help:"Make a network's YAML of what another program has written."`
}

type gridCheckCommand struct {
	Path string    `arg:"" help:"The network: YAML, a table of CSV, or a directory of those." placeholder:"PATH"`
	At   time.Time `help:"The time at which the network is looked at, now by default." placeholder:"TIME"`
	Most int       `help:"How many findings are printed; 0 is all." default:"200"`
	JSON bool      `help:"Print the counts and all findings as JSON."`
}

func (gridCheckCommand) Help() string {
	return `Every finding is one line: its place, how bad it is, the asset, and what is wrong. docs/grid.md says what to do about each.

Exit codes: 0 no errors, though there may be warnings, 1 there are errors, 2 the network can't be read.

Examples:
  busbar grid check grid.yaml
  busbar grid check --at 2026-03-01T00:00:00Z grid.yaml
  busbar grid check --json tables/`
}

func (c gridCheckCommand) Run() error {
	model, findings, err := gridfile.Open(c.Path)
	if err != nil {
		return program.Usage{Err: err}
	}
	at := c.At
	if at.IsZero() {
		at = time.Now()
	}
	findings = append(findings, model.Check(at.UnixMicro())...)
	grid.SortFindings(findings)
	report := gridreport.Report{Summary: model.At(at.UnixMicro()).Summary(), Findings: findings, Most: c.Most}
	if err := report.Print(os.Stdout, c.JSON); err != nil {
		return err
	}
	return report.Exit()
}

type gridImportCommand struct {
	Path    string `arg:"" help:"SimBench's or CSV's directory, or the file." placeholder:"PATH"`
	From    string `help:"What it is: simbench, pandapower or csv." enum:"simbench,pandapower,csv" required:""`
	Out     string `help:"The file to write, standard output by default. One that is there is replaced." placeholder:"FILE"`
	Feeders bool   `help:"Make a feeder of each circuit that leaves a source's station, if the network has none." default:"true" negatable:""`
	JSON    bool   `help:"Print the counts and all findings as JSON to standard error."`
}

func (gridImportCommand) Help() string {
	return `What can't be read is told with its place and left out; the rest is written. Then the network is checked as by busbar grid
check. docs/grid.md says what becomes of what.

Exit codes: 0 no errors, 1 there are errors, and it has been written all the same, 2 it can't be read.

Examples:
  busbar grid import --from simbench 1-LV-rural1--0-sw --out grid.yaml
  busbar grid import --from pandapower net.json --out grid.yaml
  busbar grid import --from csv tables/ > grid.yaml`
}

func (c gridImportCommand) Run() error {
	model, findings, err := c.read()
	if err != nil {
		return program.Usage{Err: err}
	}
	now := time.Now().UnixMicro()
	if c.Feeders && len(model.Feeders) == 0 {
		model.Feeders = model.At(now).Circuits()
	}
	model.Sort()
	var out bytes.Buffer
	if err := gridfile.WriteYAML(&out, &model); err != nil {
		return err
	}
	if c.Out == "" {
		_, err = os.Stdout.Write(out.Bytes())
	} else {
		err = os.WriteFile(c.Out, out.Bytes(), 0o644)
	}
	if err != nil {
		return err
	}
	findings = append(findings, model.Check(now)...)
	grid.SortFindings(findings)
	report := gridreport.Report{Summary: model.At(now).Summary(), Findings: findings, Most: 200}
	if err := report.Print(os.Stderr, c.JSON); err != nil {
		return err
	}
	return report.Exit()
}

func (c gridImportCommand) read() (grid.Model, []grid.Finding, error) {
	switch c.From {
	case "simbench":
		return simbench.Read(c.Path, os.DirFS(c.Path))
	case "pandapower":
		return pandapower.Open(c.Path)
	}
	info, err := os.Stat(c.Path)
	if err == nil && !info.IsDir() && !strings.EqualFold(filepath.Ext(c.Path), ".csv") {
		err = fmt.Errorf("%s is no directory of tables, and its name doesn't end with .csv", c.Path)
	}
	if err != nil {
		return grid.Model{}, nil, err
	}
	return gridfile.Open(c.Path)
}
