package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cloud/rollout"
	"github.com/busbar/busbar/cloud/store"
)

type rolloutCommand struct{ database }

func (rolloutCommand) Help() string {
	return `Of the 20 versions that gateways tried last, how many gateways tried each, kept it and went back from it, in all and by zone.
A version is paused when uplink.updates says that too many went back: no further gateway gets it. Zones that a channel in
its directory names and no gateway has are told on standard error.

Example:
  busbar-cloud rollout --config cloud.yaml`
}

func (c rolloutCommand) Run(ctx context.Context) error {
	config, err := cloud.LoadConfig(c.Config)
	if err != nil {
		return err
	}
	limits := config.Rollout()
	return c.use(ctx, func(s *store.Store) error {
		list, err := s.Rollouts(ctx, 20)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "VERSION\tEPOCH\tZONE\tTRIED\tKEPT\tWENT BACK\tLAST\tSTATE")
		for _, v := range list {
			showRollout(w, v, limits)
		}
		if err := w.Flush(); err != nil || limits == nil {
			return err
		}
		return c.warn(ctx, s, config.Uplink.Updates.Dir.In(filepath.Dir(c.Config)))
	})
}

// warn tells of zones that channels name and no gateway has.
func (rolloutCommand) warn(ctx context.Context, s *store.Store, dir string) error {
	gateways, err := s.Gateways(ctx)
	if err != nil {
		return err
	}
	var zones []string
	for _, g := range gateways {
		zones = append(zones, g.Zone)
	}
	unknown, err := rollout.Unknown(os.DirFS(dir), zones)
	for _, text := range unknown {
		fmt.Fprintln(os.Stderr, "warning: "+text)
	}
	return err
}

func showRollout(w *tabwriter.Writer, v store.VersionRollout, limits *rollout.Limits) {
	state := ""
	if limits != nil && limits.Reached(v.Rollout) {
		state = "paused"
	}
	fmt.Fprintf(w, "%s\t%d\tall\t%d\t%d\t%d\t%s\t%s\n", shown(v.Version), v.Epoch, v.Tried, v.Confirmed, v.RolledBack, v.Last.Time().Format("2006-01-02T15:04:05Z"), state)
	for _, z := range v.Zones {
		fmt.Fprintf(w, "\t\t%s\t%d\t%d\t%d\t\t\n", shown(z.Zone), z.Tried, z.Confirmed, z.RolledBack)
	}
}
