package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/sim/network"
)

type gridCommand struct {
	Points        int     `help:"How many service points it has, up to 1,000,000." default:"1000"`
	Seed          uint64  `help:"Another seed is another network of the same kind." default:"1"`
	Name          string  `help:"What it is called." default:"Practice"`
	PerFeeder     int     `help:"About how many service points a feeder has; by default an eighth of all of them, from 50 to 1000." placeholder:"N"`
	PerSubstation int     `help:"How many feeders leave a substation." default:"10"`
	Overhead      float64 `help:"The part of feeders that are overhead lines, the others being cables." default:"0.4"`
	Telemetry     float64 `help:"The part of load switches on the lines whose position is signalled." default:"0.5"`
	SinglePhase   float64 `help:"The part of service points with one phase." default:"0.5"`
	Center        string  `help:"Where its middle is: longitude and latitude." default:"10 51" placeholder:"'X Y'"`
	Out           string  `help:"The file that is written: one table if it ends with .csv, else YAML; or, if it ends with /, the directory of a table for each kind. By default YAML to standard output. What is there is replaced." placeholder:"FILE|DIR/"`
}

func (gridCommand) Help() string {
	return `The same parameters give the same bytes. docs/simulation-network.md says how it is built. A YAML file of more than 650,000 service points, or one table of more than 800,000, is larger than what busbar grid check reads; a directory of tables isn't.

Examples:
  busbar-sim grid --points 10000 --seed 1 --out grid.yaml
  busbar-sim grid --points 1000000 --out tables/
  busbar-sim grid --points 200 --overhead 1 --center '9.48 51.31' | less`
}

func (c gridCommand) Run() error {
	// 0 is a part like any other here, and the default in Parameters.
	part := func(x float64) float64 {
		if x == 0 {
			return -1
		}
		return x
	}
	p := network.Parameters{ServicePoints: c.Points, Seed: c.Seed, Name: c.Name, PerFeeder: c.PerFeeder, PerSubstation: c.PerSubstation,
		Overhead: part(c.Overhead), Telemetry: part(c.Telemetry), SinglePhase: part(c.SinglePhase)}
	var middle grid.Position
	if err := middle.UnmarshalText([]byte(c.Center)); err != nil {
		return program.Usage{Err: fmt.Errorf("--center: %w", err)}
	}
	p.Longitude, p.Latitude = cmp.Or(middle.X, math.SmallestNonzeroFloat64), middle.Y // so is 0 0
	if c.PerFeeder < 0 || c.PerSubstation < 1 {
		return program.Usage{Err: fmt.Errorf("--per-feeder %d and --per-substation %d: expected more than 0", c.PerFeeder, c.PerSubstation)}
	}
	if c.Points < 1 || c.Overhead < 0 || c.Telemetry < 0 || c.SinglePhase < 0 {
		return program.Usage{Err: fmt.Errorf("%d points, parts of %g, %g and %g: expected at least 1, and parts from 0 to 1", c.Points, c.Overhead, c.Telemetry, c.SinglePhase)}
	}
	if err := p.Check(); err != nil {
		return program.Usage{Err: err}
	}
	m := network.Generate(p)
	switch {
	case c.Out == "":
		return gridfile.WriteYAML(os.Stdout, m)
	case strings.HasSuffix(c.Out, "/"):
		return gridfile.WriteCSV(c.Out, m)
	}
	file, err := os.Create(c.Out)
	if err != nil {
		return err
	}
	write := gridfile.WriteYAML
	if strings.EqualFold(filepath.Ext(c.Out), ".csv") { // which busbar grid reads as one
		write = gridfile.WriteTable
	}
	err = write(file, m)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
