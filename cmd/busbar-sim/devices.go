package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/scenario"
)

type devicesCommand struct {
	Scenario string  `arg:"" help:"The scenario." placeholder:"FILE|NAME"`
	Speed    float64 `help:"Seconds that pass in a second." default:"1"`
	fieldFlags
}

func (c devicesCommand) Run(ctx context.Context, logging *program.Logging) error {
	s, err := scenario.Open(c.Scenario, nil)
	if err != nil {
		return err
	}
	l, err := live.New(s, scenario.Sinks{})
	if err != nil {
		return err
	}
	f, err := c.open(s, l, logging.Logger())
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.Run(ctx) })
	g.Go(func() error { return l.Run(ctx, c.Speed) })
	return program.UntilStopped(ctx, g.Wait())
}
