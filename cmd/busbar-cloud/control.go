package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
)

type controlCommand struct {
	List listControls `cmd:"" help:"List who wrote to which device lately, and what came of it."`
}

type listControls struct {
	database
	Gateway string `help:"Only through this gateway." placeholder:"NAME"`
	Device  string `help:"Only to this device." placeholder:"ID"`
	Limit   int    `help:"How many steps are listed, newest first." default:"50"`
}

func (listControls) Help() string {
	return `Gateways tell each step: select, operate, which is begun and then done or not, cancel, and expire. Nothing is written to a
device from here.

Example:
  busbar-cloud control list --config cloud.yaml --device bay-1`
}

func (l listControls) Run(ctx context.Context) error {
	if l.Limit < 1 || l.Limit > 10_000 {
		return program.Usage{Err: fmt.Errorf("--limit %d is out of range, expected 1 to 10000", l.Limit)}
	}
	return l.use(ctx, func(s *store.Store) error {
		list, err := s.ControlSteps(ctx, l.Gateway, l.Device, store.Page[store.ControlPlace]{Limit: l.Limit})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "AT\tGATEWAY\tDEVICE\tSIGNAL\tBY\tORIGIN\tACTION\tREQUESTED\tOLD\tREAD BACK\tOUTCOME\tCAUSE\tDETAIL")
		for _, c := range list {
			fmt.Fprint(w, c.At.Time().Format("2006-01-02T15:04:05.000Z"))
			for _, text := range []string{c.Gateway, c.Device, c.Signal, c.By, string(c.Origin), string(c.Action), c.Requested, c.Old, c.ReadBack, string(c.Outcome), c.Cause, c.Detail} {
				fmt.Fprint(w, "\t", shown(text))
			}
			fmt.Fprintln(w)
		}
		return w.Flush()
	})
}
