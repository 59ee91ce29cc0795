package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

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
	At   time.Time `help:"The time at which the network is looked at; now, unless it is said." placeholder:"TIME"`
	Most int       `help:"How many findings are printed. 0 is all." default:"200"`
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
	report := gridReport{Summary: model.At(at.UnixMicro()).Summary(), Findings: findings, most: c.Most}
	if err := report.print(os.Stdout, c.JSON); err != nil {
		return err
	}
	return report.exit()
}

type gridImportCommand struct {
	Path    string `arg:"" help:"SimBench's or CSV's directory, or the file." placeholder:"PATH"`
	From    string `help:"What it is: simbench, pandapower or csv." enum:"simbench,pandapower,csv" required:""`
	Out     string `help:"The file that is written; standard output, unless it is said. One that is there is replaced." placeholder:"FILE"`
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
	report := gridReport{Summary: model.At(now).Summary(), Findings: findings, most: 200}
	if err := report.print(os.Stderr, c.JSON); err != nil {
		return err
	}
	return report.exit()
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

// gridReport is what is said about a network.
type gridReport struct {
	grid.Summary
	Findings []grid.Finding
	most     int // that are printed
}

func (r gridReport) exit() error {
	if grid.Errors(r.Findings) > 0 {
		return program.Silent(program.ExitFailure)
	}
	return nil
}

func (r gridReport) print(w io.Writer, asJSON bool) error {
	errors := grid.Errors(r.Findings)
	if asJSON {
		type finding struct {
			Severity grid.Severity `json:"severity"`
			Code     string        `json:"code"`
			Place    string        `json:"place,omitempty"`
			Asset    string        `json:"asset,omitempty"`
			Message  string        `json:"message"`
		}
		list := make([]finding, len(r.Findings))
		for i, f := range r.Findings {
			list[i] = finding{f.Severity, f.Code, f.Place.String(), f.Asset, f.Message}
		}
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(struct {
			grid.Summary
			Errors   int       `json:"errors"`
			Warnings int       `json:"warnings"`
			Findings []finding `json:"findings"`
		}{r.Summary, errors, len(r.Findings) - errors, list})
	}
	for i, f := range r.Findings {
		if r.most > 0 && i == r.most {
			fmt.Fprintf(w, "and %d more; --most 0 prints all\n", len(r.Findings)-i)
			break
		}
		fmt.Fprintf(w, "%s [%s]\n", f, f.Code)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	s := r.Summary
	count := func(n int64, one, more string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, more)
	}
	fmt.Fprintf(w, "%s, %s, %s, %s\n", count(int64(s.Substations), "substation", "substations"), count(int64(s.Sources), "source", "sources"),
		count(int64(s.Feeders), "feeder", "feeders"), count(int64(s.Nodes), "node", "nodes"))
	fmt.Fprintf(w, "%s, %s (%d normally open, %d telemetered), %s\n", count(int64(s.Lines), "line", "lines"),
		count(int64(s.Switches), "switch", "switches"), s.NormallyOpen, s.Telemetered, count(int64(s.Transformers), "transformer", "transformers"))
	fmt.Fprintf(w, "%s, %s\n", count(int64(s.ServicePoints), "service point", "service points"), count(s.Customers, "customer", "customers"))
	fmt.Fprintf(w, "%s without a source, %s\n", count(int64(s.UnfedIslands), "part", "parts"), count(int64(s.Loops), "loop", "loops"))
	fmt.Fprintf(w, "%s, %s\n", count(int64(errors), "error", "errors"), count(int64(len(r.Findings)-errors), "warning", "warnings"))
	return nil
}
