package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/signallist"
)

type signalsCommand struct {
	YAML bool   `name:"yaml" help:"Print the signals as a configuration has them, instead."`
	File string `arg:"" help:"The list, as CSV." type:"path"`
}

func (signalsCommand) Help() string {
	return `It checks a list of the signals of a station of IEC 60870-5-104 or -101, as utilities
hand them out: a table with a header, whose columns have any order. Those for name and
ioa are needed; those for common address, type, unit, scale, offset, kind and deadband
count, and others are left out. A configuration takes the list by signals_from.

Examples:
  busbar device signals bay.csv
  busbar device signals --yaml bay.csv`
}

func (c signalsCommand) Run() error {
	src, err := configfile.Read(c.File)
	if err != nil {
		return err
	}
	list, err := signallist.Parse(c.File, src, profile.IEC104)
	if err != nil {
		return program.Usage{Err: err}
	}
	if c.YAML {
		_, err = os.Stdout.WriteString(list.YAML)
		return err
	}
	fmt.Printf("%s: %d signals\n", c.File, len(list.Signals))
	if len(list.Left) > 0 {
		fmt.Printf("left out are the columns %s\n", strings.Join(list.Left, ", "))
	}
	return nil
}
