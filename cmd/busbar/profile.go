package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/profile"
)

type profileCommand struct {
	List profileListCommand `cmd:"" help:"Print the profiles that come with Busbar, for profile: in gateway.yaml."`
	Show profileShowCommand `cmd:"" help:"Print one of them as the YAML that it is, to look into or to begin one's own with."`
	Test profileTestCommand `cmd:"" help:"Check profiles of one's own: their keys, their addresses, and whether their registers or messages mean what their examples say. The exit code is 2 if one is wrong."`
}

type profileListCommand struct{}

func (profileListCommand) Run() error {
	profiles, err := firmware.Profiles().LoadAll()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, p := range profiles {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d signals\n", p.Name, strings.Join(slices.Concat([]string{p.Product}, p.Covers), ", "), p.By(), len(p.Signals)+len(p.Follow))
	}
	return table.Flush()
}

type profileShowCommand struct {
	Name string `arg:"" help:"Its name, such as eastron/sdm630." placeholder:"NAME"`
}

func (c profileShowCommand) Run() error {
	source, err := firmware.Profiles().Source(c.Name)
	if err != nil {
		if nearest := configfile.Nearest(c.Name, firmware.Profiles().Names()); nearest != "" {
			err = fmt.Errorf("%w, did you mean %q?", err, nearest)
		}
		return program.Usage{Err: err}
	}
	_, err = os.Stdout.Write(source)
	return err
}

type profileTestCommand struct {
	Files []string `arg:"" help:"The files." placeholder:"FILE" type:"existingfile"`
}

func (c profileTestCommand) Run() error {
	var wrong error
	for _, file := range c.Files {
		p, err := profile.LoadFile(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			wrong = program.Silent(program.ExitConfig)
			continue
		}
		values := 0
		for _, e := range p.Examples {
			values += len(e.Values)
		}
		fmt.Printf("%s is valid: %s, %d signals, %d of their values as its examples say\n", file, p.Product, len(p.Signals)+len(p.Follow), values)
	}
	return wrong
}
