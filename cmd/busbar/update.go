package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gateway/update"
)

type updateCommand struct {
	Status  updateStatusCommand  `cmd:"" help:"Say which version a flashed machine runs, and what came of the last update."`
	Install updateInstallCommand `cmd:"" help:"Bring a bundle to a flashed machine, which tries it and keeps it if it does what the version before did."`
}

// statusPage is where a gateway on this machine is asked.
type statusPage struct {
	Listen string `help:"The address of the gateway's status page on this machine." default:"127.0.0.1:9464" placeholder:"HOST:PORT"`
}

func (p statusPage) updates(ctx context.Context, from *away) (update.Client, error) {
	if !from.is() {
		return gateway.Here(p.Listen).Updates(), nil
	}
	door, err := from.door(ctx)
	return door.Updates(), err
}

type updateStatusCommand struct{ statusPage }

func (updateStatusCommand) Help() string {
	return `Example:
  busbar --gateway 10.0.0.20 update status`
}

func (c updateStatusCommand) Run(ctx context.Context, from *away) error {
	client, err := c.updates(ctx, from)
	if err != nil {
		return err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	showUpdates(s)
	return nil
}

type updateInstallCommand struct {
	statusPage
	Path string `arg:"" help:"The bundle." placeholder:"FILE" type:"existingfile"`
}

func (updateInstallCommand) Help() string {
	return `The gateway refuses what nobody has signed whom it trusts, what isn't for it, and what is older than it may be. What was
brought when the connection failed isn't brought again. The machine restarts with the version at once; busbar update
status says after some minutes whether it was confirmed or rolled back.

Example:
  busbar --gateway 10.0.0.20 update install busbar-1.2.3-pc.bundle`
}

func (c updateInstallCommand) Run(ctx context.Context, from *away) error {
	client, err := c.updates(ctx, from)
	if err != nil {
		return err
	}
	file, err := os.Open(c.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	var show func(done, total int64)
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		show = func(done, total int64) { fmt.Fprintf(os.Stderr, "\r%s of %s", bytesText(done), bytesText(total)) }
	}
	s, err := client.Install(ctx, file, show)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	showUpdates(s)
	return nil
}

func showUpdates(s update.Status) {
	fmt.Printf("runs: version %s of epoch %d, slot %d\n", s.Running.Version, s.Running.Epoch, s.Running.Number)
	if s.Running.Trial {
		fmt.Printf("it is on trial, with %d more starts; it lacks: %s\n", s.Running.Left, s.Lacks)
	}
	fmt.Printf("takes: epoch %d and later\n", s.Epoch)
	if s.Coming != "" {
		fmt.Printf("coming: version %s, with the next start\n", s.Coming)
	}
	if last := s.Last; last != nil {
		what := "confirmed"
		if !last.Confirmed {
			what = "rolled back: " + last.Cause
		}
		fmt.Printf("last update: version %s at %s, %s\n", last.Version, last.Ended.UTC().Format(time.RFC3339), what)
	}
	for _, problem := range s.Problems() {
		fmt.Println(problem)
	}
}
